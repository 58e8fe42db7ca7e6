"""Textbooks after those of phi-1."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "textbooks_are_all_you_need_lite")
class TextbooksLite(NamedOnHub):
    """Textbooks written by models, after phi-1 (Gunasekar et al., 2023; arXiv:2306.11644): `completion` of each row.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "SciPhi/textbooks-are-all-you-need-lite"
    text_column: ClassVar[str] = "completion"
