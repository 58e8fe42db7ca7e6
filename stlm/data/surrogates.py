"""Halves of characters that JSON escapes can leave alone, and UTF-8 cannot say."""

from collections.abc import Iterator

import attrs

from stlm.data.sources.source import Document, Example, LongText


def mended(text: str) -> str:
    """Give ``text`` with the halves of surrogate pairs joined, and U+FFFD for each that is alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def mended_document(document: Document) -> Document:
    """Give a document whose texts are mended; of a prompt and its completion, each by itself."""
    if isinstance(document, str):
        return mended(document)
    if isinstance(document, Example):
        return Example(mended(document.prompt), mended(document.completion))
    return _MendedText(document)


@attrs.frozen
class _MendedText:
    """A long text (`LongText`), mended as it is read."""

    text: LongText

    def pieces(self) -> Iterator[str]:
        """Give the pieces; where one ends in the first half of a pair, that goes with the next."""
        half = ""
        for piece in self.text.pieces():
            piece = half + piece
            half = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
            yield mended(piece.removesuffix(half))
        if half:
            yield mended(half)
