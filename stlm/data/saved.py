"""Load a tokenizer from the files that its `save` wrote, as they stand in a checkpoint."""

from pathlib import Path

from stlm.data.pretrained import load_pretrained
from stlm.data.storage import read_json
from stlm.data.tiktoken_tokenizer import TiktokenTokenizer
from stlm.data.tokenizer import Tokenizer
from stlm.spec.errors import UsageError


def load_tokenizer(folder: Path, vocab_size: int) -> Tokenizer:
    """Load the tokenizer in ``folder``; ``vocab_size`` is the model's, which may have rows to spare."""
    description = read_json(folder / "tiktoken.json")
    if description is not None:
        return TiktokenTokenizer.from_folder(folder, description)
    if not folder.is_dir():
        raise UsageError(f"there is no tokenizer in `{folder}`")
    return load_pretrained(str(folder), vocab_size, room_to_spare=True)
