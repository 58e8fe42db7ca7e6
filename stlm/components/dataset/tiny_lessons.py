"""Lessons in Markdown."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "tiny_lessons")
class TinyLessons(NamedOnHub):
    """Lessons out of the tiny textbooks: `textbook` of each row.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "nampdn-ai/tiny-lessons"
    text_column: ClassVar[str] = "textbook"
