"""A core that runs its blocks several times."""

from typing import Any, Literal

from stlm.components.core_model.options import recompute_every, too_few_to_recompute
from stlm.registry import between, build_in_layer, component, option, rule
from stlm_sharing.components.options import Blocks


@component("core_model", "looped")
class LoopedCore(Blocks):
    """A few blocks that are run several times (Universal Transformer: Dehghani et al., 2018; arXiv:1807.03819)."""

    num_blocks: int = option(between(1, 10_000), doc="Number of blocks with weights of their own.")
    num_loops: int = option(between(1, 1_000), doc="How often each block is run.")
    loop_order: Literal["cycle", "immediate"] = option(
        default="cycle",
        doc="All blocks, then all again (`cycle`: ABAB), or each block as often as it is run before the next "
        "(`immediate`: AABB, whose weights stay in a cache; Liu et al., 2024; arXiv:2402.14905).",
    )
    loop_embedding: bool = option(
        default=False,
        doc="Whether a learned vector for each loop is added to the stream where that loop begins, so that a block can "
        "tell its uses apart (learned, where arXiv:1807.03819 has sines).",
    )
    input_injection: bool = option(
        default=False,
        doc="Whether what entered the core is added to the stream again at the head of each further loop "
        "(Yang et al., 2023; arXiv:2311.12424); with `loop_order: cycle`.",
    )

    @property
    def num_layers(self) -> int:
        """The depth of the network, by which an initialization may scale: the blocks that a token goes through."""
        return self.num_blocks * self.num_loops

    @rule("input_injection", "loop_order")
    def a_loop_has_a_head(input_injection: bool, loop_order: str) -> str | None:
        """Only where all blocks are run in turn is there a place at which a loop begins."""
        if input_injection and loop_order != "cycle":
            return f"`input_injection` needs `loop_order: cycle`; with `{loop_order}`, loops have no common head"
        return None

    @rule("input_injection", "num_loops")
    def there_is_a_further_loop(input_injection: bool, num_loops: int) -> str | None:
        """Where the input is added again, there is a second loop."""
        if input_injection and num_loops == 1:
            return "`input_injection` adds the input at the second loop, but `num_loops` is 1"
        return None

    @rule("activation_checkpointing", "num_blocks", "num_loops")
    def there_is_a_use_to_recompute(activation_checkpointing: str | int, num_blocks: int, num_loops: int) -> str | None:
        """Where every N-th use of a block is recomputed, there are at least N."""
        return too_few_to_recompute(activation_checkpointing, num_blocks * num_loops)

    def build(self, model: Any) -> Any:
        """Build each block once."""
        from stlm_sharing.nn.looped import LoopedTransformer

        return LoopedTransformer(
            [
                (build_in_layer(self.attn, model, layer), build_in_layer(self.ffn, model, layer))
                for layer in range(self.num_blocks)
            ],
            num_loops=self.num_loops,
            order=self.loop_order,
            loop_embedding=self.loop_embedding,
            input_injection=self.input_injection,
            recompute_every=recompute_every(self.activation_checkpointing),
            hidden_dim=model.hidden_dim,
        )
