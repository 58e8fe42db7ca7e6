"""The kernel of flash-linear-attention (github.com/fla-org/flash-linear-attention), where it is installed."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch.nn.functional as F
from torch import Tensor


@cache
def kernel() -> Callable[..., tuple[Tensor, Tensor | None]] | None:
    """Return `fla.ops.gla.chunk_gla`, or None where the library is not installed."""
    if find_spec("fla") is None:
        return None
    from fla.ops.gla import chunk_gla

    return chunk_gla


def attend(
    chunk_gla: Callable[..., tuple[Tensor, Tensor | None]],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    segments: Tensor | None,
) -> Tensor:
    """Compute what `stlm_attention.nn.recurrence.recur` does, from no state: (batch, heads, seq, V).

    q, k and ``log_decay`` are (batch, heads, seq, K), v (batch, heads, seq, V), ``segments`` (batch, seq). The kernel
    wants heads behind tokens; of several texts, all tokens in one row, and where each text begins and the last ends.
    """
    batch = q.shape[0]
    by_token = [x.transpose(1, 2) for x in (q, k, v, log_decay)]
    if segments is None:
        return chunk_gla(*by_token, scale=1.0)[0].transpose(1, 2)
    begins = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0), value=True).flatten()
    bounds = F.pad(begins.nonzero().squeeze(1), (0, 1), value=begins.numel())
    y = chunk_gla(*(x.flatten(0, 1).unsqueeze(0) for x in by_token), scale=1.0, cu_seqlens=bounds)[0]
    return y.squeeze(0).unflatten(0, (batch, -1)).transpose(1, 2)
