"""What a model is asked: how likely is a continuation of a context, both as tokens."""

from collections.abc import Sequence
from typing import Any

import attrs

Pair = tuple[str, str]
"""A context and what goes on from it, as text."""


@attrs.frozen
class Request:
    """A context and one continuation as tokens."""

    context: list[int]
    continuation: list[int]


@attrs.frozen
class Opening:
    """The tokens that stand before every text, and those that stand for an empty context."""

    before: tuple[int, ...]
    alone: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> "Opening":
        """Take what stlm's own training puts before a text: nothing, and an end of text where there is no context."""
        return cls((), (tokenizer.eot_id,))

    @classmethod
    def of_spec(cls, spec: Any, tokenizer: Any) -> "Opening":
        """Take what a model saw before its texts; one whose spec has no trainer was trained by others."""
        return cls.of(tokenizer) if spec.trainer is not None else cls.of_published(tokenizer)

    @classmethod
    def of_published(cls, tokenizer: Any) -> "Opening":
        """Take what lm-evaluation-harness puts before a text for a model that others trained.

        That is what the tokenizer's files add by themselves, and alone the token that begins a text (`bos_token`), or
        the one that ends it where there is none.
        """
        bos_id = getattr(tokenizer, "bos_id", None)
        return cls(getattr(tokenizer, "own_beginning", ()), (tokenizer.eot_id if bos_id is None else bos_id,))


def encode_pairs(tokenizer: Any, pairs: Sequence[Pair], opening: Opening | None = None) -> list[Request]:
    """Encode contexts and what goes on from them, so that both together are the tokens of the whole text.

    As lm-evaluation-harness does: whitespace at the end of the context belongs to the continuation; the whole is
    encoded at once and divided where the tokens of the context alone end; an empty context is the ``opening``'s.
    """
    opening = Opening.of(tokenizer) if opening is None else opening
    divided = [_divided(*pair) for pair in pairs]
    texts = list(dict.fromkeys(text for bare, rest in divided for text in (bare + rest, bare)))
    encoded = dict(zip(texts, tokenizer.encode_batch(texts), strict=True))
    return [_request(encoded[bare], encoded[bare + rest], opening) for bare, rest in divided]


def encode_pair(tokenizer: Any, context: str, continuation: str, opening: Opening | None = None) -> Request:
    """Encode one of them."""
    return encode_pairs(tokenizer, [(context, continuation)], opening)[0]


def _divided(context: str, continuation: str) -> Pair:
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation


def _request(alone: list[int], whole: list[int], opening: Opening) -> Request:
    cut = max(0, min(len(alone), len(whole) - 1))  # a merge across the border leaves the continuation a token
    before = opening.before if cut else opening.alone
    return Request([*before, *alone[:cut]], whole[cut:])
