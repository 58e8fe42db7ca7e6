"""The network's parts in plain PyTorch, usable without the rest of stlm: modules, initialization, losses and costs."""

from stlm.nn.attention import KeyValueCache, SelfAttention
from stlm.nn.context import Context
from stlm.nn.core import Block, TransformerCore
from stlm.nn.embedding import TokenEmbedding
from stlm.nn.feed_forward import FeedForward, GatedFeedForward
from stlm.nn.head import LMHead
from stlm.nn.initialize import initialize, materialize
from stlm.nn.linear import Linear
from stlm.nn.losses import IGNORE, chunked_cross_entropy, linear_cross_entropy
from stlm.nn.norm import LayerNorm, RMSNorm
from stlm.nn.positions import Learned, NoPositions, Rotary, SinCos
from stlm.nn.random import derive_seed, random_stream
from stlm.nn.shell import GenerationState, ModelShell

__all__ = [
    "IGNORE",
    "Block",
    "Context",
    "FeedForward",
    "GatedFeedForward",
    "GenerationState",
    "KeyValueCache",
    "LMHead",
    "LayerNorm",
    "Learned",
    "Linear",
    "ModelShell",
    "NoPositions",
    "RMSNorm",
    "Rotary",
    "SelfAttention",
    "SinCos",
    "TokenEmbedding",
    "TransformerCore",
    "chunked_cross_entropy",
    "derive_seed",
    "initialize",
    "linear_cross_entropy",
    "materialize",
    "random_stream",
]
