"""Words and what they mean, between English, Vietnamese and Chinese."""

from typing import Any, ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "tiny_bridgedict")
class TinyBridgeDict(NamedOnHub):
    """A dictionary of three languages: all strings of a row, a line each.

    The names of its columns were not to be found out, so none is asked for.
    """

    hub_id: ClassVar[str] = "nampdn-ai/tiny-bridgedict"

    def reader(self) -> Any:
        """Make what turns a row into a document."""
        from stlm.data.sources.hub.rows import AllTexts

        return AllTexts()
