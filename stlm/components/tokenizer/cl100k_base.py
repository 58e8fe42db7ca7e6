"""The encoding of GPT-4."""

from typing import ClassVar

from stlm.components.tokenizer.sources import TiktokenEncoding
from stlm.registry import component


@component("tokenizer", "cl100k_base")
class CL100K(TiktokenEncoding):
    """The encoding of GPT-4, 100277 tokens, through tiktoken."""

    encoding: ClassVar[str] = "cl100k_base"
    vocab_size: ClassVar[int] = 100277
    files: ClassVar[tuple[str, ...]] = ("/encodings/cl100k_base.tiktoken",)
