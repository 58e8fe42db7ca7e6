"""The transformer core, good for almost every classic decoder or encoder."""

from typing import Any

from stlm.components.core_model.options import Recomputed, recompute_every, recomputed_blocks, too_few_to_recompute
from stlm.registry import between, block, build_in_layer, component, option, rule


@component("core_model", "generic")
class GenericCore:
    """Blocks of attention, then feed-forward, on a residual stream (Vaswani et al., 2017; arXiv:1706.03762)."""

    num_layers: int = option(between(1, 10_000), doc="Number of blocks.")
    attn: Any = block("attention", type_key="attn_type", doc="The attention of every block.")
    ffn: Any = block("ffn", type_key="ffn_type", doc="The feed-forward network of every block.")
    ffn_weight_tying: bool = option(
        default=False, doc="Whether all blocks share one set of feed-forward weights; each keeps a norm of its own."
    )
    c_proj_weight_tying: bool = option(
        default=False, doc="Whether all blocks share one output projection of attention."
    )
    activation_checkpointing: Recomputed = recomputed_blocks()

    @rule("activation_checkpointing", "num_layers")
    def there_is_a_block_to_recompute(activation_checkpointing: str | int, num_layers: int) -> str | None:
        """Where every N-th block is recomputed, there are at least N blocks."""
        return too_few_to_recompute(activation_checkpointing, num_layers)

    def build(self, model: Any) -> Any:
        """Build the blocks and share what is to be shared."""
        from stlm.nn.core import TransformerCore

        return TransformerCore(
            [
                (build_in_layer(self.attn, model, layer), build_in_layer(self.ffn, model, layer))
                for layer in range(self.num_layers)
            ],
            share_ffn=self.ffn_weight_tying,
            share_out_proj=self.c_proj_weight_tying,
            recompute_every=recompute_every(self.activation_checkpointing),
            hidden_dim=model.hidden_dim,
        )
