"""The moments of a run, and who takes part in them: said in one place for registration, runs and checks."""

from typing import Any

from stlm.registry import hook
from stlm.registry.hookspecs import Lifecycle, moments, moments_of
from stlm.registry.lifecycle import lifecycle
from stlm.registry.manager import installed


class Takes:
    """Takes part in one moment."""

    @hook
    def step_ends(self, run: Any) -> None:
        """Do nothing."""

    def training_ends(self, run: Any) -> None:
        """Do nothing, and is not marked."""


class Inherits(Takes):
    """Takes part as what it inherits from does."""


class Declines(Takes):
    """Has an act of the same name in its place, which is not marked."""

    def step_ends(self, run: Any) -> None:
        """Do nothing."""


def test_the_moments_are_what_the_hook_specifications_say() -> None:
    manager = lifecycle(registry=installed())
    assert set(moments()) == {
        name for name in dir(Lifecycle) if manager.parse_hookspec_opts(Lifecycle, name) is not None
    }


def test_a_class_takes_part_where_its_acts_are_marked() -> None:
    assert list(moments_of(Takes)) == list(moments_of(Inherits)) == ["step_ends"]
    assert moments_of(Declines) == {}


def test_a_run_calls_those_alone_that_take_part() -> None:
    held = [Takes(), Inherits(), Declines()]
    called = [one.plugin for one in lifecycle(*held, registry=installed()).hook.step_ends.get_hookimpls()]
    assert called == held[:2]
