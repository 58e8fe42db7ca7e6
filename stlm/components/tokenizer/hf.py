"""Any tokenizer of the Hugging Face kind."""

from typing import ClassVar

from stlm.components.tokenizer.sources import Pretrained
from stlm.registry import component, not_empty, option, positive


@component("tokenizer", "hf")
class HF(Pretrained):
    """The tokenizer in a folder or of a model on Hugging Face's hub; its files are needed only to encode.

    The mask token is the one that the files name (`mask_token`), where they do, and the end-of-text token where not.
    """

    room_to_spare: ClassVar[bool] = True
    tokenizer_name: str = option(
        not_empty, doc="A model of the hub (`owner/name`), or a folder with a `tokenizer.json`."
    )
    vocab_size: int = option(
        positive,
        doc="Number of token ids of the model: those of the tokenizer, or more where a model has rows to spare.",
    )
