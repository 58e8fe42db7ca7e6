"""Two million prompts of Super-NaturalInstructions."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "super_natural_instructions")
class SuperNaturalInstructions(NamedOnHub):
    """Super-NaturalInstructions as prompts (Wang et al., 2022; arXiv:2204.07705): `prompt`, and `response` as its
    completion.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "andersonbcdefg/supernatural-instructions-2m"
    prompt_template: ClassVar[str | None] = "Question: {prompt}\nAnswer:"
    completion_template: ClassVar[str | None] = " {response}"
