"""Wikipedia in English."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "en_wiki")
class EnglishWikipedia(NamedOnHub):
    """Articles of the English Wikipedia, of November 2023: `text` of each."""

    hub_id: ClassVar[str] = "wikimedia/wikipedia"
    config: ClassVar[str | None] = "20231101.en"
