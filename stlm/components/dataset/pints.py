"""The corpus of 1.5-Pints: expository prose."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "pints")
class ExpositoryProse(NamedOnHub):
    """Textbooks, encyclopedias and papers (Tan and Wang, 2024; arXiv:2408.03506): `text` of each row."""

    hub_id: ClassVar[str] = "pints-ai/Expository-Prose-V1"
