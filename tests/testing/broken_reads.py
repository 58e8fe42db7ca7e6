"""Declarations that name keys which no spec has."""

from typing import Any

from stlm.registry import block, component, derived, option, positive, provides, rule
from tests.testing.faults import caught_by
from tests.testing.parts import Times


def _with_rule_over(*keys: str) -> type:
    @component("attention", "broken")
    class Broken:
        """Attends."""

        num_heads: int = option(positive, default=2, doc="The number of heads.")

        @rule(*keys)
        def heads_divide_evenly(num_heads: int, hidden_dim: int) -> str | None:
            """The heads share the width evenly."""
            return "`num_heads` must divide `hidden_dim`" if hidden_dim % num_heads else None

        def build(self, model: Any) -> Any:
            return Times()

    return Broken


@caught_by(
    "reads-keys",
    "the rule `heads_divide_evenly` reads `num_head`, which no spec has there; did you mean `num_heads`?",
)
def rule_over_a_misspelled_option() -> type:
    return _with_rule_over("num_head", "model.hidden_dim")


@caught_by("reads-keys", "reads `hidden_dim`, which no spec has there; did you mean `model.hidden_dim`?")
def rule_over_a_key_of_another_mapping() -> type:
    return _with_rule_over("num_heads", "hidden_dim")


@caught_by("reads-keys", "reads `model.hiden_dim`, which no spec has; did you mean `model.hidden_dim`?")
def rule_over_a_misspelled_path() -> type:
    return _with_rule_over("num_heads", "model.hiden_dim")


@caught_by("reads-keys", "the default of `width` reads `model.hidden`, which no spec has; did you mean ")
def default_of_a_path_that_there_is_not() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        width: int = option(default=derived(lambda dim: dim, "model.hidden", says="the width"), doc="The width of it.")

        def build(self, model: Any) -> Any:
            return Times()

    return Broken


@caught_by("reads-keys", "`set_the_width` provides `model.width`, which no spec has")
def provision_of_a_key_that_there_is_not() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        @provides("model.width")
        def set_the_width() -> int:
            """The width."""
            return 16

        def build(self, model: Any) -> Any:
            return Times()

    return Broken


@caught_by(
    "reads-keys",
    "the block `inner` gives a default to `normalisation`, which nothing in it has; did you mean `normalization`?",
)
def block_that_gives_a_misspelled_key() -> type:
    @component("ffn", "broken")
    class Broken:
        """Holds another."""

        inner: Any = block("ffn", optional=True, doc="One inside.", defaults={"bias": True, "normalisation": "none"})

        def build(self, model: Any) -> Any:
            return Times()

    return Broken
