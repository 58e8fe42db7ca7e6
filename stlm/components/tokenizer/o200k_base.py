"""The encoding of GPT-4o."""

from typing import Any, ClassVar

from stlm.registry import component


@component("tokenizer", "o200k_base")
class O200K:
    """The encoding of GPT-4o, 200019 tokens, through tiktoken."""

    vocab_size: ClassVar[int] = 200019

    def build(self, spec: Any) -> Any:
        """Load it from tiktoken's cache, or download it there."""
        from stlm.data.tiktoken_tokenizer import TiktokenTokenizer

        return TiktokenTokenizer.named("o200k_base", self.vocab_size)
