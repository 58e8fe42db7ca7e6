"""Rows as batches: rows of nearly one length side by side, so that next to nothing is computed for padding."""

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from stlm.evaluation.rows import Row
from stlm.nn.context import PADDING

CPU_TOKENS = 1024
"""Positions of a batch on a CPU: enough for its matrix products, few enough for its caches and for little padding."""
GPU_TOKENS = 32768
"""Those of a batch elsewhere, where a batch must fill the device."""
MOST_PADDING = 0.02
"""Share of padding in one batch at most, where it is large enough to be cut short (a quarter of a whole one)."""


def most_positions(device: torch.device) -> int:
    """Return how many positions a batch has on a device, about."""
    return CPU_TOKENS if device.type == "cpu" else GPU_TOKENS


def batches_of(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Group rows of ``lengths`` tokens by their numbers, the longest first, into batches of about ``most_tokens``.

    A row longer than that is a batch by itself.
    """
    groups: list[list[int]] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = max(1, lengths[index])
        if groups:
            width = max(1, lengths[groups[-1][0]])
            positions = width * (len(groups[-1]) + 1)
            padded = positions - tokens - length
            if positions <= most_tokens and not (4 * positions > most_tokens and padded > MOST_PADDING * positions):
                groups[-1].append(index)
                tokens += length
                continue
        groups.append([index])
        tokens = length
    return groups


def padding_share(lengths: Sequence[int], groups: Sequence[Sequence[int]]) -> float:
    """Return the share of all positions that hold no token."""
    positions = sum(len(group) * max(lengths[i] for i in group) for group in groups)
    return 1 - sum(lengths) / max(positions, 1)


@attrs.frozen
class RowBatch:
    """Rows side by side, each (batch, longest) int64, as a model takes them.

    ``at`` (n,) are the asked places in the flattened rows, each once; ``slots`` (m,) says for each pair which of them
    it is asked at, ``wanted`` (m,) for which token.
    """

    token_ids: Tensor
    positions: Tensor | None
    reach: Tensor | None
    segments: Tensor | None
    at: Tensor
    slots: Tensor
    wanted: Tensor


def side_by_side(rows: Sequence[Row], device: torch.device, *, mask_id: int | None = None) -> RowBatch:
    """Lay rows side by side, padded behind; for a model that sees both sides, ``mask_id`` hides tokens.

    It alone is told of padding, as a segment of its own: in a causal model nothing sees what stands behind it. Where
    documents are kept apart, as ``segments``, the model is told of these and of the positions in them.
    """
    longest = max(1, max(len(row.token_ids) for row in rows))
    branched = any(row.branches for row in rows)
    divided = any(row.segments is not None for row in rows)
    told = divided or (mask_id is not None and any(len(row.token_ids) < longest for row in rows))

    def laid(values: Sequence[Sequence[int]], padding: int) -> Tensor:
        return torch.tensor([[*own, *[padding] * (longest - len(own))] for own in values], dtype=torch.int64)

    token_ids = laid([row.token_ids for row in rows], 0)
    for number, row in enumerate(rows):
        if row.hidden is not None:
            assert mask_id is not None
            token_ids[number, row.hidden] = mask_id
    positions = laid([row.depths for row in rows], 0) if branched or divided else None
    reach = laid([row.reach for row in rows], longest) if branched else None
    segments = laid([row.segments or [0] * len(row.token_ids) for row in rows], PADDING) if told else None
    places = [number * longest + place for number, row in enumerate(rows) for place, _ in row.asked]
    at, slots = torch.tensor(places, dtype=torch.int64).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    wanted = torch.tensor([token for row in rows for _, token in row.asked], dtype=torch.int64)
    tensors = (token_ids, positions, reach, segments, at, slots, wanted)
    return RowBatch(*(None if tensor is None else tensor.to(device) for tensor in tensors))  # type: ignore[arg-type]
