"""Linear recurrences in chunks: S_t = diag(exp(g_t)) S_(t-1) + k_t v_tᵀ, y_t = S_tᵀ q_t, for all t at once.

Within a chunk tokens meet pair by pair; from chunk to chunk goes the state S, a matrix for each head. A whole text in
training and one token at a time in generation are the same computation, in chunks of different sizes.

Shapes: B = batch, H = heads, S = tokens of this call, C = tokens of a chunk, N = chunks; K and V = widths of a key and
of a value. Everything is float32, whatever the rest of the network works in: a state is a sum over a whole text.
Source: Yang et al., 2023 (arXiv:2312.06635), sections 3.2 and 4.2.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from stlm_attention.nn.decay import decayed_pairs


@dataclass
class RunningState:
    """What a recurrence remembers, however long the text: ``sums`` (B, H, K, V), float32, of one text alone.

    That is the text of the latest token, whose segment is ``segment`` (B, 1), or None where there are no segments.
    """

    sums: Tensor
    segment: Tensor | None = None


@dataclass(frozen=True)
class Borders:
    """Where texts end, in chunks. A text is a run of tokens of one segment: no sum can tell what is to be left out.

    ``runs`` (B, 1, N, C, 1) are the numbers of the texts; the others are 0 or 1. ``begins`` (B, 1, N, C, 1): the token
    is the first of its text. ``entering``: it is of the text that the chunk begins in the middle of. ``leaving``: it is
    of the text in which the chunk ends. ``carried`` (B, 1, N, 1, 1): these are the same text.
    """

    runs: Tensor
    begins: Tensor
    entering: Tensor
    leaving: Tensor
    carried: Tensor

    @classmethod
    def of(cls, segments: Tensor, before: Tensor | None, chunk_size: int) -> "Borders":
        """Find the borders in ``segments`` (B, S), behind a token of the segment ``before`` (B, 1) where one is given.

        The first text has the number 0 if it goes on from ``before``.
        """
        before = segments[:, :1] if before is None else before
        runs = (segments != torch.cat((before, segments[:, :-1]), dim=1)).cumsum(dim=1)
        chunk = chunk_of(chunk_size, runs.shape[1])
        last = runs[:, -1:].expand(-1, -runs.shape[1] % chunk)
        runs = torch.cat((runs, last), dim=1).unflatten(1, (-1, chunk))[:, None, :, :, None]
        end = runs[:, :, :, -1:]
        start = F.pad(end[:, :, :-1], (0, 0, 0, 0, 1, 0))
        begins = runs != torch.cat((start, runs[:, :, :, :-1]), dim=3)
        return cls(runs, begins, (runs == start).float(), (runs == end).float(), (start == end).float())

    def sums(self, log_decay: Tensor) -> Tensor:
        """Add up decays from where a token's text, or its chunk, begins: (B, H, N, C, K) -> the same.

        What the first token of a text decays is of another text, and is left out. A sum over the whole chunk would do
        in exact arithmetic, for only differences count; in float32, a text would be rounded by what stands before it.
        """
        earlier = (self.runs == self.runs.transpose(-1, -2)).tril().squeeze(1).to(log_decay.dtype)
        return torch.einsum("bnij,bhnjk->bhnik", earlier, log_decay.masked_fill(self.begins, 0))


def chunk_of(chunk_size: int, seq: int) -> int:
    """Return how many tokens a chunk has: ``chunk_size``, a power of 2, or a smaller one that holds ``seq`` tokens."""
    return min(chunk_size, 1 << (seq - 1).bit_length())


def recur(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None = None,
    *,
    state: Tensor | None = None,
    borders: Borders | None = None,
    chunk_size: int,
) -> tuple[Tensor, Tensor]:
    """Return y (B, H, S, V) and the state after the last token, (B, H, K, V).

    q, k and ``log_decay`` are (B, H, S, K), the latter at most 0, and 0 where it is not given; v is (B, H, S, V).
    ``state`` is that before the first token, 0 where it is not given. No exponential is taken of a number above 0, so
    that nothing overflows, however strong a decay is. For the backward pass the arguments alone are kept, and all is
    computed again: what is in between is several times as large, and takes little time.
    """
    arguments = q, k, v, log_decay, state, borders, chunk_size
    if not torch.is_grad_enabled():
        return _one_token(q, k, v, log_decay, state, borders) if q.shape[2] == 1 else _recur(*arguments)
    result: tuple[Tensor, Tensor] = checkpoint(_recur, *arguments, use_reentrant=False, preserve_rng_state=False)
    return result


def _recur(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    state: Tensor | None,
    borders: Borders | None,
    chunk_size: int,
) -> tuple[Tensor, Tensor]:
    seq = q.shape[2]
    chunk = chunk_of(chunk_size, seq)
    q, k, v = (_chunks(x, chunk) for x in (q, k, v))
    if log_decay is None:
        entering, leaving, carried = q, k, None
        scores = (q @ k.transpose(-1, -2)).tril()
        if borders is not None:
            scores = scores * (borders.runs == borders.runs.transpose(-1, -2))
        y = scores @ v
    else:
        log_decay = _chunks(log_decay, chunk)
        total = log_decay.cumsum(dim=-2) if borders is None else borders.sums(log_decay)
        whole = total[..., -1:, :]
        until_end = whole - total
        if borders is not None:  # between two texts, whose sums have nothing in common, it may be above 0
            until_end = until_end.masked_fill(borders.leaving == 0, -torch.inf)
        entering, leaving = q * total.exp(), k * until_end.exp()
        carried = whole.exp().transpose(-1, -2)
        y = decayed_pairs(q, k, v, total, None if borders is None else borders.runs)
    if borders is not None:
        entering, leaving = entering * borders.entering, leaving * borders.leaving
        carried = borders.carried if carried is None else carried * borders.carried
    states, state = _hand_on(leaving.transpose(-1, -2) @ v, carried, state)
    y = y + entering @ states
    return y.flatten(2, 3)[:, :, :seq], state


def _one_token(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None, state: Tensor | None, borders: Borders | None
) -> tuple[Tensor, Tensor]:
    """Take the step of one token as the equations say it: most of what chunks need would be of size 1."""
    if state is None:
        state = torch.zeros((), device=k.device)
    if log_decay is not None:
        state = state * log_decay.exp().transpose(-1, -2)
    if borders is not None:
        state = state * borders.carried[:, :, 0]
    state = torch.addcmul(state, k.transpose(-1, -2), v)
    return q @ state, state


def _chunks(x: Tensor, chunk: int) -> Tensor:
    """Cut (B, H, S, D) into (B, H, N, C, D), filled up with zeros, which add nothing to a state and decay nothing.

    It lies in memory as it is told, so that none of the products that follow makes, and keeps, a copy of its own.
    """
    missing = -x.shape[2] % chunk
    return (F.pad(x, (0, 0, 0, missing)) if missing else x).unflatten(2, (-1, chunk)).contiguous()


def _hand_on(sums: Tensor, carried: Tensor | None, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the states at the beginning of each chunk, (B, H, N, K, V), and the one at the end.

    ``sums`` (B, H, N, K, V) is what each chunk adds, ``carried`` (B, 1 or H, N, 1 or K, 1) what it leaves of the state.
    """
    state = torch.zeros_like(sums[:, :, 0]) if state is None else state
    states = []
    for index in range(sums.shape[2]):
        states.append(state)
        kept = state if carried is None else state * carried[:, :, index]
        state = kept + sums[:, :, index]
    return torch.stack(states, dim=2), state
