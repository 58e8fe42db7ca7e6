"""How well a model models passages, a byte of their text: by topic and by difficulty, whatever its tokenizer."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.data.tokenizers.tokenizer import encode_packed
from stlm.evaluation.batching import batches_of, most_positions
from stlm.evaluation.dealing import dealt
from stlm.evaluation.likelihood import answer_rows
from stlm.evaluation.passages import Passage, Passages
from stlm.evaluation.pseudo_likelihood import METHOD
from stlm.evaluation.requests import Opening
from stlm.evaluation.rows import Row
from stlm.evaluation.sliding import stride_of, windows
from stlm.evaluation.subject import Subject
from stlm.evaluation.text_modeling import MAX_HIDDEN
from stlm.spec.seeds import derive_seed

LOST_BITS = 8
"""What a byte costs that the tokens of a text cannot give back: as much as one of which nothing is known."""


def measure_passages(
    subject: Subject, passages: Passages, told: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """Return ``bits_per_byte`` and ``byte_accuracy`` of all passages, of each topic and of each difficulty.

    A passage is encoded whole, behind an end of text, and none is asked for after it. Where it is longer than the
    window, windows overlap (`stlm.evaluation.sliding`), so that each of its tokens is scored once. Both numbers are
    over the bytes of the text as it is written; see `Counts`. From a model that sees what follows, tokens are hidden
    one by one, about `MAX_HIDDEN` of all; which ones depends on the seed and the passage alone. ``told`` is given the
    share of the work that is done.
    """
    counts = count_passages(subject, passages.texts, told)
    whole = _sum(counts)
    if not whole.bytes:
        return {}
    window = subject.context_window
    return {
        **whole.numbers(),
        "passages": passages.name,
        "num_passages": len(passages.texts),
        "window": window,
        "stride": stride_of(window),
        "by_topic": _by(passages.texts, counts, lambda passage: passage.topic),
        "by_difficulty": _by(passages.texts, counts, lambda passage: passage.difficulty),
        **({"num_tokens": whole.tokens, "method": METHOD} if subject.sees_answers else {}),
    }


@attrs.frozen
class Counts:
    """What was counted of one text, or of several together.

    ``bytes`` are those of the text; ``lost`` how many of them its tokens lack, value by value, where the tokenizer
    simplifies; ``of_tokens`` those that all its tokens stand for, ``scored`` those of the tokens that were scored.
    ``nats`` is the sum of -log p of these, and ``right`` the bytes of those that the model held for the likeliest.
    """

    bytes: int
    lost: int
    of_tokens: int
    nats: float = 0.0
    right: float = 0.0
    scored: int = 0
    tokens: int = 0

    def numbers(self) -> dict[str, Any]:
        """Return the numbers: what was scored stands for all tokens, and what is lost costs `LOST_BITS` a byte."""
        share = self.of_tokens / self.scored if self.scored else 0.0
        bits = self.nats / math.log(2) * share + LOST_BITS * self.lost
        numbers = {
            "bits_per_byte": bits / self.bytes,
            "byte_accuracy": self.right * share / self.bytes,
            "bytes": self.bytes,
        }
        return {**numbers, "lost_bytes": self.lost} if self.lost else numbers


def count_passages(
    subject: Subject, passages: Sequence[Passage], told: Callable[[float], None] | None = None
) -> list[Counts]:
    """Score every passage, by all processes of the subject in turns, and return what was counted of each."""
    bytes_of = TokenBytes(subject.tokenizer)
    texts = [_Text.of(subject, bytes_of, passage.text) for passage in passages]
    share = min(1.0, MAX_HIDDEN / max(1, sum(len(text.sizes) for text in texts)))
    hides = subject.sees_answers
    windows_of = [list(_hiding(subject, text, share) if hides else _reading(subject, text)) for text in texts]
    scored = iter(_scored(subject, [window for each in windows_of for window in each], told))
    counts = [
        _sum([text.counts, *itertools.islice(scored, len(each))]) for text, each in zip(texts, windows_of, strict=True)
    ]
    return [_as_written(one) for one in counts]


@attrs.frozen
class _Text:
    """A text behind the token that stands before all texts, the bytes of its tokens, and what is known of it."""

    text: str
    token_ids: NDArray[np.int64]
    sizes: NDArray[np.int64]
    counts: Counts

    @classmethod
    def of(cls, subject: Subject, bytes_of: TokenBytes, text: str) -> "_Text":
        tokenizer = subject.tokenizer
        opening = subject.opening or Opening.of(tokenizer)
        ids = encode_packed(tokenizer, [text])[0].astype(np.int64)
        sizes = bytes_of(ids, np.concatenate([[tokenizer.eot_id], ids])[:-1])
        written, given_back = text.encode(), tokenizer.decode_bytes(ids.tolist())
        lost = 0 if written == given_back else (Counter(written) - Counter(given_back)).total()
        whole = np.concatenate([[(opening.alone or (tokenizer.eot_id,))[-1]], ids])
        return cls(text, whole, sizes, Counts(len(written), lost, int(sizes.sum())))


@attrs.frozen
class _Window:
    """What the model reads of a text, from the place ``start`` up to ``end``, and at which places it is asked there.

    What is asked for at a place is the token behind it; where that is ``hidden``, it is part of what is read. A window
    is laid out as a row only when it is its turn, since those of a long text are several times as large as the text.
    """

    text: _Text
    start: int
    end: int
    asked: range
    hidden: bool = False

    def row(self) -> Row:
        """Lay it out for the model."""
        ids = self.text.token_ids[self.start : self.end + 1].tolist()
        asked = [(at - self.start, ids[at + 1 - self.start]) for at in self.asked]
        length = self.end - self.start
        hidden = self.asked[0] + 1 - self.start if self.hidden else None
        return Row(ids[:length], list(range(length)), [length] * length, asked, hidden)

    def counts(self, scores: NDArray[np.float64], right: NDArray[np.bool_]) -> Counts:
        """Count what was asked for, by its log-probabilities in nats and by whether each token is the likeliest."""
        sizes = self.text.sizes[self.asked.start : self.asked.stop]
        return Counts(0, 0, 0, -float(scores.sum()), int(sizes[right].sum()), int(sizes.sum()), len(sizes))


def _reading(subject: Subject, text: _Text) -> Iterator[_Window]:
    """Lay windows over a text, in which all of it is asked for."""
    size = subject.context_window
    for start, first, end in windows(len(text.sizes), size, stride_of(size)):
        yield _Window(text, start, end, range(first, end))


def _hiding(subject: Subject, text: _Text, share: float) -> Iterator[_Window]:
    """Draw a ``share`` of a text's tokens, and lay a window over the text for each, in which it is hidden."""
    size, mask_id = subject.context_window, subject.tokenizer.mask_id
    generator = torch.Generator().manual_seed(derive_seed(subject.seed, "passages", text.text))
    drawn = (torch.rand(len(text.sizes), generator=generator) < share).tolist()
    for start, first, end in windows(len(drawn), size - 1, stride_of(size)) if size > 1 else ():
        for at in range(first, end):
            if drawn[at] and text.token_ids[at + 1] != mask_id:
                yield _Window(text, start, end + 1, range(at, at + 1), hidden=True)


