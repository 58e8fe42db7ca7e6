"""Which part of the data is held out from training."""

import hashlib
import re
from enum import StrEnum

import attrs

from stlm.data.sources.source import Example

SPLITS = ("train", "val")
MIN_WINDOWS = 16  # fewer on either side, and documents are cut instead of chosen
_LOOK_BACK_CHARACTERS = 32
_LAST_BLANK = re.compile(r"\s(?=\S*\Z)")

Short = str | Example
"""A document that is held whole."""


class SplitRule(StrEnum):
    """How held-out text is told from training text; all rules are blind to the order of documents."""

    DOCUMENTS = "documents"  # a document is held out as a whole, by a hash of its text
    TAILS = "tails"  # the last part of every document is held out
    OWN = "own"  # the data set has documents that are held out

    def describe(self, fraction: float) -> str:
        """Say the rule in a sentence."""
        if self is SplitRule.OWN:
            return "the data set's own validation split is held out"
        if self is SplitRule.DOCUMENTS:
            return f"{fraction:g} of the documents is held out, chosen by a hash of the text"
        return (
            f"the last {fraction:g} of every document is held out, because holding out whole documents would leave "
            f"training or evaluation with fewer than {MIN_WINDOWS} windows"
        )


def where(text: bytes, rule: SplitRule, fraction: float) -> str | None:
    """Say which split a document goes to, by its text in UTF-8; None where it is to be divided."""
    if fraction <= 0.0:
        return "train"
    if rule is SplitRule.TAILS:
        return None
    return "val" if holds_out(hashlib.sha256(text).digest(), fraction) else "train"


def divide(document: Short, fraction: float) -> tuple[Short | None, Short | None]:
    """Give the training part and the held-out tail of a document; None where it has no such part.

    Of a prompt with a completion only the completion is cut.
    """
    text = document if isinstance(document, str) else document.completion
    cut = tail_start(text, fraction)
    if cut >= len(text):
        return document, None
    if isinstance(document, str):
        return text[:cut], text[cut:]
    return attrs.evolve(document, completion=text[:cut]), Example("", text[cut:])


def is_held_out(document: str, fraction: float) -> bool:
    """Whether the SHA-256 of a document, as a number from 0 to 1, is below ``fraction``; equal texts stay together."""
    return holds_out(hashlib.sha256(document.encode()).digest(), fraction)


def holds_out(sha256: bytes, fraction: float) -> bool:
    """Do what `is_held_out` does, for a document whose hash is known."""
    return int.from_bytes(sha256[:8], "big") < fraction * 2.0**64


def tail_start(document: str, fraction: float) -> int:
    """Give the character at which the last ``fraction`` of a document begins: one at least, and never all of it.

    It moves back to a blank, if one is near, so that no word is cut.
    """
    length = len(document)
    cut = tail_start_of(length, fraction)
    return blank_before(document, cut, reach=length - cut) if cut < length else cut


def tail_start_of(length: int, fraction: float) -> int:
    """Do what `tail_start` does, by a document's length alone: a word may be cut."""
    return length if length < 2 else length - min(max(1, round(length * fraction)), length - 1)


def blank_before(text: str, cut: int, *, reach: int) -> int:
    """Move a cut back to a blank that is near, at most by ``reach`` characters, and never to the head of the text."""
    near = max(1, cut - min(reach, _LOOK_BACK_CHARACTERS))
    blank = _LAST_BLANK.search(text, near, cut + 1)
    return blank.start() if blank else cut
