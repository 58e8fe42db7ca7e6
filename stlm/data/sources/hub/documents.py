"""Documents of a data set of the hub: a row of its data files becomes a document."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from stlm.data.sources.hub.listing import Listing, Wanted, list_files, meant
from stlm.data.sources.hub.reading import HubPart, Reader, total
from stlm.data.sources.source import Document
from stlm.data.storage import digest_of
from stlm.spec.errors import UsageError

LARGE_BYTES = 1_000_000_000
AUTO, NONE = "auto", "none"
_HELD_OUT = ("validation", "valid")


@attrs.frozen
class HubDocuments:
    """The rows of a split. Nothing is asked of the hub until it must be known what is there.

    ``validation_split`` names the split that is held out; `auto` is `validation` or `valid` where there is one.
    ``streaming`` reads the files over the network instead of downloading them first; None does so where they are large.
    Both ways give the same documents in the same order, and one part a file, so the fingerprint is the same too.
    ``memory`` is a folder that keeps what the hub said. Where the choices are ``fixed``, no key is to blame for them.
    """

    wanted: Wanted
    reader: Reader
    memory: Path
    split: str = "train"
    validation_split: str = AUTO
    streaming: bool | None = None
    fixed: bool = False

    @property
    def has_completions(self) -> bool:
        """Whether the rows are prompts with completions."""
        return self.reader.has_completions

    @property
    def validation(self) -> "HubDocuments | None":
        """The documents that the repository holds out by itself; None where `validation_fraction` is to say."""
        name = self._validation_split()
        return None if name is None else attrs.evolve(self, split=name, validation_split=NONE)

    def parts(self) -> Sequence[HubPart]:
        """Give a part for each data file of the split."""
        listing = self._listing()
        files = self._files(self.split, "split")
        if listing.columns is not None:
            self.reader.needed(listing.columns, f"data set `{self.wanted.name}`")
        size = total(files)
        streaming = self.streaming if self.streaming is not None else size > LARGE_BYTES
        scale = listing.row_bytes.get(self.split, 0) / size if size else 0.0
        return [
            HubPart(
                name=self.wanted.name,
                commit=listing.commit,
                path=path,
                file_bytes=bytes_,
                size=round(bytes_ * (scale or 1)),
                module=listing.reader,
                options=listing.options,
                reader=self.reader,
                streaming=streaming,
            )
            for path, bytes_ in files
        ]

    def documents(self) -> Iterator[Document]:
        """Give the documents of all files, in the order of the repository's listing."""
        empty = True
        for part in self.parts():
            for document in part.documents():
                empty = False
                yield document
        if empty:
            raise self._mistake(f"split `{self.split}` of data set `{self.wanted.name}` has no rows", "split")

    def fingerprint(self) -> str:
        """Name the commit, and what of it becomes documents in which way."""
        listing = self._listing()
        self._files(self.split, "split")
        what = [self.wanted.name, listing.commit, listing.config, self.split, self._validation_split()]
        return f"sha256:{digest_of('hub', *what, type(self.reader).__name__, self.reader.options())}"

    def _listing(self) -> Listing:
        try:
            return list_files(self.wanted, self.memory)
        except UsageError as error:
            raise self._mistake(str(error), error.key) from error

    def _mistake(self, said: str, key: str | None) -> UsageError:
        return UsageError(said, key=None if self.fixed and key != "revision" else key)

    def _validation_split(self) -> str | None:
        if self.validation_split == NONE:
            return None
        if self.validation_split != AUTO:
            self._files(self.validation_split, "validation_split")
            return self.validation_split
        there = self._listing().splits
        return next((name for name in _HELD_OUT if name in there and name != self.split), None)

    def _files(self, split: str, key: str) -> list[tuple[str, int]]:
        splits = self._listing().splits
        if split not in splits:
            listed = ", ".join(f"`{name}`" for name in splits)
            said = f"data set `{self.wanted}` has no split `{split}`; it has {listed}"
            raise self._mistake(said + meant(split, list(splits)), key)
        if not splits[split]:
            raise self._mistake(f"split `{split}` of data set `{self.wanted}` has no data files", key)
        return splits[split]
