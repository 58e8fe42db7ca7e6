"""Text that grows by tokens, of which no half character is ever shown."""

import codecs
from typing import Any


class TextStream:
    """Turns tokens into text as they come; a character is given out when its last byte is there.

    Each token is decoded behind the one before it, since some tokenizers drop the space at the head of a text; so the
    text is that which follows ``prompt_ids``.
    """

    def __init__(self, tokenizer: Any, prompt_ids: list[int]) -> None:
        self.tokenizer = tokenizer
        self.before = prompt_ids[-1:]
        self.characters = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token_id: int) -> str:
        """Return what can be shown now; it may be empty."""
        known = self.tokenizer.decode_bytes(self.before)
        both = self.tokenizer.decode_bytes([*self.before, token_id])
        self.before = [token_id]
        return self.characters.decode(both[len(known) :])

    def end(self) -> str:
        """Return what is left: the sign for an unreadable character where the text ends within one."""
        return self.characters.decode(b"", final=True)
