"""What a published body is like: which way it looks, and where its positions come from; read off its modules."""

import re
import sys
from typing import Any

from torch import nn


def is_causal(body: Any, config: Any) -> bool:
    """Tell a decoder from an encoder, on the meta device too: its attentions say so, or what it is published for."""
    from transformers.models.auto import modeling_auto as auto

    if any(getattr(module, "is_causal", False) is True for module in body.modules()):
        return True
    kind = config.model_type
    return kind in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES


def makes_masks(body: Any) -> bool:
    """Whether a body's own code has its masks made by transformers, which then takes ours as they are."""
    module = sys.modules[type(body).__module__]
    return any(re.fullmatch(r"create_\w*mask\w*", name) for name in vars(module))


def _position_embeddings(body: Any) -> list[nn.Embedding]:
    named = body.named_modules()
    return [m for path, m in named if isinstance(m, nn.Embedding) and re.search(r"(^|\.)(wpe|\w*position\w*)$", path)]


def first_position(body: Any) -> int:
    """The row of the first position that is asked for by its row: a table with a row for padding begins behind it."""
    starts = [m.padding_idx + 1 for m in _position_embeddings(body) if m.padding_idx is not None]
    return starts[0] if starts else 0


def position_tables(body: Any, config: Any) -> list[tuple[int, int]]:
    """List the tables that end with the last position, trained and fixed: rows, and those before the first position."""
    trained = [
        (m.num_embeddings, getattr(m, "offset", 0) or (0 if m.padding_idx is None else m.padding_idx + 1))
        for m in _position_embeddings(body)
    ]
    last = getattr(config, "max_position_embeddings", None)
    buffers = [b for b in body.buffers() if b.dim() == 2 and b.is_floating_point()]
    return [*trained, *((len(b), 0) for b in buffers if len(b) == last)]


def most_positions(body: Any, config: Any) -> int | None:
    """Return how many positions there are where they come from tables; None where they have no end."""
    return min((rows - first for rows, first in position_tables(body, config)), default=None)
