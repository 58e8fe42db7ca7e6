"""Learned positions: a trained vector for each."""

from typing import Any

from stlm.registry import component, option, positive, rule, same_as


@component("positional_encoding", "learned")
class Learned:
    """Trained position vectors, added right after the token embedding (Gehring et al., 2017; arXiv:1705.03122)."""

    acts_on = ("input",)

    num_positions: int = option(
        positive,
        default=same_as("model.context_window"),
        doc="Number of positions that have a vector; no less than `context_window`.",
    )

    @rule("num_positions", "model.context_window")
    def every_position_has_a_vector(num_positions: int, context_window: int) -> str | None:
        """There are at least as many position vectors as the context window has positions."""
        if num_positions >= context_window:
            return None
        return (
            f"`num_positions` is {num_positions}, but `context_window` has {context_window} positions; "
            f"it must be at least {context_window}"
        )

    def build(self, model: Any) -> Any:
        """Build the table."""
        from stlm.nn.positions import Learned as Encoding

        return Encoding(self.num_positions, model.hidden_dim)
