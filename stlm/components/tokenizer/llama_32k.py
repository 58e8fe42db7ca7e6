"""The tokenizer of the first Llama."""

from typing import ClassVar

from stlm.components.tokenizer.sources import Pretrained
from stlm.registry import component, not_empty, option


@component("tokenizer", "llama_32k")
class Llama32k(Pretrained):
    """The tokenizer of the first Llama (Touvron et al., 2023; arXiv:2302.13971), 32000 tokens, through Hugging Face."""

    vocab_size: ClassVar[int] = 32000
    end_of_text: ClassVar[str | None] = "</s>"
    tokenizer_name: str = option(
        not_empty,
        default="hf-internal-testing/llama-tokenizer",
        doc="Where its files are: a model of the hub, or a folder.",
    )
