"""Declarations that break a promise."""

from typing import Any, Literal

from torch import nn

from stlm.registry import Check, component, option, positive, rule
from tests.testing.faults import caught_by


class Times(nn.Module):
    """Multiply by a number."""

    def __init__(self, factor: float = 1.5) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return self.factor * x


@caught_by("loads", "has no `build`")
def activation_without_build() -> type:
    @component("activation", "broken")
    class Broken:
        """Does nothing."""

    return Broken


@caught_by("frozen", "`factor` of its object can be assigned to")
def component_that_can_be_changed() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        factor: float = option(positive, default=1.5, doc="The factor.")

        def build(self, model: Any) -> Any:
            return Times(self.factor)

    Broken.__setattr__ = object.__setattr__
    return Broken


@caught_by("documented", "the doc of `factor` is no sentence: 'factor'")
def option_whose_doc_repeats_its_name() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        factor: float = option(positive, default=1.5, doc="factor")

        def build(self, model: Any) -> Any:
            return Times(self.factor)

    return Broken


@caught_by("documented", "the rule `factor_is_small` has no docstring")
def rule_without_a_sentence() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        factor: float = option(positive, default=1.5, doc="The factor of it.")

        @rule("factor")
        def factor_is_small(factor: float) -> str | None:
            return None if factor < 9 else "too large"

        def build(self, model: Any) -> Any:
            return Times(self.factor)

    return Broken


@caught_by("bad-values", "`factor: 5.0` is accepted, and should be `out-of-range`")
def check_that_lets_everything_pass() -> type:
    at_most_four = Check("at most 4", lambda value: value is not None, outside=5.0)

    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        factor: float = option(at_most_four, default=1.5, doc="The factor of it.")

        def build(self, model: Any) -> Any:
            return Times(self.factor)

    return Broken


@caught_by("canonical", "its spec, written and read, is another one")
def component_that_is_never_equal() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        def __eq__(self, other: object) -> bool:
            return False

        def build(self, model: Any) -> Any:
            return Times()

    return Broken


@caught_by("accepted-values", "a spec accepts `parts: 0`, which cannot be built: ")
def number_that_nobody_checks() -> type:
    @component("activation", "broken")
    class Broken:
        """Divides."""

        parts: int = option(default=2, doc="By what it divides.")

        def build(self, model: Any) -> Any:
            return Times(1 / self.parts)

    return Broken


@caught_by("every-option", "with `way: fast`: ")
def value_that_cannot_be_built() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies in one of two ways."""

        way: Literal["plain", "fast"] = option(default="plain", doc="The way in which it does so.")

        def build(self, model: Any) -> Any:
            return Times({"plain": 1.5}[self.way])

    return Broken


@caught_by("no-idle-option", "no value of `factor` changes anything")
def option_that_is_ignored() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        factor: float = option(positive, default=1.5, doc="The factor of it.")

        def build(self, model: Any) -> Any:
            return Times()

    return Broken


@caught_by("documented", "its class has no docstring")
def component_without_a_word() -> type:
    @component("activation", "broken")
    class Broken:
        def build(self, model: Any) -> Any:
            return Times()

    return Broken


@caught_by("every-option", "with `way: still` no gradient reaches")
def value_that_stops_learning() -> type:
    class Still(Times):
        def forward(self, x: Any) -> Any:
            return (self.factor * x).detach()

    @component("activation", "broken")
    class Broken:
        """Multiplies in one of two ways."""

        way: Literal["plain", "still"] = option(default="plain", doc="The way in which it does so.")

        def build(self, model: Any) -> Any:
            return (Times if self.way == "plain" else Still)()

    return Broken
