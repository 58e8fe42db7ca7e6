"""The transformer core, good for almost every classic decoder or encoder."""

from typing import Any, Literal

from stlm.registry import between, block, build_in_layer, component, option, positive, rule


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
    activation_checkpointing: Literal["none", "full"] | int = option(
        positive,
        default="none",
        doc="Blocks that keep only their input for the backward pass, which runs them again: `none`, `full` for every "
        "one, N for the N-th, the 2N-th and so on. It saves memory; `full` takes about a third more time. No "
        "result depends on it, and counts of operations are without it.",
    )

    @rule("activation_checkpointing", "num_layers")
    def there_is_a_block_to_recompute(activation_checkpointing: str | int, num_layers: int) -> str | None:
        """Where every N-th block is recomputed, there are at least N blocks."""
        if isinstance(activation_checkpointing, str) or activation_checkpointing <= num_layers:
            return None
        return (
            f"`activation_checkpointing` is {activation_checkpointing}, but there are only {num_layers} blocks, so "
            "that none would be recomputed; `none` says so"
        )

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
            recompute_every={"none": 0, "full": 1}.get(self.activation_checkpointing, self.activation_checkpointing),
            hidden_dim=model.hidden_dim,
        )
