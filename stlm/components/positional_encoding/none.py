"""No positional encoding."""

from typing import Any

from stlm.registry import component


@component("positional_encoding", "none")
class NoPositions:
    """No positional encoding: a causal mask alone lets a decoder infer positions (Haviv et al., 2022)."""

    acts_on = ()

    def build(self, model: Any) -> Any:
        """Build an encoding that does nothing."""
        from stlm.nn.positions import NoPositions as Encoding

        return Encoding()
