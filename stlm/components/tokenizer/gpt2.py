"""GPT-2's byte-pair encoding (Radford et al., 2019)."""

from typing import Any, ClassVar

from stlm.registry import component


@component("tokenizer", "gpt2")
class GPT2:
    """GPT-2's byte-pair encoding (Radford et al., 2019), 50257 tokens, through tiktoken."""

    vocab_size: ClassVar[int] = 50257

    def build(self, spec: Any) -> Any:
        """Load it from tiktoken's cache, or download it there."""
        from stlm.data.tiktoken_tokenizer import TiktokenTokenizer

        return TiktokenTokenizer.named("gpt2", self.vocab_size)
