"""The encoding of the davinci models."""

from typing import ClassVar

from stlm.components.tokenizer.sources import TiktokenEncoding
from stlm.registry import component


@component("tokenizer", "p50k_base")
class P50K(TiktokenEncoding):
    """The encoding of the davinci models, 50281 tokens, through tiktoken."""

    encoding: ClassVar[str] = "p50k_base"
    vocab_size: ClassVar[int] = 50281
    files: ClassVar[tuple[str, ...]] = ("/encodings/p50k_base.tiktoken",)
