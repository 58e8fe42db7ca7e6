"""Text on this machine, named by its path."""

import re
from pathlib import Path
from typing import Any, ClassVar

from stlm.components.dataset.file_kinds import COMPRESSIONS, KINDS, SUFFIXES
from stlm.components.dataset.rows import Rows
from stlm.registry import component, not_empty, option

*_OTHERS, _LAST = KINDS
_ENDINGS = "|".join(ending.replace(".", r"\.") for ending in SUFFIXES)


@component("dataset", "*")
class PathDataset(Rows):
    """Local data by its path from where stlm is run: text, JSON lines or Parquet, or a folder of any of them.

    A text file is one document, a JSON line or a row of Parquet is one. A folder gives those of its files, at any
    depth, sorted by name. Text and JSON lines may be compressed (`.gz`, `.zst`).
    """

    expects: ClassVar[str] = (
        f"or a path: with a `/` in it, or ending in {', '.join(_OTHERS)} or {_LAST} ({', '.join(COMPRESSIONS)})"
    )

    pattern: ClassVar[str] = rf"(?![A-Za-z][\w.-]+:)([.~][\s\S]*|[\s\S]*/[\s\S]*|[\s\S]*({_ENDINGS}))"

    split_documents_on: str | None = option(
        not_empty,
        default=None,
        doc="The text between two documents inside a text file; without it a file is one document.",
    )

    @classmethod
    def accepts(cls, name: str) -> bool:
        """Whether a name looks like a path; ``word:…`` belongs to other families."""
        return re.fullmatch(cls.pattern, name) is not None

    def build(self, spec: Any) -> Any:
        """Find the files; raises `UsageError` where there are none, or none that an option could be about."""
        from stlm.data.sources.files import FileDocuments
        from stlm.data.sources.finding import find_files, kind_of
        from stlm.spec.errors import UsageError

        path = Path(self.member).expanduser()
        try:
            files = find_files(path)
        except UsageError as error:
            of_hub = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", self.member) and not self.member.endswith(SUFFIXES)
            if path.exists() or not of_hub:
                raise
            raise UsageError(f"{error}; did you mean `hf:{self.member}`, a data set of the hub?") from error
        self._check({kind_of(file) for file in files})
        folder = path if path.is_dir() else None
        return FileDocuments(files, split_on=self.split_documents_on, rows=self.reader(), folder=folder)

    def _check(self, kinds: set[str | None]) -> None:
        from stlm.spec.errors import UsageError

        if self.split_documents_on is not None and ".txt" not in kinds:
            said = f"`split_documents_on` divides text files, and `{self.member}` holds none"
            raise UsageError(said, key="split_documents_on")
        if self.prompt_template is not None and ".txt" in kinds:
            said = f"`prompt_template` needs rows, but `{self.member}` holds text files, which have none"
            raise UsageError(said, key="prompt_template")
        for key, value in (("text_column", self.text_column), ("template", self.template)):
            if value not in (None, "text") and kinds == {".txt"}:
                raise UsageError(f"`{key}` is about rows, and `{self.member}` holds none: only text files", key=key)
