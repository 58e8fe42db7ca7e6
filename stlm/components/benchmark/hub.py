"""What all benchmarks have in common whose rows lie on the Hugging Face Hub."""

from collections.abc import Mapping
from typing import Any, ClassVar

from stlm.components.benchmark.questions import Questions, Row
from stlm.registry import section

_HELP = "the `stlm_eval_*` benchmarks need no network"


@section
class HubQuestions(Questions):
    """A benchmark that is a data set of the hub: where it lies, and which of its columns are read.

    A column's type is ``str`` or ``int``, a list ``[str]``, a mapping ``{"text": [str]}``, or a tuple of what it may
    be. Of several ``configs``, each row says under ``group_column`` which it is from.
    """

    hub_id: ClassVar[str]
    configs: ClassVar[tuple[str | None, ...]] = (None,)
    split: ClassVar[str] = "validation"
    columns: ClassVar[Mapping[str, Any]]

    def rows(self) -> list[Row]:
        """Give the rows of the split, from the hub's cache where they are there."""
        from stlm.data.sources.hub.table import HubTable

        config_as = self.group_column if len(self.configs) > 1 else None
        return HubTable(self.hub_id, self.split, self.columns, self.configs, config_as, _HELP).rows()
