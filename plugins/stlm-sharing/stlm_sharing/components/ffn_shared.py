"""A core whose layers share feed-forward networks."""

from typing import Any

from stlm.components.core_model.options import recompute_every, too_few_to_recompute
from stlm.registry import between, build_in_layer, component, option, positive, rule
from stlm_sharing.components.options import Blocks


@component("core_model", "ffn_shared")
class FFNSharedCore(Blocks):
    """Fewer feed-forward networks than layers; attention is each layer's own (Lan et al., 2019; arXiv:1909.11942)."""

    num_layers: int = option(between(1, 10_000), doc="Number of layers.")
    num_ffn_groups: int = option(
        positive,
        default=1,
        doc="Number of feed-forward networks, each shared by equally many neighboring layers: 1 is one for all (Pires "
        "et al., 2023; arXiv:2309.01826), half of `num_layers` one for two neighbors (Liu et al., 2024; "
        "arXiv:2402.14905), `num_layers` core `generic`.",
    )
    share_ffn_norm: bool = option(
        default=False,
        doc="Whether the norm before the feed-forward network is shared too; else each layer has its own.",
    )
    c_proj_weight_tying: bool = option(
        default=False, doc="Whether all layers share one output projection of attention."
    )

    @rule("num_ffn_groups", "num_layers")
    def groups_divide_evenly(num_ffn_groups: int, num_layers: int) -> str | None:
        """The layers split evenly into groups."""
        if num_layers % num_ffn_groups == 0:
            return None
        fitting = ", ".join(str(n) for n in range(1, num_layers + 1) if num_layers % n == 0)
        return (
            f"{num_layers} layers cannot be split evenly into {num_ffn_groups} groups; "
            f"`num_ffn_groups` may be {fitting}"
        )

    @rule("activation_checkpointing", "num_layers")
    def there_is_a_layer_to_recompute(activation_checkpointing: str | int, num_layers: int) -> str | None:
        """Where every N-th layer is recomputed, there are at least N layers."""
        return too_few_to_recompute(activation_checkpointing, num_layers)

    def build(self, model: Any) -> Any:
        """Build the layers, then share what is to be shared."""
        from stlm_sharing.nn.ffn_shared import FFNSharedTransformer

        return FFNSharedTransformer(
            [
                (build_in_layer(self.attn, model, layer), build_in_layer(self.ffn, model, layer))
                for layer in range(self.num_layers)
            ],
            num_ffn_groups=self.num_ffn_groups,
            share_ffn_norm=self.share_ffn_norm,
            share_out_proj=self.c_proj_weight_tying,
            recompute_every=recompute_every(self.activation_checkpointing),
            hidden_dim=model.hidden_dim,
        )
