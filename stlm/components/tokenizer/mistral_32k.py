"""The tokenizer of the first Mistral."""

from typing import Any, ClassVar

from stlm.registry import component, not_empty, option


@component("tokenizer", "mistral_32k")
class Mistral32k:
    """The tokenizer of the first Mistral (Jiang et al., 2023; arXiv:2310.06825), 32000 tokens, through Hugging Face."""

    vocab_size: ClassVar[int] = 32000
    tokenizer_name: str = option(
        not_empty,
        default="mistral-community/Mistral-7B-v0.2",
        doc="Where its files are: a model of the hub, or a folder.",
    )

    def build(self, spec: Any) -> Any:
        """Load it from a folder, the hub's cache or the hub."""
        from stlm.data.pretrained import load_pretrained

        return load_pretrained(self.tokenizer_name, self.vocab_size)
