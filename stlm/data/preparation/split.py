"""Which part of the data is held out from training."""

import hashlib
import re
from enum import StrEnum

MIN_WINDOWS = 16  # fewer on either side, and documents are cut instead of chosen
_LOOK_BACK_CHARACTERS = 32
_LAST_BLANK = re.compile(r"\s(?=\S*\Z)")


class SplitRule(StrEnum):
    """How held-out text is told from training text; both rules are blind to the order of documents."""

    DOCUMENTS = "documents"  # a document is held out as a whole, by a hash of its text
    TAILS = "tails"  # the last part of every document is held out

    def describe(self, fraction: float) -> str:
        """Say the rule in a sentence."""
        if self is SplitRule.DOCUMENTS:
            return f"{fraction:g} of the documents is held out, chosen by a hash of the text"
        return (
            f"the last {fraction:g} of every document is held out, because holding out whole documents would leave "
            f"training or evaluation with fewer than {MIN_WINDOWS} windows"
        )


def divide(document: str, rule: SplitRule, fraction: float) -> tuple[str | None, str | None]:
    """Give the training part and the held-out part of a document; None where it has no such part."""
    if fraction <= 0.0:
        return document, None
    if rule is SplitRule.DOCUMENTS:
        return (None, document) if is_held_out(document, fraction) else (document, None)
    cut = tail_start(document, fraction)
    return (document[:cut], document[cut:]) if cut < len(document) else (document, None)


def is_held_out(document: str, fraction: float) -> bool:
    """Whether the SHA-256 of a document, as a number from 0 to 1, is below ``fraction``; equal texts stay together."""
    number = int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big")
    return number < fraction * 2.0**64


def tail_start(document: str, fraction: float) -> int:
    """Give the character at which the last ``fraction`` of a document begins: one at least, and never all of it.

    It moves back to a blank, if one is near, so that no word is cut.
    """
    length = len(document)
    if length < 2:
        return length
    tail = min(max(1, round(length * fraction)), length - 1)
    cut = length - tail
    near = max(1, cut - min(tail, _LOOK_BACK_CHARACTERS))
    blank = _LAST_BLANK.search(document, near, cut + 1)
    return blank.start() if blank else cut
