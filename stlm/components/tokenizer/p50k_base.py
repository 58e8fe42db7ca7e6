"""The encoding of the davinci models."""

from typing import Any, ClassVar

from stlm.registry import component


@component("tokenizer", "p50k_base")
class P50K:
    """The encoding of the davinci models, 50281 tokens, through tiktoken."""

    vocab_size: ClassVar[int] = 50281

    def build(self, spec: Any) -> Any:
        """Load it from tiktoken's cache, or download it there."""
        from stlm.data.tiktoken_tokenizer import TiktokenTokenizer

        return TiktokenTokenizer.named("p50k_base", self.vocab_size)
