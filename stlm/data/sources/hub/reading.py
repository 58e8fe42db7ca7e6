"""Read the rows of one data file of the hub, over the network or from a copy in the hub's cache."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import attrs

from stlm.data.sources.hub.client import quiet, reach_hub
from stlm.data.sources.hub.download import downloaded
from stlm.data.sources.hub.errors import told
from stlm.data.sources.hub.listing import ASKING_SECONDS
from stlm.data.sources.hub.patience import patiently, within
from stlm.data.sources.source import Document
from stlm.data.telling import megabytes
from stlm.spec.errors import StlmError, WorkError

_log = logging.getLogger(__name__)
_ROWS = 1000


class Reader(Protocol):
    """What makes a document of a row, as `stlm.data.sources.rows.RowReader` does."""

    @property
    def has_completions(self) -> bool: ...

    def options(self) -> list[Any]: ...

    def needed(self, there: Any, place: object) -> list[str]: ...

    def document(self, row: Any, place: object) -> Document: ...


@attrs.frozen
class HubPart:
    """The rows of one data file at a commit. It reads the same whether it is ``streaming`` or not."""

    name: str
    commit: str
    path: str
    file_bytes: int
    size: int
    module: str
    options: dict[str, Any]
    reader: Reader
    streaming: bool

    def documents(self, skip: int = 0) -> Iterator[Document]:
        """Give a document a row, without the first ``skip``; raises `WorkError` where the hub fails half way."""
        number = 0
        for table in self._tables():
            if number + table.num_rows <= skip:
                number += table.num_rows
                continue
            table = table.slice(max(0, skip - number))
            number = max(number, skip)
            for row in table.select(self.reader.needed(table.column_names, self)).to_pylist():
                number += 1
                yield self.reader.document(row, _Row(self, number))

    def __str__(self) -> str:
        return f"{self.name}/{self.path}"

    def _tables(self) -> Iterator[Any]:
        what = f"`{self}` cannot be read"
        try:
            with quiet():
                file = self._address() if self.streaming else self._copy()
                yield from patiently(self._read(file), what)
        except StlmError:
            raise
        except Exception as error:
            raise told(error, what, self.name) from error

    def _read(self, file: str) -> Iterator[Any]:
        rows = self._load(file)
        if self.module == "parquet" and rows.column_names:
            wanted = self.reader.needed(rows.column_names, self)  # of a column of Parquet nothing else is fetched
            rows = self._load(file, columns=wanted, batch_size=_ROWS)
        yield from rows.with_format("arrow").iter(batch_size=_ROWS)

    def _load(self, file: str, **more: Any) -> Any:
        import datasets

        more = {**self.options, **more}
        return datasets.load_dataset(self.module, data_files={"train": [file]}, split="train", streaming=True, **more)

    def _address(self) -> str:
        """Name the file for streaming, once the hub has said that it is there: who streams asks again for minutes."""
        import huggingface_hub

        what = f"`{self}` cannot be read"
        reach_hub(what)
        url = huggingface_hub.hf_hub_url(self.name, self.path, revision=self.commit, repo_type="dataset")
        size = within(ASKING_SECONDS, what, lambda: huggingface_hub.get_hf_file_metadata(url).size)
        if self.file_bytes and size is not None and size != self.file_bytes:
            raise WorkError(f"{what}: the hub has {size:,} bytes for it, and its listing says {self.file_bytes:,}")
        return f"hf://datasets/{self.name}@{self.commit}/{self.path}"

    @property
    def is_cached(self) -> bool:
        """Whether there is a copy in the hub's cache."""
        return self._cached() is not None

    def _cached(self) -> str | None:
        import huggingface_hub

        cached = huggingface_hub.try_to_load_from_cache(self.name, self.path, revision=self.commit, repo_type="dataset")
        return cached if isinstance(cached, str) else None

    def _copy(self) -> str:
        import huggingface_hub

        if (cached := self._cached()) is not None:
            return cached
        what = f"`{self}` cannot be downloaded"
        reach_hub(what)
        _log.info("downloading %s (%s)", self, megabytes(self.file_bytes))
        download = partial(
            huggingface_hub.hf_hub_download, self.name, self.path, revision=self.commit, repo_type="dataset"
        )
        return str(downloaded(download, what, self.name))


@attrs.frozen
class _Row:
    """Where a row stands, in words that only an error needs."""

    part: HubPart
    number: int

    def __str__(self) -> str:
        return f"{self.part}: row {self.number}"


def total(files: Sequence[tuple[str, int]]) -> int:
    """Add up the sizes of files."""
    return sum(size for _, size in files)
