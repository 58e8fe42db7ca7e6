"""Finding the data files that a path names."""

import os
from collections.abc import Iterator
from pathlib import Path

from stlm.components.dataset.file_kinds import COMPRESSIONS, KINDS, SUFFIXES
from stlm.data.sources.reading import readable
from stlm.spec.errors import UsageError


def kind_of(file: Path) -> str | None:
    """Say how a file is read, by its name: `.txt`, `.jsonl` or `.parquet`, compressed or not; None for no data."""
    if not file.name.endswith(SUFFIXES):
        return None
    return KINDS[Path(file.stem).suffix if file.suffix in COMPRESSIONS else file.suffix]


def find_files(path: Path) -> tuple[Path, ...]:
    """Give the data files that ``path`` is or holds (at any depth, sorted by name); hidden ones do not count.

    Links are followed. What has a data file's name and is none raises `UsageError`, as does a folder within itself.
    """
    with readable(path):
        if not path.exists():
            raise UsageError(f"there is no file or folder `{path}` (looked in `{Path.cwd()}`)")
        if path.is_dir():
            files = sorted(_inside(path))
            if not files:
                raise UsageError(f"folder `{path}` holds no file that ends in {', '.join(SUFFIXES)}")
            return tuple(path / file for file in files)
    if kind_of(path) is None:
        raise UsageError(f"`{path}` is no kind of data that is read here; those are: {', '.join(SUFFIXES)}")
    _check(path)
    return (path,)


def passed_over(folder: Path) -> tuple[Path, ...]:
    """Give the files of a folder that `find_files` leaves out because of how their names end."""
    return tuple(path for path in sorted(_all_inside(folder, Path(), {})) if kind_of(path) is None)


def _inside(top: Path) -> Iterator[Path]:
    """Give the data files of a folder, by their paths from it."""
    for file in _all_inside(top, Path(), {}):
        if kind_of(file) is not None:
            _check(top / file)
            yield file


def _all_inside(top: Path, below: Path, above: dict[tuple[int, int], Path]) -> Iterator[Path]:
    """Give the visible files of a folder, by their paths from ``top``; ``above`` are the folders that it stands in."""
    with readable(top / below):
        here = (top / below).stat()
        with os.scandir(top / below) as entries:
            visible = [(entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
    identity = (here.st_dev, here.st_ino)
    if identity in above:
        raise UsageError(f"folder `{top / below}` is a link to `{above[identity]}`, which holds it")
    for name, is_folder in visible:
        if is_folder:
            yield from _all_inside(top, below / name, {**above, identity: top / below})
        else:
            yield below / name


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False


def _check(file: Path) -> None:
    if file.is_symlink() and not file.exists():
        raise UsageError(f"`{file}` is a link to what is not there")
    if not file.is_file():
        raise UsageError(f"`{file}` is no file with contents of its own, but a pipe or a device")
