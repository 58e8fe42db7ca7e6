"""Bytes as tokens."""

from pathlib import Path
from typing import Any, ClassVar

from stlm.registry import component


@component("tokenizer", "bytes")
class Bytes:
    """A token for each byte of a text in UTF-8 (ByT5: Xue et al., 2021; arXiv:2105.13626); nothing is trained.

    The id of a byte is its value; id 256 ends a text, and id 257 is the mask token.
    """

    vocab_size: ClassVar[int] = 258

    def build(self, spec: Any) -> Any:
        """Make the tokenizer, which needs no files."""
        from stlm_bytes.tokenizer import ByteTokenizer

        return ByteTokenizer()

    def load(self, folder: Path) -> Any:
        """Load what was saved in a checkpoint."""
        from stlm_bytes.tokenizer import ByteTokenizer

        return ByteTokenizer.from_folder(folder)
