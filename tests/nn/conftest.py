"""Networks small enough for a test, made of plain modules."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from stlm.nn import (
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    Learned,
    LMHead,
    ModelShell,
    NoPositions,
    RMSNorm,
    Rotary,
    SelfAttention,
    SinCos,
    TokenEmbedding,
    TransformerCore,
    initialize,
    materialize,
    schemes,
)

EPS = 1e-5


def build_network(
    *,
    vocab: int = 50,
    hidden: int = 32,
    layers: int = 2,
    q_heads: int = 4,
    kv_heads: int = 4,
    head_dim: int = 8,
    ffn_dim: int = 64,
    gated: bool = False,
    norm: str = "rms",
    qk_norm: bool = False,
    positions: str = "rope",
    activation: nn.Module | None = None,
    bias: bool = False,
    head_bias: bool = False,
    tied: bool = True,
    causal: bool = True,
    dropout: float = 0.0,
    num_positions: int = 64,
    share_ffn: bool = False,
    share_out_proj: bool = False,
    recompute_every: int = 0,
) -> ModelShell:
    """Build a network on the device at hand; its weights hold nothing yet where that is the meta device."""

    def make_norm(dim: int = hidden) -> nn.Module:
        if norm == "none":
            return nn.Identity()
        return RMSNorm(dim, eps=EPS) if norm == "rms" else LayerNorm(dim, eps=EPS)

    def make_attention() -> nn.Module:
        return SelfAttention(
            hidden,
            num_q_heads=q_heads,
            num_kv_heads=kv_heads,
            head_dim=head_dim,
            causal=causal,
            norm=make_norm(),
            bias=bias,
            dropout=dropout,
            q_norm=make_norm(head_dim) if qk_norm else None,
            k_norm=make_norm(head_dim) if qk_norm else None,
        )

    def make_ffn() -> nn.Module:
        if gated:
            return GatedFeedForward(hidden, ffn_dim, norm=make_norm(), bias=bias, activation=activation)
        act = activation or nn.GELU()
        return FeedForward(hidden, ffn_dim, activation=act, norm=make_norm(), bias=bias, dropout=dropout)

    encodings = {
        "rope": Rotary,
        "none": NoPositions,
        "sincos": lambda: SinCos(hidden),
        "learned": lambda: Learned(num_positions, hidden),
    }
    return ModelShell(
        TokenEmbedding(vocab, hidden, tied=tied, dropout=dropout),
        TransformerCore(
            [(make_attention(), make_ffn()) for _ in range(layers)],
            share_ffn=share_ffn,
            share_out_proj=share_out_proj,
            recompute_every=recompute_every,
            hidden_dim=hidden,
        ),
        LMHead(hidden, vocab, norm=make_norm(), bias=head_bias, dropout=dropout),
        encodings[positions](),
    )


@pytest.fixture
def network() -> Callable[..., ModelShell]:
    """Make networks on the CPU with every weight drawn widely, so that no path through them is near zero."""

    def make(seed: int = 0, **options: object) -> ModelShell:
        with torch.device("meta"):
            made = build_network(**options)  # type: ignore[arg-type]
        return initialize(materialize(made, "cpu"), schemes.Normal(0.2, 0.2), seed).eval()

    return make


@pytest.fixture
def meta_network() -> Callable[..., ModelShell]:
    """Make networks on the meta device."""

    def make(**options: object) -> ModelShell:
        with torch.device("meta"):
            return build_network(**options)  # type: ignore[arg-type]

    return make
