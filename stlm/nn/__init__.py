"""The network's parts in plain PyTorch, usable without the rest of stlm: modules, initialization, losses and costs."""

from stlm.nn.attention import KeyValueCache, SelfAttention, attend
from stlm.nn.causality import is_causal, takes_branches
from stlm.nn.context import PADDING, Context
from stlm.nn.core import Block, TransformerCore, share_parameters
from stlm.nn.embedding import TokenEmbedding
from stlm.nn.feed_forward import FeedForward, GatedFeedForward
from stlm.nn.head import LMHead, plain_linear_map
from stlm.nn.initialize import initialize, materialize
from stlm.nn.linear import Linear
from stlm.nn.losses import IGNORE, chunked_cross_entropy, counted_rows, linear_cross_entropy
from stlm.nn.norm import LayerNorm, RMSNorm
from stlm.nn.positions import Learned, NoPositions, Rotary, SinCos
from stlm.nn.prepared import prepare
from stlm.nn.random import derive_seed, random_stream
from stlm.nn.shell import GenerationState, ModelShell

__all__ = [
    "IGNORE",
    "PADDING",
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
    "attend",
    "chunked_cross_entropy",
    "counted_rows",
    "derive_seed",
    "initialize",
    "is_causal",
    "linear_cross_entropy",
    "materialize",
    "plain_linear_map",
    "prepare",
    "random_stream",
    "share_parameters",
    "takes_branches",
]
