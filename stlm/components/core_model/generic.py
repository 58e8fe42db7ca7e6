"""The transformer core, good for almost every classic decoder or encoder."""

from typing import Any

from stlm.registry import between, block, component, option


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

    def build(self, model: Any) -> Any:
        """Build the blocks and share what is to be shared."""
        from stlm.nn.core import TransformerCore

        return TransformerCore(
            [(self.attn.build(model), self.ffn.build(model)) for _ in range(self.num_layers)],
            share_ffn=self.ffn_weight_tying,
            share_out_proj=self.c_proj_weight_tying,
        )
