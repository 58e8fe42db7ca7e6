"""A look at prepared tokens before a model is trained on them: some windows, and what the whole is like."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from stlm.data.preparation.split import SplitRule
from stlm.data.serving.drawing import sampling_of
from stlm.data.tokenizers.token_bytes import bytes_within
from stlm.data.tokenizers.tokenizer import UNKNOWN

_COUNTED_TOKENS = 1 << 20
_READ_LENGTHS = 1 << 20
_LONGEST = 1 << 32  # a length is stored in 32 bits
_HALF_BITS = 16


@attrs.frozen
class Window:
    """Tokens that are trained on at once, and the text of each: all but the last are inputs, all but the first targets.

    ``counts`` says of each token whether the loss is on it where it is a target; None where it is on every target.

    A piece is shown as it stands between others. Bytes that are no whole character are written ``\\xe2``.
    """

    tokens: tuple[int, ...]
    pieces: tuple[str, ...]
    counts: tuple[bool, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Give what ``--json`` prints of it."""
        marked = {} if self.counts is None else {"counts": list(self.counts)}
        return {"tokens": list(self.tokens), "pieces": list(self.pieces), **marked}


@attrs.frozen
class DocumentLengths:
    """How many tokens documents have, their ends included.

    Where the tails of documents are held out, it is that of their other, larger part: a document counts once.
    ``bins`` are (shortest, longest, documents), each a factor of two wide; ``median`` is the lower of two middle ones.
    ``longer_than_window`` is the share of documents that no window holds whole.
    """

    documents: int
    mean: float
    median: int
    max: int
    longer_than_window: float
    bins: tuple[tuple[int, int, int], ...]

    def as_json(self) -> dict[str, Any]:
        """Give what ``--json`` prints of it."""
        said = attrs.asdict(self, filter=lambda field, _: field.name != "bins")
        return said | {"bins": [{"from": low, "to": high, "documents": count} for low, high, count in self.bins]}


@attrs.frozen
class Inspection:
    """What there is to see.

    ``dropped_fraction`` is the share of the text's bytes that no token stands for. ``unknown_fraction`` is the share of
    tokens that stand for U+FFFD, which is what tokenizers and readers put for what they cannot say; it is counted over
    the first ``counted_tokens`` that training sees.
    """

    windows: tuple[Window, ...]
    eot_id: int
    bytes_per_token: float
    dropped_fraction: float
    unknown_fraction: float
    counted_tokens: int
    document_lengths: DocumentLengths

    def as_json(self) -> dict[str, Any]:
        """Give what ``--json`` prints under ``inspect``."""
        return {
            "windows": [window.as_json() for window in self.windows],
            "bytes_per_token": self.bytes_per_token,
            "dropped_fraction": self.dropped_fraction,
            "unknown_fraction": self.unknown_fraction,
            "counted_tokens": self.counted_tokens,
            "document_lengths": self.document_lengths.as_json(),
        }


