"""What both cores are told: their blocks, and which of them are run again in the backward pass."""

from typing import Any

from stlm.components.core_model.options import Recomputed, recomputed_blocks
from stlm.registry import block, section


@section
class Blocks:
    """Attention and feed-forward network, as in core `generic`."""

    attn: Any = block("attention", type_key="attn_type", doc="The attention of every block.")
    ffn: Any = block("ffn", type_key="ffn_type", doc="The feed-forward network of every block.")
    activation_checkpointing: Recomputed = recomputed_blocks()
