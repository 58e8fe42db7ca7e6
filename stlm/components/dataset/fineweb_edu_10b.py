"""Ten billion tokens of educational pages."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "fineweb_edu_10B")
class FineWebEdu10B(NamedOnHub):
    """A sample of FineWeb-Edu (Penedo et al., 2024; arXiv:2406.17557), 10 billion tokens of GPT-2: `text` of each
    page.
    """

    hub_id: ClassVar[str] = "HuggingFaceFW/fineweb-edu"
    config: ClassVar[str | None] = "sample-10BT"
