"""Textbooks of programming written by a model."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "openphi_programming_books")
class OpenPhiProgrammingBooks(NamedOnHub):
    """Books about programming: `markdown` of each.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "open-phi/programming_books_llama"
    text_column: ClassVar[str] = "markdown"
