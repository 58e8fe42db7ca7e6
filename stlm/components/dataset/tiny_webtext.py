"""Pages of the web, rewritten by a model that thinks about them."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "tiny_webtext")
class TinyWebText(NamedOnHub):
    """What a model made of pages of the web: `bot` of each row.

    Column names as programs that read it use them in 2024; not verified against the hub itself. Access must be asked
    for.
    """

    hub_id: ClassVar[str] = "nampdn-ai/tiny-webtext"
    text_column: ClassVar[str] = "bot"
