"""Text that grows by tokens: no half character is ever shown, and nothing that may yet turn out to be a stop string."""

import codecs
from collections.abc import Iterator, Sequence
from typing import Any

from stlm.generation.generate import Decoder


class TextStream:
    """Turns tokens into text as they come; a character is given out when its last byte is there.

    Each token is decoded behind the one before it, since some tokenizers drop the space at the head of a text; so the
    text is that which follows ``prompt_ids``. It ends before the first of the ``stop`` strings, which is not shown.
    """

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int], stop: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.before = list(prompt_ids[-1:])
        self.characters = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.stop = tuple(stop)
        self.held = ""
        self.stopped = False

    def add(self, token_id: int) -> str:
        """Return what can be shown now; it may be empty."""
        known = self.tokenizer.decode_bytes(self.before)
        both = self.tokenizer.decode_bytes([*self.before, token_id])
        self.before = [token_id]
        return self._show(self.characters.decode(both[len(known) :]))

    def end(self) -> str:
        """Return what is left: the sign for an unreadable character where the text ends within one."""
        rest = self._show(self.characters.decode(b"", final=True))
        return rest if self.stopped else rest + self.held

    def _show(self, piece: str) -> str:
        text = self.held + piece
        found = [at for at in (text.find(stop) for stop in self.stop) if at >= 0]
        if found:
            self.stopped, self.held = True, ""
            return text[: min(found)]
        undecided = max((_overlap(text, stop) for stop in self.stop), default=0)
        self.held = text[len(text) - undecided :]
        return text[: len(text) - undecided]


def _overlap(text: str, stop: str) -> int:
    """Count the characters at the end of ``text`` with which ``stop`` may have begun."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


def write_texts(
    decoder: Decoder, tokenizer: Any, *, max_new_tokens: int, stop: Sequence[str] = ()
) -> Iterator[tuple[int, str]]:
    """Yield pieces of text with the number of the text that they go on with, as they are made.

    A text ends at an end of text, at a stop string, or after ``max_new_tokens``.
    """
    texts = [TextStream(tokenizer, ids, stop) for ids in decoder.texts]
    for step in range(max_new_tokens):
        for number, token_id in decoder.step().items():
            text = texts[number]
            ended = token_id == tokenizer.eot_id
            piece = "" if ended else text.add(token_id)
            if ended or text.stopped or step == max_new_tokens - 1:
                piece += "" if text.stopped else text.end()
                decoder.finish(number)
            if piece:
                yield number, piece
        if not decoder.unfinished:
            return
