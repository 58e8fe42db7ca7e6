"""Tasks that are described in words, with examples."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "natural_instructions")
class NaturalInstructions(NamedOnHub):
    """Super-NaturalInstructions (Wang et al., 2022; arXiv:2204.07705): `definition` and `inputs` as the prompt,
    `targets` as the completion.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "Muennighoff/natural-instructions"
    prompt_template: ClassVar[str | None] = "Task: {definition}\nQuestion: {inputs}\nAnswer:"
    completion_template: ClassVar[str | None] = " {targets}"
