"""Textbooks written by models."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "openphi_textbooks")
class OpenPhiTextbooks(NamedOnHub):
    """Textbooks after those of phi-1 (Gunasekar et al., 2023; arXiv:2306.11644): `markdown` of each.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "open-phi/textbooks"
    text_column: ClassVar[str] = "markdown"
