"""Cores that tell their blocks nothing of where they are, or something that is not so."""

from collections.abc import Callable
from typing import Any

from stlm.nn import TransformerCore
from stlm.registry import block, build_in_layer, component, option, positive
from tests.testing.faults import caught_by


def core_whose_attention_is_built(build_attention: Callable[[Any, Any, int], Any]) -> type:
    """A core of blocks, in each of which a function of the part, the model and the layer builds attention."""

    @component("core_model", "broken")
    class Broken:
        """A core whose layers are told wrongly."""

        num_layers: int = option(positive, doc="How many blocks there are.")
        attn: Any = block("attention", type_key="attn_type", doc="The attention in it.")
        ffn: Any = block("ffn", type_key="ffn_type", doc="The feed-forward network in it.")

        def build(self, model: Any) -> Any:
            layers = range(self.num_layers)
            return TransformerCore(
                [(build_attention(self.attn, model, i), build_in_layer(self.ffn, model, i)) for i in layers]
            )

    return Broken


@caught_by("tells-layers", "`attn` is built without its layer: a core builds it by `build_in_layer`")
def core_that_forgets_to_tell_the_layer() -> type:
    return core_whose_attention_is_built(lambda part, model, layer: part.build(model))


@caught_by("tells-layers", "`attn` is built 2 times, each time for layer 0")
def core_whose_blocks_are_all_the_first() -> type:
    return core_whose_attention_is_built(lambda part, model, layer: build_in_layer(part, model, 0))


@caught_by("tells-layers", "of 2 blocks, attention is built for the layers [1, 2]")
def core_that_counts_from_one() -> type:
    return core_whose_attention_is_built(lambda part, model, layer: build_in_layer(part, model, layer + 1))
