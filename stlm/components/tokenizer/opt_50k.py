"""The tokenizer of OPT."""

from typing import Any, ClassVar

from stlm.registry import component, not_empty, option


@component("tokenizer", "opt_50k")
class OPT50k:
    """The tokenizer of OPT (Zhang et al., 2022; arXiv:2205.01068), 50265 tokens, through Hugging Face."""

    vocab_size: ClassVar[int] = 50265
    tokenizer_name: str = option(
        not_empty, default="facebook/opt-1.3b", doc="Where its files are: a model of the hub, or a folder."
    )

    def build(self, spec: Any) -> Any:
        """Load it from a folder, the hub's cache or the hub."""
        from stlm.data.pretrained import load_pretrained

        return load_pretrained(self.tokenizer_name, self.vocab_size)
