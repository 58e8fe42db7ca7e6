"""Any tokenizer of the Hugging Face kind."""

from typing import Any

from stlm.registry import component, not_empty, option, positive


@component("tokenizer", "hf")
class HF:
    """The tokenizer in a folder or of a model on Hugging Face's hub; its files are needed only to encode."""

    tokenizer_name: str = option(
        not_empty, doc="A model of the hub (`owner/name`), or a folder with a `tokenizer.json`."
    )
    vocab_size: int = option(
        positive,
        doc="Number of token ids of the model: those of the tokenizer, or more where a model has rows to spare.",
    )

    def build(self, spec: Any) -> Any:
        """Load it from a folder, the hub's cache or the hub."""
        from stlm.data.pretrained import load_pretrained

        return load_pretrained(self.tokenizer_name, self.vocab_size, room_to_spare=True)
