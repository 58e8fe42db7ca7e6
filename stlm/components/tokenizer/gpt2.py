"""GPT-2's byte-pair encoding (Radford et al., 2019)."""

from typing import ClassVar

from stlm.components.tokenizer.sources import TiktokenEncoding
from stlm.registry import component


@component("tokenizer", "gpt2")
class GPT2(TiktokenEncoding):
    """GPT-2's byte-pair encoding (Radford et al., 2019), 50257 tokens, through tiktoken."""

    encoding: ClassVar[str] = "gpt2"
    vocab_size: ClassVar[int] = 50257
    files: ClassVar[tuple[str, ...]] = ("/gpt-2/encodings/main/vocab.bpe", "/gpt-2/encodings/main/encoder.json")
