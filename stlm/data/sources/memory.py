"""Documents that are in memory."""

import hashlib
from collections.abc import Iterator

import attrs

PIECE_CHARACTERS = 4 << 20


@attrs.frozen
class TextDocuments:
    """Documents that are already in memory."""

    texts: tuple[str, ...]

    def documents(self) -> Iterator[str]:
        """Give each text."""
        yield from self.texts

    def fingerprint(self) -> str:
        """Hash the texts and where one ends and the next begins."""
        digest = hashlib.sha256()
        for text in self.texts:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(b"%d\n" % len(data) + data)
        return f"sha256:{digest.hexdigest()}"


@attrs.frozen
class HeldText:
    """A long document (`LongText`) that is in memory, so that what is made of it need not be."""

    text: str = attrs.field(repr=False)

    def pieces(self) -> Iterator[str]:
        """Give the text, a few million characters at a time."""
        for begin in range(0, len(self.text), PIECE_CHARACTERS):
            yield self.text[begin : begin + PIECE_CHARACTERS]