def _scored(subject: Subject, asked: Sequence[_Window], told: Callable[[float], None] | None) -> list[Counts]:
    """Run the model over the windows, in batches of nearly one length, and its head where something is asked."""

    def score(group: list[int]) -> list[Counts]:
        some = [asked[index] for index in group]
        scores, right = answer_rows(subject, [window.row() for window in some])
        cuts = np.cumsum([len(window.asked) for window in some])[:-1]
        both = np.split(scores.double().cpu().numpy(), cuts), np.split(right.cpu().numpy(), cuts)
        return [window.counts(*each) for window, *each in zip(some, *both, strict=True)]

    groups = batches_of([window.end - window.start for window in asked], most_positions(subject.device))
    with subject.looked_at():
        found = zip(groups, dealt(subject, groups, score, told), strict=True)
    by_window = {index: one for group, counts in found for index, one in zip(group, counts, strict=True)}
    return [by_window[index] for index in range(len(asked))]


def _as_written(counts: Counts) -> Counts:
    """Count as right those bytes alone that are the text's own: of a simplified text, the share that is kept."""
    if not counts.lost or not counts.of_tokens:
        return counts
    return attrs.evolve(counts, right=counts.right * (counts.bytes - counts.lost) / counts.of_tokens)


def _sum(counts: Sequence[Counts]) -> Counts:
    columns = zip(*map(attrs.astuple, (Counts(0, 0, 0), *counts)), strict=True)
    return Counts(*map(sum, columns))


def _by(passages: Sequence[Passage], counts: Sequence[Counts], key: Callable[[Passage], str]) -> dict[str, Any]:
    """Return the numbers of the passages that have a key in common, keys in order; those without bytes are left out."""
    grouped: dict[str, list[Counts]] = {}
    for passage, one in zip(passages, counts, strict=True):
        grouped.setdefault(key(passage), []).append(one)
    sums = {name: _sum(some) for name, some in sorted(grouped.items())}
    return {name: one.numbers() for name, one in sums.items() if one.bytes}
