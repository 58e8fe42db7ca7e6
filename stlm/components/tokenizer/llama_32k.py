"""The tokenizer of the first Llama."""

from typing import Any, ClassVar

from stlm.registry import component, not_empty, option


@component("tokenizer", "llama_32k")
class Llama32k:
    """The tokenizer of the first Llama (Touvron et al., 2023; arXiv:2302.13971), 32000 tokens, through Hugging Face."""

    vocab_size: ClassVar[int] = 32000
    tokenizer_name: str = option(
        not_empty,
        default="hf-internal-testing/llama-tokenizer",
        doc="Where its files are: a model of the hub, or a folder.",
    )

    def build(self, spec: Any) -> Any:
        """Load it from a folder, the hub's cache or the hub."""
        from stlm.data.pretrained import load_pretrained

        return load_pretrained(self.tokenizer_name, self.vocab_size)