def inspect(prepared: Any, tokenizer: Any, spec: Any, num_windows: int) -> Inspection:
    """Look at prepared tokens; the windows are the first that a run of this spec is trained on."""
    context_window, trainer, tokens = spec.model.context_window, spec.trainer, prepared.train
    available = tokens.num_windows(context_window)
    sampling = sampling_of(tokens, partial(trainer.datasampling.build, trainer), context_window, spec.general.seed)
    order = sampling.order(0, min(available, max(num_windows, _COUNTED_TOKENS // context_window)))
    said, pieces = prepared.manifest, Pieces(tokenizer)
    counted, unknown = _unknown(tokens, order, context_window, pieces)
    stored = sum(said["split_bytes"].values())
    masked = tokens.has_mask and getattr(trainer, "loss_on", "all") == "completion"
    return Inspection(
        windows=tuple(_windows(tokens, order[:num_windows], context_window, pieces, masked=masked)),
        eot_id=said["eot_id"],
        bytes_per_token=stored / sum(said["tokens"].values()),
        dropped_fraction=max(0.0, 1 - stored / said["bytes"]),
        unknown_fraction=unknown / counted,
        counted_tokens=counted,
        document_lengths=document_lengths(lengths_files(prepared), context_window),
    )


class Pieces:
    """The text of single tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._known: dict[int, bytes] = {}

    def bytes_of(self, token: int) -> bytes:
        """Give the bytes of a token within a text."""
        if token not in self._known:
            self._known[token] = bytes_within(self.tokenizer, token)
        return self._known[token]

    def text_of(self, token: int) -> str:
        """Give the text of a token; of the end of text, what people call it."""
        if token == self.tokenizer.eot_id:
            return "<|eot|>"
        return self.bytes_of(token).decode("utf-8", "backslashreplace")


def _windows(
    tokens: Any, order: NDArray[np.int64], context_window: int, pieces: Pieces, *, masked: bool
) -> Iterator[Window]:
    read = tokens.windows(order, context_window).tolist()
    masks = tokens.completion_mask(order, context_window).tolist() if masked else [None] * len(read)
    for ids, mask in zip(read, masks, strict=True):
        yield Window(tuple(ids), tuple(map(pieces.text_of, ids)), None if mask is None else tuple(mask))


def _unknown(tokens: Any, order: NDArray[np.int64], context_window: int, pieces: Pieces) -> tuple[int, int]:
    """Count the tokens of windows, and those of them that stand for what is unknown; neighbors share no token here."""
    total = unknown = 0
    for first in range(0, len(order), 1024):
        ids, counts = np.unique(tokens.windows(order[first : first + 1024], context_window)[:, 1:], return_counts=True)
        total += int(counts.sum())
        unknown += sum(
            count
            for one, count in zip(ids.tolist(), counts.tolist(), strict=True)
            if one != pieces.tokenizer.eot_id and UNKNOWN in pieces.bytes_of(one)
        )
    return total, unknown


def lengths_files(prepared: Any) -> list[Path]:
    """Give the files that hold how long documents are; of those whose tails are held out, how long the rest is."""
    return [
        (one.folder / shard["file"]).with_suffix(".lengths")
        for one in getattr(prepared, "members", (prepared,))
        for shard in one.manifest["shards"]
        if shard["split"] == "train" or one.manifest["split_rule"] != SplitRule.TAILS.value
    ]


def document_lengths(files: list[Path], context_window: int) -> DocumentLengths:
    """Go twice through the lengths of documents, however many, a bounded number at a time."""
    counts, upper = np.zeros(32, dtype=np.int64), np.zeros(1 << _HALF_BITS, dtype=np.int64)
    documents = total = longest = longer = 0
    for lengths in _lengths(files):
        counts += np.bincount(np.frexp(lengths)[1] - 1, minlength=32)  # the exponent: where the highest bit is
        upper += np.bincount(lengths >> _HALF_BITS, minlength=len(upper))
        documents, total = documents + len(lengths), total + int(lengths.sum())
        longest, longer = max(longest, int(lengths.max())), longer + int((lengths > context_window).sum())
    there = np.flatnonzero(counts)
    span = range(int(there[0]), int(there[-1]) + 1) if len(there) else range(0)
    return DocumentLengths(
        documents=documents,
        mean=total / documents if documents else 0.0,
        median=_median(files, upper, documents),
        max=longest,
        longer_than_window=longer / documents if documents else 0.0,
        bins=tuple((1 << i, min(_LONGEST, 2 << i) - 1, int(counts[i])) for i in span),
    )


def _median(files: list[Path], upper: NDArray[np.int64], documents: int) -> int:
    """Find the length that half of the documents do not exceed; its ``upper`` bits are counted, its lower ones here."""
    if not documents:
        return 0
    wanted = (documents + 1) // 2
    high = int(np.searchsorted(np.cumsum(upper), wanted))
    lower = np.zeros(1 << _HALF_BITS, dtype=np.int64)
    for lengths in _lengths(files):
        within = lengths[lengths >> _HALF_BITS == high] & (len(lower) - 1)
        lower += np.bincount(within, minlength=len(lower))
    before = int(upper[:high].sum())
    return high << _HALF_BITS | int(np.searchsorted(np.cumsum(lower), wanted - before))


def _lengths(files: list[Path]) -> Iterator[NDArray[np.int64]]:
    for file in files:
        with open(file, "rb") as stream:
            while len(read := np.frombuffer(stream.read(4 * _READ_LENGTHS), dtype="<u4")):
                yield read.astype(np.int64)
