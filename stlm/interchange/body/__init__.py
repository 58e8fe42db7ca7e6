"""The transformer body of a published model, as a core of our network."""

from stlm.interchange.body.core import HuggingFaceBody, Wishes

__all__ = ["HuggingFaceBody", "Wishes"]
