"""The rows of one split of a data set of the hub, as they stand there: what a benchmark is asked from."""

import glob
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from stlm.data.sources.hub.client import PATHS_NEED_NONE, reach_hub
from stlm.data.sources.hub.download import downloaded
from stlm.data.sources.hub.listing import Listing, Wanted, list_configs, meant
from stlm.data.sources.hub.reading import HubPart
from stlm.data.sources.rows import named
from stlm.data.telling import megabytes
from stlm.spec.errors import WorkError

_log = logging.getLogger(__name__)
_NAMES = {str: "a string", int: "a number"}


@attrs.frozen
class HubTable:
    """The rows of a split, of one configuration or of several, one after the other.

    ``columns`` are those that are read, each with its type: ``str`` or ``int``, a list ``[str]``, a mapping
    ``{"text": [str]}``, or a tuple of what it may be. Each row says its configuration under ``config_as``, where that
    is given. What was read once is read from the hub's cache where the hub cannot be reached; ``help_text`` says what
    can be done where it is not there.
    """

    name: str
    split: str
    columns: Mapping[str, Any]
    configs: tuple[str | None, ...] = (None,)
    config_as: str | None = None
    help_text: str = PATHS_NEED_NONE

    def rows(self) -> list[dict[str, Any]]:
        """Read all rows; raises `StlmError`, in one line, where they cannot be had or are not as expected."""
        parts = list(self._parts())
        self._fetch([part for _, part in parts])
        more = {} if self.config_as is None else {config: {self.config_as: config} for config in self.configs}
        rows = [{**row, **more.get(config, {})} for config, part in parts for row in part.documents()]
        if not rows:
            raise WorkError(f"split `{self.split}` of data set `{self.name}` has no rows")
        return rows

    def _parts(self) -> Iterator[tuple[str | None, HubPart]]:
        """Give the data files of the split, each behind its configuration."""
        reader = _Columns(self.columns)
        listings = list_configs(Wanted(self.name), self.configs, self._memory(), self.help_text)
        for config, listing in zip(self.configs, listings, strict=True):
            wanted = Wanted(self.name, config=config)
            files = self._files(wanted, listing)
            if listing.columns is not None:
                reader.needed(listing.columns, f"data set `{wanted}`")
            for path, size in files:
                commit, module, options = listing.commit, listing.reader, listing.options
                yield config, HubPart(self.name, commit, path, size, size, module, options, reader, streaming=False)

    def _files(self, wanted: Wanted, listing: Listing) -> list[tuple[str, int]]:
        if self.split not in listing.splits:
            there = ", ".join(f"`{name}`" for name in listing.splits)
            raise WorkError(f"data set `{wanted}` has no split `{self.split}`; it has {there}")
        return listing.splits[self.split]

    def _fetch(self, parts: Sequence[HubPart]) -> None:
        """Download, all at once, the files that are not in the hub's cache."""
        import huggingface_hub

        new = [part for part in parts if not part.is_cached]
        if not new:
            return
        what = f"data set `{self.name}` cannot be downloaded"
        reach_hub(what, self.help_text)
        _log.info("downloading %s (%s)", self.name, megabytes(sum(part.file_bytes for part in new)))
        download = partial(
            huggingface_hub.snapshot_download,
            self.name,
            revision=new[0].commit,
            repo_type="dataset",
            allow_patterns=[glob.escape(part.path) for part in new],
        )
        downloaded(download, what, self.name)

    def _memory(self) -> Path:
        """Name a folder for what the hub said, beside the files that it gave: neither is of use without the other."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.name, repo_type="dataset") / "stlm"


@attrs.frozen
class _Columns:
    """Makes nothing of a row, but sees that it has the columns, and that they hold what they are to hold."""

    types: Mapping[str, Any]
    has_completions: bool = attrs.field(default=False, init=False)

    def options(self) -> list[Any]:
        return list(self.types)

    def needed(self, there: Iterable[str], place: object) -> list[str]:
        known = list(there)
        for column in self.types:
            if column not in known:
                listed = ", ".join(f"`{name}`" for name in known)
                raise WorkError(f"{place}: no column `{column}`; the columns are: {listed}{meant(column, known)}")
        return list(self.types)

    def document(self, row: Any, place: object) -> Any:
        for column, wanted in self.types.items():
            if wrong := _misfit(row[column], wanted, column):
                raise WorkError(f"{place}: {wrong}")
        return row


def _misfit(value: Any, wanted: Any, name: str) -> str | None:
    """Say what is wrong with a value, if something is."""
    if isinstance(wanted, tuple | type):
        kinds = wanted if isinstance(wanted, tuple) else (wanted,)
        expected = " or ".join(_NAMES[kind] for kind in kinds)
        return None if isinstance(value, kinds) else f"`{name}` holds {named(value)}, not {expected}"
    if isinstance(wanted, list):
        if not isinstance(value, list):
            return f"`{name}` holds {named(value)}, not a list"
        return next((wrong for each in value if (wrong := _misfit(each, wanted[0], f"{name}[]"))), None)
    if not isinstance(value, dict):
        return f"`{name}` holds {named(value)}, not an object"
    inner = ((value.get(key), kind, f"{name}.{key}") for key, kind in wanted.items())
    return next((wrong for each in inner if (wrong := _misfit(*each))), None)
