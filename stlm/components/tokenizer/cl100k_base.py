"""The encoding of GPT-4."""

from typing import Any, ClassVar

from stlm.registry import component


@component("tokenizer", "cl100k_base")
class CL100K:
    """The encoding of GPT-4, 100277 tokens, through tiktoken."""

    vocab_size: ClassVar[int] = 100277

    def build(self, spec: Any) -> Any:
        """Load it from tiktoken's cache, or download it there."""
        from stlm.data.tiktoken_tokenizer import TiktokenTokenizer

        return TiktokenTokenizer.named("cl100k_base", self.vocab_size)
