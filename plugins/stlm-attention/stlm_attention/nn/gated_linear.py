"""Gated linear attention. Shapes: B = batch, S = tokens of this call, H = heads, K and V = widths of key and value."""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import Context, Linear, cost
from stlm.nn.prepared import prepare
from stlm_attention.nn import fla
from stlm_attention.nn.recurrence import RunningState
from stlm_attention.nn.running import RunningAttention, in_float32


class _Parts(NamedTuple):
    """The modules of `GatedLinearAttention` by name, as they are or as functions that stand for them."""

    qkvr: Callable[[Tensor], Tensor]
    decay_down: Callable[[Tensor], Tensor]
    decay_up: Callable[[Tensor], Tensor]
    head_norm: Callable[[Tensor], Tensor]
    out_proj: Callable[[Tensor], Tensor]


class GatedLinearAttention(RunningAttention):
    """Attention by a state that fades: S_t = diag(α_t) S_(t-1) + k_t v_tᵀ, y_t = S_tᵀ q_t / √K.

    The decays α_t = σ(W₂ W₁ x_t + b)^(1/τ), each between 0 and 1, are of low rank in x. Each head's y is normalized,
    then multiplied by swish(W_r x), then projected back.
    Shape: (B, S, hidden) -> (B, S, hidden), without the residual. Source: Yang et al., 2023 (arXiv:2312.06635), section
    4.4; the output gate has no bias, and the norm of a head may be any, as in the authors' code (github.com/fla-org/
    flash-linear-attention). Where that is installed, a CUDA device runs its kernel (`stlm_attention.nn.fla`).
    """

    def __init__(
        self,
        hidden_dim: int,
        *,
        num_heads: int,
        key_head_dim: int,
        value_head_dim: int,
        decay_rank: int,
        decay_temperature: float,
        chunk_size: int,
        norm: nn.Module,
        head_norm: nn.Module,
        dropout: float = 0.0,
    ) -> None:
        shape = (key_head_dim, value_head_dim)
        super().__init__(num_heads=num_heads, state_shape=shape, chunk_size=chunk_size, norm=norm, dropout=dropout)
        self.decay_temperature = decay_temperature
        keys, values = num_heads * key_head_dim, num_heads * value_head_dim
        self.qkvr = Linear(hidden_dim, 2 * keys + 2 * values, False, parts=(keys, keys, values, values))
        self.decay_down = Linear(hidden_dim, decay_rank, False)
        self.decay_up = Linear(decay_rank, keys)
        self.head_norm = head_norm
        self.out_proj = Linear(values, hidden_dim, False, into_residual=True)

    def forward(self, x: Tensor, context: Context, state: RunningState | None = None) -> Tensor:
        """Attend within ``x``, and, with a ``state``, to all that it has taken in."""
        parts = _Parts(*(getattr(self, name) for name in _Parts._fields))
        return self._attend(parts, self._entrance(x), context, state)

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        norm, parts = prepare(self.norm), _Parts(*(prepare(getattr(self, name)) for name in _Parts._fields))

        def forward(x: Tensor, context: Context, state: RunningState | None = None) -> Tensor:
            return self._attend(parts, norm(x), context, state)

        return forward

    def _attend(self, parts: _Parts, x: Tensor, context: Context, state: RunningState | None) -> Tensor:
        q, k, v, gate = parts.qkvr(x).split(self.qkvr.parts, dim=-1)
        q, k = context.encode_qk(self.apart(q), self.apart(k))
        v = self.apart(v)
        decay = parts.decay_up(parts.decay_down(x)).float()
        log_decay = self.apart(F.logsigmoid(decay) / self.decay_temperature)
        y = self._read(q * q.shape[-1] ** -0.5, k, v, log_decay, context, state)
        y = parts.head_norm(y.to(gate.dtype).transpose(1, 2)).flatten(2)
        return parts.out_proj(y * F.silu(gate))

    def _read(
        self, q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, context: Context, state: RunningState | None
    ) -> Tensor:
        kernel = fla.kernel() if state is None and q.is_cuda else None
        if kernel is not None:
            return fla.attend(kernel, q, k, v, log_decay, context.segments)
        run, sums = self.recurrence(context, state), None if state is None else state.sums
        with in_float32(q.device):
            y, after = run(q.float(), k.float(), v.float(), log_decay, sums=sums)
        if state is not None:
            state.sums = after
        return y

    def flops_per_token(self, seq_len: int) -> float:
        """Count the projections, half of the pairs of a chunk, and writing and reading the state."""
        return cost.sum_of_children(cost.flops_per_token, self, seq_len) + self.recurrence_flops(seq_len)

    def encoded_elements(self) -> int:
        """Count k once more where a positional encoding makes a new one of it; q is scaled, and so a new one anyway."""
        return self.qkvr.parts[1]

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what goes into the recurrence and comes out, float32, and not what is computed again."""
        hidden, (keys, _, values, _) = self.qkvr.in_features, self.qkvr.parts
        inputs = 2 if width < 4 else 1  # under autocast each of two layers keeps a narrow copy of its own
        projected = width * (inputs * hidden + self.decay_up.in_features + self.qkvr.out_features + 3 * values)
        widened = 4 * (keys + values) if width < 4 else 0  # k and v, which are the projection's own in float32
        heads = self.num_heads * cost.saved_bytes_per_token(self.head_norm, seq_len, width)
        decays_and_q = 4 * 4 * keys
        return self.entrance_bytes(seq_len, width) + projected + widened + heads + decays_and_q
