"""Which part of the data is held out from training."""

import hashlib
import math
import re
from collections.abc import Iterable
from enum import StrEnum

from stlm.data.sources.source import Document, Example, is_blank

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


def describe_rows(rows: int, held_out: int) -> str:
    """Say how many prompts with completions are held out."""
    if not held_out:
        return "nothing is held out" + (", because no two rows differ" if rows else "")
    return f"{held_out:,} of {rows:,} rows {'is' if held_out == 1 else 'are'} held out, whole, by a hash of the text"


def where(text: bytes, rule: SplitRule, fraction: float) -> str | None:
    """Say which split a document goes to, by its text in UTF-8; None where it is to be divided."""
    if fraction <= 0.0:
        return "train"
    if rule is SplitRule.TAILS:
        return None
    return "val" if holds_out(hashlib.sha256(text).digest(), fraction) else "train"


def divide(document: Short, fraction: float) -> tuple[Short | None, Short | None]:
    """Give the training part and the held-out tail of a document; None where it has no such part.

    A prompt with its completion is never cut: what is trained on would teach to stop in the middle of a word.
    """
    if not isinstance(document, str):
        return document, None
    cut = tail_start(document, fraction)
    return (document[:cut], document[cut:]) if cut < len(document) else (document, None)


def holds_out(sha256: bytes, fraction: float) -> bool:
    """Whether the SHA-256 of a document, as a number from 0 to 1, is below ``fraction``; equal texts stay together."""
    return int.from_bytes(sha256[:8], "big") < fraction * 2.0**64


def fraction_between(documents: Iterable[Document], fraction: float) -> float:
    """Give the fraction nearest to ``fraction`` by which a document at least is held out, and one at least is not.

    0 where no two documents differ: equal texts stay together.
    """
    least, greatest = 1.0, 0.0
    for document in documents:
        if is_blank(document):
            continue
        place = int.from_bytes(sha256_of(document)[:8], "big") / 2.0**64
        least, greatest = min(least, place), max(greatest, place)
    if least >= greatest:
        return 0.0
    return min(max(fraction, math.nextafter(least, 1.0)), math.nextafter(greatest, 0.0))


def sha256_of(document: Document) -> bytes:
    """Hash the text of a document, however long."""
    digest = hashlib.sha256()
    for piece in [text_of(document)] if isinstance(document, str | Example) else document.pieces():
        digest.update(piece.encode())
    return digest.digest()


def text_of(document: Short) -> str:
    """Give the whole text of a document."""
    return document if isinstance(document, str) else document.text


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
