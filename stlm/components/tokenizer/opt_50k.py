"""The tokenizer of OPT."""

from typing import ClassVar

from stlm.components.tokenizer.sources import Pretrained
from stlm.registry import component, not_empty, option


@component("tokenizer", "opt_50k")
class OPT50k(Pretrained):
    """The tokenizer of OPT (Zhang et al., 2022; arXiv:2205.01068), 50265 tokens, through Hugging Face."""

    vocab_size: ClassVar[int] = 50265
    end_of_text: ClassVar[str | None] = "</s>"
    tokenizer_name: str = option(
        not_empty, default="facebook/opt-1.3b", doc="Where its files are: a model of the hub, or a folder."
    )
