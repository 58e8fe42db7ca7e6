"""What a name means on the hub today: a commit, and the data files of each split; kept for when it cannot be asked."""

import dataclasses
import json
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import attrs

from stlm.data.sources.hub.client import PATHS_NEED_NONE, quiet, reach_hub
from stlm.data.sources.hub.errors import told
from stlm.data.sources.hub.patience import within
from stlm.data.storage import digest_of, read_json, slug, write_json
from stlm.spec.diagnostics import shortened
from stlm.spec.errors import StlmError, UsageError, WorkError
from stlm.spec.suggest import nearest_names

_log = logging.getLogger(__name__)
ASKING_SECONDS = 10.0
LISTING_SECONDS = 60.0
_AT_ONCE = 8
_NOT_OPTIONS = {"name", "version", "data_dir", "data_files", "description", "features"}


@attrs.frozen
class Wanted:
    """A data set of the hub: ``owner/name``, at a revision (None: `main`), in a configuration (None: the only one)."""

    name: str
    revision: str | None = None
    config: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which never means anything else."""
        return is_commit(self.revision or "")

    def __str__(self) -> str:
        return self.name + (f" ({self.config})" if self.config else "")


@attrs.frozen
class Listing:
    """The data files of one commit and configuration.

    ``splits`` holds the path and size of each file of a split; ``reader`` the module of `datasets` that reads them,
    with ``options`` for it. ``columns``, and the bytes of a split's rows, are known where the repository says them.
    """

    commit: str
    config: str
    reader: str
    options: dict[str, Any]
    splits: dict[str, list[tuple[str, int]]]
    columns: list[str] | None
    row_bytes: dict[str, int]


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit by its name."""
    return bool(re.fullmatch(r"[0-9a-f]{40}", revision))


def list_files(wanted: Wanted, memory: Path, help_text: str = PATHS_NEED_NONE) -> Listing:
    """Ask the hub; where it cannot be reached, what it said last time (kept in the folder ``memory``) still holds.

    A commit that was asked for before is not asked for again. Within a process a name means the same for as long as it
    runs. Raises `UsageError` where there is no such thing, `WorkError` where the hub fails; ``help_text`` says what can
    be done without it.
    """
    from huggingface_hub import constants

    return _list_files(wanted, memory, constants.ENDPOINT, help_text)


def list_configs(wanted: Wanted, configs: Sequence[str | None], memory: Path, help_text: str) -> list[Listing]:
    """List several configurations as `list_files` does, all at the commit that the first of them is at.

    However many there are, the hub is asked for its commit once, and for those alone that were not listed before.
    """
    from huggingface_hub import constants

    first, *others = (attrs.evolve(wanted, config=config) for config in configs)
    found = {first.config: list_files(first, memory, help_text)}
    pinned = [attrs.evolve(each, revision=found[first.config].commit) for each in others]
    files = {each: _file(each, memory, constants.ENDPOINT) for each in pinned}
    found.update({each.config: kept for each in pinned if (kept := _read(files[each])) is not None})
    new = [each for each in pinned if each.config not in found]
    if new:
        with quiet(), ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                info = _asked(new[0], constants.ENDPOINT, help_text)
                for each, listing in zip(new, pool.map(partial(_built, info=info), new), strict=True):
                    found[each.config] = listing
                    _keep(files[each], listing)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    return [found[config] for config in configs]


def _file(wanted: Wanted, memory: Path, endpoint: str) -> Path:
    return memory / f"{slug(wanted.name)}-{digest_of(endpoint, *attrs.astuple(wanted))[:12]}.json"


@lru_cache(maxsize=64)
def _list_files(wanted: Wanted, memory: Path, endpoint: str, help_text: str) -> Listing:
    file = _file(wanted, memory, endpoint)
    kept = _read(file)
    if kept is not None and wanted.pinned:
        return kept
    try:
        with quiet():
            info = _asked(wanted, endpoint, help_text)
            listing = kept if kept is not None and kept.commit == info.sha else _built(wanted, info)
    except WorkError as error:
        if kept is None:
            raise
        _log.info("data set `%s`: the hub cannot be asked, so commit %s is used, as before", wanted, kept.commit[:12])
        _log.debug("%s", error)
        return kept
    if listing != kept:
        _keep(file, listing)
    return listing


def _asked(wanted: Wanted, endpoint: str, help_text: str) -> Any:
    """Ask which commit is meant, and which files it has."""
    what = _cannot_be_had(wanted)
    reach_hub(what, help_text)
    try:
        return _understood(wanted, what, endpoint)
    except StlmError:
        raise
    except Exception as error:
        raise told(error, what, wanted.name) from error


