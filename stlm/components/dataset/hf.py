"""Any data set of the Hugging Face Hub, by its name there."""

import re
from typing import Any, ClassVar

from stlm.components.dataset.hub import FromHub, documents_of
from stlm.components.dataset.rows import Rows
from stlm.registry import component, not_empty, option, rule


@component("dataset", "hf:*")
class HFDataset(Rows, FromHub):
    """A data set of the hub, as `hf:owner/name`; a row of it is a document.

    It is read through the library `datasets`; no code of a repository is ever run. What the hub says of it is kept
    under `data_dir`, and holds where the hub cannot be reached later.
    """

    expects: ClassVar[str] = "or `hf:owner/name`, a data set of the Hugging Face Hub"
    pattern: ClassVar[str] = r"hf:\w[\w.-]*/\w[\w.-]*"

    config: str | None = option(not_empty, default=None, doc="The configuration, where the repository has several.")
    split: str = option(not_empty, default="train", doc="The split whose rows are prepared.")
    validation_split: str = option(
        not_empty,
        default="auto",
        doc="The split that is held out. `auto` is `validation` or `valid` where the repository has one, and else "
        "`validation_fraction` decides; `none` leaves it to `validation_fraction` in any case.",
    )

    @rule("validation_split", "split")
    def what_is_held_out_is_something_else(validation_split: str, split: str) -> str | None:
        """`validation_split` is another split than `split`."""
        if validation_split != split:
            return None
        return f"`validation_split` is `{split}`, which is what is trained on; `none` holds out a fraction of it"

    @classmethod
    def accepts(cls, name: str) -> bool:
        """Whether what stands behind `hf:` is a name that the hub may know."""
        return re.fullmatch(cls.pattern, name) is not None

    def build(self, spec: Any) -> Any:
        """Give the documents of the split."""
        return documents_of(self, spec, self.member, fixed=False)
