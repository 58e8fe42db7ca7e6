"""What every source of documents can do, whether its documents lie in memory, in files or on a hub."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import attrs


@attrs.frozen
class Example:
    """A prompt and what should follow it: one document, whose second half is what fine-tuning may learn from alone."""

    prompt: str
    completion: str

    @property
    def text(self) -> str:
        """Both, one behind the other."""
        return self.prompt + self.completion


class LongText(Protocol):
    """A document too long to be held at once."""

    def pieces(self) -> Iterator[str]:
        """Give the text in order, a few million characters at a time; each call begins anew."""
        ...


Document = str | Example | LongText
"""Text that need not be sayable in UTF-8: who takes documents from a source mends halves of characters
(`stlm.data.surrogates`), so that no source has to.
"""


def is_blank(document: Document) -> bool:
    """Whether a text has no visible character, so that it is no document; of a long one that is not looked up."""
    if isinstance(document, Example):
        return is_blank(document.prompt) and is_blank(document.completion)
    return isinstance(document, str) and (not document or document.isspace())


class Part(Protocol):
    """A stretch of a source that any process can read by itself; it is pickled to get there.

    ``str(part)`` names it to a person. ``size`` is about how many bytes it reads, for telling how far it is; by their
    sizes two ways to divide a source are told apart, so the same part always has the same.
    """

    @property
    def size(self) -> int: ...

    def documents(self, skip: int = 0) -> Iterator[Document]:
        """Give its documents in order, without the first ``skip``."""
        ...


class DocumentSource(Protocol):
    """Documents of a data set.

    It may have more: ``parts()``, by which several processes read it side by side; ``validation``, a source of
    documents that are held out whatever `validation_fraction` says, which the fingerprint covers too;
    ``has_completions``, true where its documents are `Example` objects; ``num_documents``, where it is known before
    they are read; ``tell()``, which logs what a person should know of them before they are prepared. `parts_of`,
    `validation_of`, `has_completions` and `tell_of` ask for them.
    """

    def documents(self) -> Iterator[Document]:
        """Give each document, in an order that is always the same."""
        ...

    def fingerprint(self) -> str:
        """Give ``sha256:…`` over the contents and the options by which they become documents."""
        ...


@attrs.frozen
class Whole:
    """The one part of a source that has no others."""

    source: DocumentSource
    size: int = 0

    def documents(self, skip: int = 0) -> Iterator[Document]:
        """Give the documents of the source."""
        documents = self.source.documents()
        for _ in range(skip):
            next(documents, None)
        yield from documents

    def __str__(self) -> str:
        return "the data set"


def parts_of(source: DocumentSource) -> Sequence[Part]:
    """Divide a source into the parts that it names, in the order of its documents; else it is one part."""
    parts = getattr(source, "parts", None)
    return [Whole(source)] if parts is None else list(parts())


def validation_of(source: DocumentSource) -> DocumentSource | None:
    """Give the documents that a source holds out by itself; None where it leaves that to `validation_fraction`."""
    held_out: DocumentSource | None = getattr(source, "validation", None)
    return held_out


def has_completions(source: DocumentSource) -> bool:
    """Whether the documents of a source are prompts with completions."""
    return bool(getattr(source, "has_completions", False))


def tell_of(source: DocumentSource) -> None:
    """Let a source log what a person should know of it, if it has anything to tell."""
    tell = getattr(source, "tell", None)
    if tell is not None:
        tell()
