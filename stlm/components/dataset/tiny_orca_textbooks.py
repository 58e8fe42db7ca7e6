"""Textbooks, each with a question that it answers."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "tiny_orca_textbooks")
class TinyOrcaTextbooks(NamedOnHub):
    """A `textbook` and a `question` as the prompt, its `response` as the completion.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "nampdn-ai/tiny-orca-textbooks"
    prompt_template: ClassVar[str | None] = "{textbook}\nQuestion: {question}\nAnswer:"
    completion_template: ClassVar[str | None] = " {response}"
