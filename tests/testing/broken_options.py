"""Options of which a value cannot be built, makes another thing than it says, or makes no difference."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import LMHead
from stlm.registry import at_least, component, option, positive, rule
from tests.testing.faults import caught_by
from tests.testing.parts import Scale, Times, activation_with_factor


@caught_by("accepted-values", "a spec accepts `parts: 0`, which cannot be built or computed: ")
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


@caught_by("every-option", "with `parts: 8`: activation `broken` of under-test failed in `parts_are_few`: KeyError: 8")
def rule_that_fails_at_a_value() -> type:
    @component("activation", "broken")
    class Broken:
        """Divides."""

        parts: int = option(positive, default=2, doc="By what it divides.")

        @rule("parts")
        def parts_are_few(parts: int) -> str | None:
            """The parts are few."""
            return None if dict.fromkeys(range(7), True)[parts] else "too many"

        def build(self, model: Any) -> Any:
            return Times(1 / self.parts)

    return Broken


@caught_by("accepted-values", "with `parts: 0`: activation `broken` of under-test failed in `parts_are_even`: ZeroDiv")
def rule_that_divides_by_zero() -> type:
    @component("activation", "broken")
    class Broken:
        """Divides."""

        parts: int = option(default=2, doc="By what it divides.")

        @rule("parts")
        def parts_are_even(parts: int) -> str | None:
            """The parts are even."""
            return None if 16 % parts == 0 else "`parts` must divide 16"

        def build(self, model: Any) -> Any:
            return Times(1 / self.parts)

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


@caught_by("no-idle-option", "no value of `factor` changes anything")
def option_that_is_ignored_of_which_one_other_value_is_known() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        factor: int = option(at_least(20), default=24, doc="The factor of it; of those that are tried, 32 alone fits.")

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


@caught_by("every-option", "with `factor: 0.25`: ValueError: too small (")
def value_that_cannot_be_computed() -> type:
    class Picky(Times):
        def forward(self, x: Tensor) -> Tensor:
            if self.factor < 1:
                raise ValueError("too small (of all things)")
            return super().forward(x)

    return activation_with_factor(Picky)


@caught_by("accepted-values", "a spec accepts `parts: -1`, which cannot be built or computed: ")
def number_that_fails_later() -> type:
    class Parted(nn.Module):
        def __init__(self, parts: int) -> None:
            super().__init__()
            self.parts = parts

        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x.unflatten(-1, (-1, self.parts)).flatten(-2))

    @component("activation", "broken")
    class Broken:
        """Takes apart and puts together."""

        parts: int = option(default=2, doc="By what it divides.")

        @rule("parts")
        def is_not_zero(parts: int) -> str | None:
            """There are parts."""
            return None if parts else "`parts` must not be 0"

        def build(self, model: Any) -> Any:
            return Parted(self.parts)

    return Broken


@caught_by("every-option", "its spec is not read back as it was")
def value_that_is_never_equal() -> type:
    def equal(self: Any, other: Any) -> bool:
        return type(self) is type(other) and self.factor == other.factor == 1.5

    return activation_with_factor(Times, __eq__=equal, __hash__=lambda self: 0)


@caught_by("every-option", "other parameters are counted than are built")
def value_that_brings_a_weight_later() -> type:
    class Late(Scale):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def reset_parameters(self) -> None:
            super().reset_parameters()
            if self.factor != 1.5:
                self.late = nn.Parameter(torch.ones(3))

    return activation_with_factor(Late)


@caught_by("every-option", "its logits are not finite")
def value_that_divides_by_zero() -> type:
    class Dividing(Times):
        def forward(self, x: Tensor) -> Tensor:
            return x / (1.5 - self.factor) if self.factor == 0.5 else F.gelu(x) / (1 if self.factor == 1.5 else 0)

    return activation_with_factor(Dividing)


@caught_by("every-option", "with `extra: True` its logits are (4, 16, 301), not (4, 16, 300)")
def value_that_scores_a_token_too_many() -> type:
    class Wide(LMHead):
        extra = False

        def project(self, states: Tensor) -> Tensor:
            return F.pad(super().project(states), (0, int(self.extra)))

    @component("lm_head", "broken")
    class Broken:
        """A head in which something is wrong."""

        extra: bool = option(default=False, doc="Whether there is one score more.")

        def build(self, model: Any) -> Any:
            made = Wide(model.hidden_dim, model.tokenizer.vocab_size, norm=nn.Identity())
            made.extra = self.extra
            return made

    return Broken
