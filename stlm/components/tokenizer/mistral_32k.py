"""The tokenizer of the first Mistral."""

from typing import ClassVar

from stlm.components.tokenizer.sources import Pretrained
from stlm.registry import component, not_empty, option


@component("tokenizer", "mistral_32k")
class Mistral32k(Pretrained):
    """The tokenizer of the first Mistral (Jiang et al., 2023; arXiv:2310.06825), 32000 tokens, through Hugging Face."""

    vocab_size: ClassVar[int] = 32000
    end_of_text: ClassVar[str | None] = "</s>"
    tokenizer_name: str = option(
        not_empty,
        default="mistral-community/Mistral-7B-v0.2",
        doc="Where its files are: a model of the hub, or a folder.",
    )
