"""Short stories in the words of a small child."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "tinystories")
class TinyStories(NamedOnHub):
    """Stories by larger models, in few words (Eldan and Li, 2023; arXiv:2305.07759): `text` of each."""

    hub_id: ClassVar[str] = "roneneldan/TinyStories"
