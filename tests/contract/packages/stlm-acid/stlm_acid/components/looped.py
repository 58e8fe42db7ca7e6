"""A core that thinks longer with the same weights."""

from typing import Any

from stlm.registry import block, component, option, positive


@component("core_model", "looped")
class LoopedCore:
    """A few blocks that are run several times (Universal Transformer: Dehghani et al., 2018; arXiv:1807.03819)."""

    layers_per_loop: int = option(positive, doc="Number of blocks with weights of their own.")
    num_loops: int = option(positive, doc="How often all of them are run.")
    attn: Any = block("attention", type_key="attn_type", doc="The attention of every block.")
    ffn: Any = block("ffn", type_key="ffn_type", doc="The feed-forward network of every block.")

    @property
    def num_layers(self) -> int:
        """The depth of the network, by which an initialization may scale: blocks that a token goes through."""
        return self.layers_per_loop * self.num_loops

    def build(self, model: Any) -> Any:
        """Build the blocks of one loop."""
        from stlm_acid.nn.looped import LoopedTransformer

        blocks = [(self.attn.build(model), self.ffn.build(model)) for _ in range(self.layers_per_loop)]
        return LoopedTransformer(blocks, num_loops=self.num_loops)
