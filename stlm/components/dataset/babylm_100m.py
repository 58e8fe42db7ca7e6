"""What a child may have heard: the corpus of the BabyLM challenge."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "babylm_100m")
class BabyLM100M(NamedOnHub):
    """Sentences of the BabyLM challenge (Warstadt et al., 2023; arXiv:2301.11796): `text` of each row.

    Column names as programs that read it use them in 2024; not verified against the hub itself. Its readers have
    counted 10 million words in it, not the 100 million of its name.
    """

    hub_id: ClassVar[str] = "Sree1994/babylm_100M"
