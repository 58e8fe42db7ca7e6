"""Programs of a page, with what was asked for."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "tiny_codes")
class TinyCodes(NamedOnHub):
    """Questions of programming and a program each: `prompt`, and `response` as its completion.

    Column names as programs that read it use them in 2024; not verified against the hub itself. Access must be asked
    for.
    """

    hub_id: ClassVar[str] = "nampdn-ai/tiny-codes"
    prompt_template: ClassVar[str | None] = "Question: {prompt}\nAnswer:"
    completion_template: ClassVar[str | None] = " {response}"
