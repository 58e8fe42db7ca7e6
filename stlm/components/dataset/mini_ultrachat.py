"""Conversations of two models."""

from typing import Any, ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "mini_ultrachat")
class MiniUltraChat(NamedOnHub):
    """A part of UltraChat (Ding et al., 2023; arXiv:2305.14233): `data` is a list of turns; its last answer is the
    completion.

    Column names as programs that read it use them in 2024; not verified against the hub itself.
    """

    hub_id: ClassVar[str] = "nampdn-ai/mini-ultrachat"

    def reader(self) -> Any:
        """Make what turns a row into a document."""
        from stlm.data.sources.hub.rows import Conversation

        return Conversation("data")
