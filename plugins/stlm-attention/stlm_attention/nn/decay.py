"""Pairs of tokens of a chunk whose products fade with what lies between them.

Shapes: "..." = batch, heads and chunks; C = tokens of a chunk, a power of 2; c = tokens of a block; P = pairs of
blocks; K and V = widths of a key and of a value.
"""

import torch
from torch import Tensor


def decayed_pairs(q: Tensor, k: Tensor, v: Tensor, total: Tensor, runs: Tensor | None) -> Tensor:
    """Return y_i = Σ_(j ≤ i) (Σ_d q_id k_jd exp(total_id - total_jd)) v_j, (..., C, V).

    q, k and ``total``, the sum of log decays up to each token, are (..., C, K), v is (..., C, V). Where ``runs``
    (..., C, 1) are given, the sum over j is over tokens of an equal number, and ``total`` may begin anew with each run.

    To make a matrix product of it, the exponential must be split at some point between j and i; split at the beginning
    of the chunk, exp(-total) overflows. So a chunk is halved, and its halves are, and so on. The keys of a first half
    meet the queries of the second, split where they touch: no exponent is above 0, and none needs a bound. What is left
    are tokens that meet themselves, where nothing decays.
    The paper splits a chunk into blocks of one size, and multiplies out the pairs within a block (Yang et al., 2023;
    arXiv:2312.06635, section 4.3); the sums are the same.
    """
    y = (q * k).sum(dim=-1, keepdim=True) * v
    size = 1
    while size < q.shape[-2]:
        early, late = zip(*(_halves(x, size) for x in (q, k, v, total)), strict=True)
        split = early[3][..., -1:, :]
        from_split, to_split = late[3] - split, split - early[3]
        if runs is not None:  # a pair of one run has the split in that run too
            earlier, later = _halves(runs, size)
            of_split = earlier[..., -1:, :]
            from_split = from_split.masked_fill(later != of_split, -torch.inf)
            to_split = to_split.masked_fill(earlier != of_split, -torch.inf)
        scores = (late[0] * from_split.exp()) @ (early[1] * to_split.exp()).transpose(-1, -2)
        _halves(y, size)[1].add_(scores @ early[2])
        size *= 2
    return y


def _halves(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """View the first and the second of each two neighboring blocks: (..., C, D) -> twice (..., P, c, D)."""
    pairs = x.unflatten(-2, (-1, 2, size))
    return pairs.select(-3, 0), pairs.select(-3, 1)
