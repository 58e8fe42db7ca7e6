"""Passages: texts by topic and difficulty. Some are shipped with stlm; a table on the hub or in a file holds others."""

import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs

from stlm.compiler.processes import Processes, of_main
from stlm.components.dataset.file_kinds import SUFFIXES
from stlm.data.sources.files import FileDocuments
from stlm.data.sources.finding import find_files, kind_of
from stlm.data.sources.hub.table import HubTable
from stlm.data.sources.reading import readable
from stlm.data.sources.rows import RowReader
from stlm.data.surrogates import mended
from stlm.spec.errors import UsageError, WorkError
from stlm.spec.suggest import nearest_names

_log = logging.getLogger(__name__)
KEY = "trainer.eval.text_modeling_eval"
COLUMNS = ("text", "topic", "difficulty")
SHIPPED = "shipped"
WORDS = {SHIPPED: True, "none": False, "true": True, "false": False}
"""Words for the passages of stlm, and for none."""
_SPLIT = "train"
_WORD = (str, int)  # a topic or a difficulty; some count difficulty from 1
_HELP = "the passages that are `shipped` with stlm need no network"
_HUB_NAME = re.compile(r"(hf:)?\w[\w.-]*/\w[\w.-]*")


@attrs.frozen
class Passage:
    """A text, what it is about, and how hard it is to read."""

    text: str
    topic: str
    difficulty: str


@attrs.frozen
class Passages:
    """Texts that are measured together, and what results call them."""

    name: str
    texts: tuple[Passage, ...]


def meant(chosen: bool | str) -> bool | str:
    """Take the words for stlm's own passages and for none (`WORDS`), and all else that `text_modeling_eval` may be.

    Raises `UsageError` for what is neither a word, nor the name of a data set, nor that of a file.
    """
    if isinstance(chosen, bool) or is_on_hub(chosen):
        return chosen
    if chosen in WORDS:
        return WORDS[chosen]
    if chosen.endswith(SUFFIXES) or Path(chosen).expanduser().exists():
        return chosen
    close = nearest_names(chosen, WORDS)
    near = f" (did you mean `{close[0]}`?)" if close else ""
    allowed = "`shipped`, `none`, a data set of the hub (`owner/name`), or the path of a .jsonl or .parquet file"
    raise UsageError(f"there are no passages `{chosen}`{near}: it must be {allowed}", key=KEY)


def read_passages(chosen: bool | str) -> Passages | None:
    """Give the passages that `text_modeling_eval` asks for: none, those of stlm, or a table's by its name or path.

    Raises `UsageError`, which names the key, for a file that is not there or has no such columns, and `WorkError` where
    a data set of the hub cannot be had now, or is not one of passages, and where there is no text in any row.
    """
    chosen = meant(chosen)
    if isinstance(chosen, bool):
        return shipped() if chosen else None
    name = chosen
    try:
        texts = of_hub(name.removeprefix("hf:")) if is_on_hub(name) else of_file(Path(name))
    except UsageError as error:
        raise UsageError(str(error), key=KEY) from error
    if not any(passage.text for passage in texts):
        raise WorkError(f"the passages of `{name}` hold no text: column `text` is empty in each row")
    return Passages(name, texts)


def passages_or_reason(chosen: bool | str) -> Passages | WorkError | None:
    """Read passages as `read_passages` does, or give the error that says why they cannot be had now."""
    try:
        return read_passages(chosen)
    except WorkError as error:
        return error


def read_once(chosen: bool | str, processes: Processes) -> Passages | WorkError | None:
    """Read the passages for the evaluations of a run, by its main process; what cannot be had is told, and returned.

    All processes come here at the same time. Raises `UsageError` in all of them.
    """
    known = of_main(processes, passages_or_reason, chosen)
    if isinstance(known, WorkError):
        _log.warning("the run goes on without the passages of `%s`: %s", chosen, known)
    return known


def require_file(chosen: bool | str) -> None:
    """Raise `UsageError` where the passages are to be those of a file, and it is not there or holds none."""
    if isinstance(chosen, str) and not is_on_hub(chosen):
        read_passages(chosen)


def is_on_hub(name: str) -> bool:
    """Whether a table is one of the hub, and not a file of this machine."""
    return _HUB_NAME.fullmatch(name) is not None and not name.endswith(SUFFIXES)


@lru_cache(maxsize=1)
def shipped() -> Passages:
    """Read the passages that are part of the package: files whose names say topic, difficulty and number."""
    texts = []
    for file in sorted((Path(__file__).parent / "passages").glob("*.txt")):
        topic, difficulty, _ = file.stem.rsplit("-", 2)
        texts.append(Passage(file.read_bytes().decode(), topic, difficulty))
    return Passages(SHIPPED, tuple(texts))


@lru_cache(maxsize=8)
def of_hub(name: str) -> tuple[Passage, ...]:
    """Read the rows of a data set of the hub; a name means the same ones for as long as a process runs."""
    rows = HubTable(name, _SPLIT, {"text": str, "topic": _WORD, "difficulty": _WORD}, help_text=_HELP).rows()
    return tuple(Passage(*(mended(str(row[column])) for column in COLUMNS)) for row in rows)


def of_file(path: Path) -> tuple[Passage, ...]:
    """Read the rows of a file, or of those in a folder (in none below it), where each has the columns."""
    files = _files_of(path.expanduser())
    if any(kind_of(file) == ".txt" for file in files):
        listed = ", ".join(f"`{column}`" for column in COLUMNS)
        raise UsageError(f"`{path}` holds text files; passages are rows of .jsonl or .parquet files, with {listed}")
    reader = _PassageReader(template="".join(f"{{{column}}}" for column in COLUMNS), fixed=True)
    rows: Iterable[Any] = FileDocuments(files, rows=reader).documents()
    passages = tuple(rows)
    if not passages:
        raise UsageError(f"`{path}` has no rows, so there are no passages in it")
    return passages


def _files_of(path: Path) -> tuple[Path, ...]:
    """Give a file, or the data files of a folder itself, by name: what is below it may be a whole file system."""
    if not path.is_dir():
        return find_files(path)
    with readable(path):
        there = sorted(one for one in path.iterdir() if not one.name.startswith(".") and not one.is_dir())
    files = tuple(file for one in there if kind_of(one) is not None for file in find_files(one))
    if not files:
        raise UsageError(f"folder `{path}` itself holds no file of passages; those end in {', '.join(SUFFIXES)}")
    return files


class _PassageReader(RowReader):
    """Makes a passage of a row; its template names the columns, and is not filled in."""

    def document(self, row: Mapping[str, Any], place: object) -> Any:
        """Make a row's passage; ``place`` says in an error where it stands."""
        return Passage(*(mended(self._written(row, column, place)) for column in COLUMNS))