def _built(wanted: Wanted, info: Any) -> Listing:
    """Find which of a commit's files are those of the configuration, and how they are read."""
    what = _cannot_be_had(wanted)
    try:
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
        builder = within(LISTING_SECONDS, what, lambda: _builder(wanted, info.sha))
    except StlmError:
        raise
    except (LookupError, json.JSONDecodeError) as error:
        raise WorkError(f"{what}: what the hub says of its files is not understood") from error
    except Exception as error:
        raise told(error, what, wanted.name) from error
    return _listing(wanted, info.sha, builder, sizes)


def _cannot_be_had(wanted: Wanted) -> str:
    return f"data set `{wanted.name}` cannot be had"


def _understood(wanted: Wanted, what: str, endpoint: str) -> Any:
    """Ask what a name means; raises `WorkError` for an answer that does not say it, such as a login page's."""
    try:
        info = within(ASKING_SECONDS + 5, what, lambda: _info(wanted, endpoint))
    except (LookupError, TypeError, AttributeError, json.JSONDecodeError, RecursionError) as error:
        raise WorkError(f"{what}: the answer of {endpoint} is not understood") from error
    if not is_commit(str(info.sha)):
        raise WorkError(f"{what}: the answer of {endpoint} is not understood: `{info.sha}` is no commit")
    for sibling in info.siblings or ():
        if not _is_inside(sibling.rfilename):
            named = shortened(str(sibling.rfilename))
            raise WorkError(f"{what}: the list of its files at {endpoint} is not usable: it names `{named}`")
    return info


def _is_inside(path: Any) -> bool:
    """Whether a path leads to a file of the repository."""
    return isinstance(path, str) and not path.startswith("/") and ".." not in path.split("/")


def _info(wanted: Wanted, endpoint: str) -> Any:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint)
    return api.dataset_info(
        wanted.name, revision=wanted.revision or "main", timeout=ASKING_SECONDS, files_metadata=True
    )


def _builder(wanted: Wanted, commit: str) -> Any:
    """Let `datasets` read the repository's front matter; what it chooses is known by no other way."""
    import datasets

    try:
        return datasets.load_dataset_builder(wanted.name, wanted.config, revision=commit)
    except ValueError as error:
        names = datasets.get_dataset_config_names(wanted.name, revision=commit)
        if wanted.config in names or (wanted.config is None and len(names) < 2):
            raise
        raise _no_config(wanted, names) from error


def _no_config(wanted: Wanted, names: list[str]) -> UsageError:
    listed = ", ".join(f"`{name}`" for name in names[:40]) + (f" and {len(names) - 40} more" if names[40:] else "")
    if wanted.config is None:
        return UsageError(f"data set `{wanted.name}` has several configurations, say `config`: {listed}", key="config")
    found = f"data set `{wanted.name}` has no configuration `{wanted.config}`; it has {listed}"
    return UsageError(found + meant(wanted.config, names), key="config")


def meant(name: str, names: list[str]) -> str:
    """Say which name was probably meant."""
    close = nearest_names(name, names)
    return f"; did you mean `{close[0]}`?" if close else ""


def _listing(wanted: Wanted, commit: str, builder: Any, sizes: dict[str, int]) -> Listing:
    prefix = f"hf://datasets/{wanted.name}@{commit}/"
    splits: dict[str, list[tuple[str, int]]] = {}
    for split, files in (builder.config.data_files or {}).items():
        if not all(str(file).startswith(prefix) for file in files):
            raise WorkError(f"data set `{wanted.name}`: `datasets` gave files that are not of commit {commit}")
        paths = [str(file).removeprefix(prefix) for file in files]
        splits[str(split)] = [(path, sizes.get(path, 0)) for path in paths]
    if not splits:
        raise UsageError(f"data set `{wanted.name}` holds no data files that can be read")
    said = builder.info.splits or {}
    return Listing(
        commit=commit,
        config=builder.config.name,
        reader=type(builder).__module__.rpartition(".")[2],
        options=_options(builder.config),
        splits=splits,
        columns=list(builder.info.features) if builder.info.features else None,
        row_bytes={str(split): int(about.num_bytes or 0) for split, about in said.items()},
    )


def _options(config: Any) -> dict[str, Any]:
    """Find what the repository says of how its files are read, as JSON can say it."""
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        plain = value is None or isinstance(value, str | int | float | bool | list | dict)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if field.name not in _NOT_OPTIONS and plain and value != default:
            found[field.name] = value
    return found


def _read(file: Path) -> Listing | None:
    said = read_json(file)
    try:
        splits = {split: [(str(p), int(size)) for p, size in files] for split, files in said["splits"].items()}
        return Listing(**{**said, "splits": splits})
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def _keep(file: Path, listing: Listing) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, attrs.asdict(listing))
    except (OSError, WorkError) as error:
        _log.warning("what the hub said cannot be kept, so it must be asked again: %s", error)
