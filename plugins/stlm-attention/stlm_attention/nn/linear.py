"""Linear attention. Shapes: B = batch, S = tokens of this call, H = heads, D = width of a head."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from stlm.nn import Context, Linear, cost
from stlm.nn.prepared import prepare
from stlm_attention.nn.recurrence import RunningState
from stlm_attention.nn.running import RunningAttention, in_float32


class LinearAttention(RunningAttention):
    """Causal attention with the kernel φ(q)·φ(k), φ = elu + 1: y_i = Σ φ(q_i)·φ(k_j) v_j / Σ φ(q_i)·φ(k_j), j ≤ i.

    Shape: (B, S, hidden) -> (B, S, hidden), without the residual. A positional encoding that rotates q and k rotates
    φ(q) and φ(k) in the numerator alone, so that weights depend on distances and the denominator stays above 0 (Su et
    al., 2021; arXiv:2104.09864, equation 19). The last column of a state is the denominator's.
    Source: Katharopoulos et al., 2020 (arXiv:2006.16236), equations 8 to 12; the chunks are not in the paper.
    """

    def __init__(
        self,
        hidden_dim: int,
        *,
        num_heads: int,
        head_dim: int,
        chunk_size: int,
        norm: nn.Module,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        shape = (head_dim, head_dim + 1)
        super().__init__(num_heads=num_heads, state_shape=shape, chunk_size=chunk_size, norm=norm, dropout=dropout)
        width = num_heads * head_dim
        self.qkv = Linear(hidden_dim, 3 * width, bias, parts=(width,) * 3)
        self.out_proj = Linear(width, hidden_dim, bias, into_residual=True)

    def forward(self, x: Tensor, context: Context, state: RunningState | None = None) -> Tensor:
        """Attend within ``x``, and, with a ``state``, to all that it has taken in."""
        return self.out_proj(self._attend(self.qkv(self._entrance(x)), context, state))

    def prepared(self) -> Callable[..., Tensor]:
        """Return `forward` as a function; see `stlm.nn.prepared`."""
        norm, qkv, out_proj = prepare(self.norm), prepare(self.qkv), prepare(self.out_proj)

        def forward(x: Tensor, context: Context, state: RunningState | None = None) -> Tensor:
            return out_proj(self._attend(qkv(norm(x)), context, state))

        return forward

    def _attend(self, qkv: Tensor, context: Context, state: RunningState | None) -> Tensor:
        """Return the heads' results side by side, (B, S, H · D)."""
        heads = qkv.unflatten(-1, (3 * self.num_heads, -1)).transpose(1, 2)
        qk, v = heads.split((2 * self.num_heads, self.num_heads), dim=1)
        with in_float32(qkv.device):
            y = self._weighed(feature_map(qk.float()), v.float(), context, state)
        return y.to(v.dtype).transpose(1, 2).flatten(2)

    def _weighed(self, qk: Tensor, v: Tensor, context: Context, state: RunningState | None) -> Tensor:
        run, sums = self.recurrence(context, state), None if state is None else state.sums
        q, k = qk.chunk(2, dim=1)
        ones = v.new_ones(*v.shape[:-1], 1)
        if not any(hasattr(context.positional_encoding, act) for act in ("on_qk", "on_heads")):
            y, after = run(q, k, torch.cat((v, ones), dim=-1), sums=sums)
            weighed, total = y[..., :-1], y[..., -1:]
        else:
            rotated_q, rotated_k = context.encode_heads(qk, self.num_heads)
            of_values, of_ones = (None, None) if sums is None else (sums[..., :-1], sums[..., -1:])
            weighed, values_after = run(rotated_q, rotated_k, v, sums=of_values)
            total, ones_after = run(q, k, ones, sums=of_ones)
            after = torch.cat((values_after, ones_after), dim=-1)
        if state is not None:
            state.sums = after
        return weighed / total.clamp_min(torch.finfo(total.dtype).tiny)

    def flops_per_token(self, seq_len: int) -> float:
        """Count the projections, half of the pairs of a chunk, and writing and reading the state."""
        return cost.sum_of_children(cost.flops_per_token, self, seq_len) + self.recurrence_flops(seq_len)

    def encoded_elements(self) -> int:
        """Count rotated q and k, float32 as they are, beside those that are not, which the denominator needs.

        Then v is not kept beside a column of ones, but as the projection gave it. Under bf16 that comes to as much.
        """
        return 4 * self.out_proj.in_features

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Count what goes into the recurrence and comes out, float32, and not what is computed again."""
        hidden, values = self.qkv.in_features, self.out_proj.in_features
        recurrence = 4 * (2 * values + 2 * (values + self.num_heads) + self.num_heads)  # q, k; v, y; the denominator
        return self.entrance_bytes(seq_len, width) + width * (hidden + values) + recurrence


def feature_map(x: Tensor) -> Tensor:
    """Return elu(x) + 1: e^x below 0, x + 1 from there on."""
    if not torch.is_grad_enabled():
        return _mapped(x)
    mapped: Tensor = _FeatureMap.apply(x)
    return mapped


def _mapped(x: Tensor) -> Tensor:
    return x.clamp(max=0).exp_().add_(x.relu())  # either e^x + 0, or 1 + x


class _FeatureMap(torch.autograd.Function):
    """elu + 1, without the difference e^x - 1 + 1, which leaves nothing below -17; its result tells its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = _mapped(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, d_y: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return d_y * y.clamp(max=1)
