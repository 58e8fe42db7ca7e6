"""A small sample of FineWeb."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "mini_fineweb")
class MiniFineWeb(NamedOnHub):
    """Pages out of FineWeb (Penedo et al., 2024; arXiv:2406.17557): `text` of each.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "nampdn-ai/mini-fineweb"
