"""The network of a spec, written a second time: in float64, position by position, from the formulas of the papers.

It reads the options that a spec resolves to and weights by their names, and shares no code with `stlm.nn`. Attention is
a loop over queries, heads and keys with its softmax written out; a rotation is a matrix; norms and activations are
their formulas.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor, Mapping[str, Any]], Tensor]] = {
    "gelu": lambda x, said: x / 2 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x, said: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x, said: torch.where(x > 0, x, 0.0),
    "leakyrelu": lambda x, said: torch.where(x > 0, x, said["negative_slope"] * x),
    "tanh": lambda x, said: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
    "sigmoid": lambda x, said: 1 / (1 + torch.exp(-x)),
    "silu": lambda x, said: x / (1 + torch.exp(-x)),
    "none": lambda x, said: x,
}
"""Each activation's formula, given what the spec says beside it."""


class ByHand:
    """A network that is called as ours is; ``leaves`` are its own copies of the weights, by name, with gradients.

    ``masks`` stand for what dropout draws: what to multiply with, in the order in which the places come.
    """

    def __init__(self, options: Mapping[str, Any], ours: nn.Module, masks: Iterable[Tensor] | None = None) -> None:
        self.options = options
        self.values = {name: p.detach().double() for name, p in ours.named_parameters(remove_duplicate=False)}
        self.leaves: dict[str, Tensor] = {}
        self.masks = None if masks is None else iter(masks)

    def __call__(self, ids: Tensor, positions: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """Return logits, (batch, seq, vocab)."""
        where = torch.arange(ids.shape[1]).expand_as(ids) if positions is None else positions.expand_as(ids)
        x = self.weight("embedder.token_embedding.weight")[ids]
        x = self.drop(x + self.added_positions(where))
        for index in range(self.options["num_layers"]):
            block = f"core.blocks.{index}"
            x = x + self.attention(f"{block}.attn", x, where, segments)
            x = x + self.feed_forward(f"{block}.ffn", x)
        x = self.drop(self.norm("head.norm", self.options["lm_head_normalization"], x))
        return self.linear("head.linear", x)

    def gradients(self, ours: nn.Module) -> list[tuple[Tensor, Tensor]]:
        """Pair the gradients of our parameters with those of the leaves, which must be the same ones."""
        parameters = dict(ours.named_parameters())
        assert parameters.keys() == self.leaves.keys()
        return [(p.grad, self.leaves[name].grad) for name, p in parameters.items()]

    def weight(self, name: str) -> Tensor:
        """Return a weight, the one that it is tied to where the spec ties it."""
        ffn, out_proj = name.split(".ffn."), name.split(".attn.out_proj.")
        if name == "head.linear.weight" and self.options["embedding_weight_tying"]:
            name = "embedder.token_embedding.weight"
        elif len(ffn) == 2 and not ffn[1].startswith("norm.") and self.options["ffn_weight_tying"]:
            name = f"core.blocks.0.ffn.{ffn[1]}"
        elif len(out_proj) == 2 and self.options["c_proj_weight_tying"]:
            name = f"core.blocks.0.attn.out_proj.{out_proj[1]}"
        if name not in self.leaves:
            self.leaves[name] = self.values[name].clone().requires_grad_()
        return self.leaves[name]

    def drop(self, x: Tensor) -> Tensor:
        """Apply the next mask, where there are any."""
        return x if self.masks is None else x * next(self.masks)

    def linear(self, path: str, x: Tensor, bias: bool | None = None) -> Tensor:
        """Multiply each row by the weight, and add the bias where the spec asks for one."""
        y = torch.einsum("oi,...i->...o", self.weight(f"{path}.weight"), x)
        wanted = self.options["lm_head_bias"] if bias is None else bias
        return y + self.weight(f"{path}.bias") if wanted else y

    def norm(self, path: str, kind: str, x: Tensor) -> Tensor:
        """Normalize the last axis by the formula; ``none`` does nothing."""
        width, eps = x.shape[-1], self.options["norm_eps"]
        if kind == "rms_norm":
            return x / torch.sqrt((x * x).sum(-1, keepdim=True) / width + eps) * self.weight(f"{path}.weight")
        if kind == "layer_norm":
            centered = x - x.sum(-1, keepdim=True) / width
            scaled = centered / torch.sqrt((centered * centered).sum(-1, keepdim=True) / width + eps)
            return scaled * self.weight(f"{path}.weight") + self.weight(f"{path}.bias")
        assert kind == "none"
        return x

    def added_positions(self, positions: Tensor) -> Tensor:
        """Return what the positional encoding adds to embedded tokens, (batch, seq, hidden)."""
        kind, hidden = self.options["positional_encoding_type"], self.options["hidden_dim"]
        if kind == "learned":
            return self.weight("positional_encoding.position_embedding.weight")[positions]
        waves = {int(p): sincos(int(p), hidden) if kind == "sincos" else [0.0] * hidden for p in positions.unique()}
        return torch.tensor([[waves[int(p)] for p in row] for row in positions], dtype=torch.float64)

    def attention(self, path: str, x: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """Attend by loops: sequence by sequence, head by head, query by query, key by key."""
        said = self.options["attn"]
        heads, kv_heads, dim = said["num_q_heads"], said["num_kv_heads"], said["head_dim"]
        qkv = self.linear(f"{path}.qkv", self.drop(self.norm(f"{path}.norm", said["normalization"], x)), said["bias"])
        q = qkv[..., : heads * dim].unflatten(-1, (heads, dim))
        k = qkv[..., heads * dim : (heads + kv_heads) * dim].unflatten(-1, (kv_heads, dim))
        v = qkv[..., (heads + kv_heads) * dim :].unflatten(-1, (kv_heads, dim))
        q, k = (self.norm(f"{path}.{n}_norm", said["qk_norm"], t) for n, t in (("q", q), ("k", k)))
        if self.options["positional_encoding_type"] == "rope":
            turns = {int(p): rotation(int(p), dim, self.options["rope_theta"]) for p in positions.unique()}
            turn = torch.stack([torch.stack([turns[int(p)] for p in row]) for row in positions])
            q, k = (torch.einsum("bsij,bshj->bshi", turn, t) for t in (q, k))
        causal = said["attn_type"] == "causal"
        rows = [
            attend(q[b], k[b], v[b], causal=causal, segments=None if segments is None else segments[b])
            for b in range(x.shape[0])
        ]
        return self.linear(f"{path}.out_proj", torch.stack(rows), said["bias"])

    def feed_forward(self, path: str, x: Tensor) -> Tensor:
        """Compute the network of the block."""
        said = self.options["ffn"]
        x = self.norm(f"{path}.norm", said["normalization"], x)
        if said["ffn_type"] == "silu_ffn":
            gate, up = (self.linear(f"{path}.{name}", x, said["bias"]) for name in ("gate", "up"))
            return self.linear(f"{path}.down", ACTIVATIONS["silu"](gate, {}) * up, said["bias"])
        assert said["ffn_type"] == "generic"
        up = self.linear(f"{path}.up", self.drop(x), said["bias"])
        return self.linear(f"{path}.down", ACTIVATIONS[said["activation"]](up, said), said["bias"])


def attend(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, segments: Tensor | None = None) -> Tensor:
    """Attend within one sequence: q (seq, heads, dim), k and v (seq, kv_heads, dim) -> (seq, heads * dim)."""
    seq, heads, dim = q.shape
    group = heads // k.shape[1]
    rows = []
    for i in range(seq):
        seen = [j for j in range(seq) if (j <= i or not causal) and (segments is None or segments[i] == segments[j])]
        for head in range(heads):
            shared = head // group  # neighbors share: heads 0 to group - 1 read the first keys and values
            scores = [(q[i, head] * k[j, shared]).sum() / math.sqrt(dim) for j in seen]
            highest = max(score.item() for score in scores)
            shares = [torch.exp(score - highest) for score in scores]
            total = sum(shares)
            rows.append(sum(share / total * v[j, shared] for share, j in zip(shares, seen, strict=True)))
    return torch.stack(rows).reshape(seq, heads * dim)


def rotation(position: int, dim: int, theta: float) -> Tensor:
    """Return the matrix that turns the pair of elements i and i + dim/2 by position · theta^(-2i/dim), (dim, dim)."""
    matrix = torch.zeros(dim, dim, dtype=torch.float64)
    for i in range(dim // 2):
        angle, j = position * theta ** (-2 * i / dim), i + dim // 2
        matrix[i, i], matrix[i, j] = math.cos(angle), -math.sin(angle)
        matrix[j, i], matrix[j, j] = math.sin(angle), math.cos(angle)
    return matrix


def sincos(position: int, dim: int) -> list[float]:
    """Return the waves of Vaswani et al.: PE(pos, 2i) = sin(pos / 10000^(2i/dim)), PE(pos, 2i+1) = cos(the same)."""
    waves = []
    for i in range(dim // 2):
        angle = position / 10_000 ** (2 * i / dim)
        waves += [math.sin(angle), math.cos(angle)]
    return waves
