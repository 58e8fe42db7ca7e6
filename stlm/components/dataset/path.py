"""Text on this machine, named by its path."""

import os
import re
from pathlib import Path
from typing import Any, ClassVar

from stlm.registry import component, not_empty, option


@component("dataset", "*")
class PathDataset:
    """Local text: a `.txt` file, a `.jsonl` file, or a folder of them, by its path from where stlm is run.

    A `.txt` file is one document, a JSON line is one; a folder gives those of its files, at any depth, sorted by name.
    """

    expects: ClassVar[str] = "or a path: with a `/` in it, or ending in .txt or .jsonl"

    split_documents_on: str | None = option(
        not_empty,
        default=None,
        doc="The text between two documents inside a `.txt` file; without it a file is one document.",
    )
    text_column: str = option(not_empty, default="text", doc="The key of a JSON line that holds its text.")

    @classmethod
    def accepts(cls, name: str) -> bool:
        """Whether a name looks like a path; ``word:…`` belongs to other families."""
        if re.match(r"[A-Za-z][\w.-]+:", name):
            return False
        return name.startswith((".", "~")) or "/" in name or os.sep in name or name.endswith((".txt", ".jsonl"))

    def build(self, spec: Any) -> Any:
        """Find the files; raises `UsageError` where there are none."""
        from stlm.data.sources.documents import FileDocuments, find_files
        from stlm.spec.errors import UsageError

        files = find_files(Path(self.member).expanduser())
        if self.split_documents_on is not None and all(file.suffix != ".txt" for file in files):
            raise UsageError(f"`split_documents_on` divides `.txt` files, and `{self.member}` holds none")
        return FileDocuments(files, split_on=self.split_documents_on, text_column=self.text_column)
