"""To and from Hugging Face layouts: published bodies inside our networks, and our networks as published models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stlm.interchange.weights import Weight

__all__ = ["Weight"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is, for it imports torch."""
    if name == "Weight":
        from stlm.interchange.weights import Weight

        return Weight
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
