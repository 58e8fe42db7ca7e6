"""Declarations that break a promise."""

from typing import Any

from stlm.registry import Check, component, option, positive, rule
from tests.testing.faults import caught_by
from tests.testing.parts import Times, activation_with_factor


@caught_by("loads", "has no `build`")
def activation_without_build() -> type:
    @component("activation", "broken")
    class Broken:
        """Does nothing."""

    return Broken


@caught_by("loads", "the class says the name `broken`, and no entry point has it", entry="other")
def component_of_which_the_entry_point_has_another_name() -> type:
    return activation_with_factor(Times)


@caught_by("loads", "nothing that is installed asks for a component of kind `activaton`; did you mean `activation`?")
def component_of_a_kind_that_there_is_not() -> type:
    @component("activaton", "broken")
    class Broken:
        """Multiplies."""

        def build(self, model: Any) -> Any:
            return Times()

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


@caught_by("documented", "`num_heads` is a field without `option(…)`, so no spec can say it")
def field_that_is_no_option() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        num_heads: int = 4

        def build(self, model: Any) -> Any:
            return Times()

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


@caught_by("imports", "importing `stlm.nn.norm` brings in torch; import that inside `build`")
def component_that_stands_beside_its_network() -> type:
    made = activation_with_factor(Times)
    made.__module__ = "stlm.nn.norm"
    return made


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


@caught_by("documented", "its class has no docstring")
def component_without_a_word() -> type:
    @component("activation", "broken")
    class Broken:
        def build(self, model: Any) -> Any:
            return Times()

    return Broken


@caught_by("frozen", "`sizes` holds a list, not a tuple")
def component_that_holds_a_list() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        sizes: Any = option(default=[1, 2], doc="Sizes of something.")

        def build(self, model: Any) -> Any:
            return Times()

    return Broken


@caught_by("frozen", "a copy of its object is not equal to it")
def component_that_is_equal_to_itself_alone() -> type:
    return activation_with_factor(Times, __eq__=lambda self, other: self is other, __hash__=lambda self: id(self))


@caught_by("bad-values", "should be `out-of-range` there, and is `rule` at `factor`")
def range_that_is_a_rule() -> type:
    at_most_four = Check("at most 4", lambda value: True, outside=5.0)

    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        factor: float = option(at_most_four, default=1.5, doc="The factor of it.")

        @rule("factor")
        def is_small(factor: float) -> str | None:
            """The factor is small."""
            return "`factor` must be at most 4" if factor > 4 else None

        def build(self, model: Any) -> Any:
            return Times(self.factor)

    return Broken


@caught_by("bad-values", "a check of `factor` lets its `outside` pass")
def check_that_another_one_makes_up_for() -> type:
    at_least_zero = Check("at least 0", lambda value: True, outside=-1.0)

    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        factor: float = option(at_least_zero, positive, default=1.5, doc="The factor of it.")

        def build(self, model: Any) -> Any:
            return Times(self.factor)

    return Broken


@caught_by("loads", "breaks the contract: the option `ffn_type` has the name of the key that chooses the ffn")
def ffn_whose_option_has_the_name_of_its_type_key() -> type:
    @component("ffn", "broken")
    class Broken:
        """Multiplies."""

        ffn_type: float = option(positive, default=1.5, doc="The factor of it.")

        def build(self, model: Any) -> Any:
            return Times(self.ffn_type)

    return Broken


@caught_by("loads", "the option `activation` has the name of the key that chooses the activation")
def activation_whose_option_has_the_name_of_the_key_beside_it() -> type:
    @component("activation", "broken")
    class Broken:
        """Multiplies."""

        activation: float = option(positive, default=1.5, doc="The factor of it.")

        def build(self, model: Any) -> Any:
            return Times(self.activation)

    return Broken


@caught_by("loads", "it has `act_on`, which stlm does not ask for; did you mean `acts_on`?")
def encoding_that_misspells_where_it_acts() -> type:
    @component("positional_encoding", "broken")
    class Broken:
        """Does nothing."""

        act_on = ()

        def build(self, model: Any) -> Any:
            return Times()

    return Broken
