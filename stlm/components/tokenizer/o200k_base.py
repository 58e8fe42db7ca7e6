"""The encoding of GPT-4o."""

from typing import ClassVar

from stlm.components.tokenizer.sources import TiktokenEncoding
from stlm.registry import component


@component("tokenizer", "o200k_base")
class O200K(TiktokenEncoding):
    """The encoding of GPT-4o, 200019 tokens, through tiktoken."""

    encoding: ClassVar[str] = "o200k_base"
    vocab_size: ClassVar[int] = 200019
    files: ClassVar[tuple[str, ...]] = ("/encodings/o200k_base.tiktoken",)
