"""Textbooks of all kinds of things, written by a model."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "tiny_textbooks")
class TinyTextbooks(NamedOnHub):
    """Lessons that a model wrote after pages of the web: `textbook` of each row.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "nampdn-ai/tiny-textbooks"
    text_column: ClassVar[str] = "textbook"
