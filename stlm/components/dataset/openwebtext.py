"""Pages that were linked from Reddit."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "openwebtext")
class OpenWebText(NamedOnHub):
    """Web pages as GPT-2 was trained on (Gokaslan and Cohen, 2019): `text` of each.

    A revision of the repository that holds only a loading script cannot be read: no code of the hub is run.
    """

    hub_id: ClassVar[str] = "Skylion007/openwebtext"
