"""Tasks with the thoughts that lead to their answers."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "mini_cot")
class MiniCoT(NamedOnHub):
    """A part of the CoT Collection (Kim et al., 2023; arXiv:2305.14045): `source` as the prompt, `rationale` and
    `target` as the completion.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "nampdn-ai/mini-CoT-Collection"
    prompt_template: ClassVar[str | None] = "Question: {source}\nAnswer:"
    completion_template: ClassVar[str | None] = " {rationale} - {target}"
