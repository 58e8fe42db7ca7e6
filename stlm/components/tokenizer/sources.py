"""Where the built-in tokenizers that stlm does not train itself come from: tiktoken, and Hugging Face."""

from pathlib import Path
from typing import Any, ClassVar

from stlm.registry import section


@section
class TiktokenEncoding:
    """An encoding of OpenAI's, through tiktoken; ``files`` are its paths on OpenAI's host."""

    encoding: ClassVar[str]
    vocab_size: ClassVar[int]
    files: ClassVar[tuple[str, ...]]

    def build(self, spec: Any) -> Any:
        """Load it from tiktoken's cache, or download it there."""
        from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer

        return TiktokenTokenizer.named(self.encoding, self.vocab_size, self.files)

    def load(self, folder: Path) -> Any:
        """Load what was saved in a checkpoint."""
        from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer

        return TiktokenTokenizer.from_folder(folder)


@section
class Pretrained:
    """A tokenizer of the Hugging Face kind, by its option ``tokenizer_name``; its files are needed only to encode."""

    room_to_spare: ClassVar[bool] = False
    """Whether a model may have more rows than the tokenizer has tokens."""

    end_of_text: ClassVar[str | None] = None
    """The token that ends a text where the files name none."""

    def build(self, spec: Any) -> Any:
        """Load it from a folder, the hub's cache or the hub."""
        from stlm.data.tokenizers.pretrained import load_pretrained

        name, size = self.tokenizer_name, self.vocab_size  # type: ignore[attr-defined]
        return load_pretrained(name, size, room_to_spare=self.room_to_spare, end_of_text=self.end_of_text)

    def load(self, folder: Path) -> Any:
        """Load what was saved in a checkpoint."""
        from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer

        return HuggingFaceTokenizer.from_folder(folder, self.vocab_size)  # type: ignore[attr-defined]
