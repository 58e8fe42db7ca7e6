"""A million instructions and answers, from many sources."""

from typing import Any, ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "openhermes-2.5")
class OpenHermes(NamedOnHub):
    """Conversations of OpenHermes 2.5 (Teknium, 2023): `conversations` is a list of turns; the last answer is the
    completion.
    """

    hub_id: ClassVar[str] = "teknium/OpenHermes-2.5"

    def reader(self) -> Any:
        """Make what turns a row into a document."""
        from stlm.data.sources.hub.rows import Conversation

        return Conversation("conversations", "from", "value")
