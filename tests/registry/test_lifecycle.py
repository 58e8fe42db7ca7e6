"""The plugin manager of a run: who is called at a moment, how often, and who is told where that goes wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from stlm.registry import component, hook, option
from stlm.registry.lifecycle import lifecycle
from stlm.registry.manager import Registry, installed
from stlm.spec import WorkError

WithPlugins = Callable[..., Registry]


def counting(name: str) -> type:
    """A component that counts the steps."""

    class Counts:
        """Counts steps."""

        by: int = option(default=1, doc="How much a step counts.")

        @hook
        def step_ends(self, metrics: dict[str, float]) -> None:
            """Add a number."""
            metrics["steps"] = metrics.get("steps", 0) + self.by

    return component("hook", name)(Counts)


def failing(name: str, raised: BaseException) -> type:
    """A component that fails at the end of a step."""

    class Fails:
        """Fails."""

        @hook
        def step_ends(self) -> None:
            raise raised

    return component("hook", name)(Fails)


def counted(*plugins: Any) -> dict[str, float]:
    """What stands in the metrics after a step."""
    metrics: dict[str, float] = {}
    lifecycle(*plugins, registry=installed()).hook.step_ends(run=None, metrics=metrics)
    return metrics


def test_components_take_part_in_a_run_by_their_hooks() -> None:
    class Silent:
        """Has no hook."""

    plugin = counting("counts")()
    assert counted(plugin, Silent(), plugin) == {"steps": 1}
    assert lifecycle(plugin, Silent(), registry=installed()).get_plugins() == {plugin}


def test_equal_objects_are_called_once_and_those_that_only_look_alike_each() -> None:
    """A component that a spec chooses at two places takes part once."""
    one, other = counting("counts"), counting("counts")
    assert one() == one() != other()
    assert counted(one(), one()) == {"steps": 1}
    assert counted(one(), other()) == {"steps": 2}
    assert counted(one(by=1), one(by=10)) == {"steps": 11}


@pytest.mark.parametrize("raised", [ZeroDivisionError("no steps"), SystemExit(3)])
def test_what_goes_wrong_in_a_hook_is_told_as_its_own(raised: BaseException, with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-toy": [failing("fails", raised)]})
    plugin = registry.find("hook", "fails").cls(selector="fails")
    with pytest.raises(WorkError, match=f"hook `fails` of stlm-toy failed: {type(raised).__name__}: {raised}"):
        lifecycle(plugin, registry=registry).hook.step_ends(run=None, metrics={})


@pytest.mark.parametrize("order", [("counts", "fails"), ("fails", "counts")])
def test_of_two_that_take_part_the_one_that_failed_is_told(order: tuple[str, ...], with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-one": [counting("counts")], "stlm-two": [failing("fails", KeyError("x"))]})
    plugins = [registry.find("hook", name).cls(selector=name) for name in order]
    with pytest.raises(WorkError, match=r"^hook `fails` of stlm-two failed: KeyError"):
        lifecycle(*plugins, registry=registry).hook.step_ends(run=None, metrics={})


def test_what_a_hook_raises_that_is_no_component_passes_as_it_is() -> None:
    """As the run's own do."""
    raised = ZeroDivisionError("no steps")

    class Own:
        @hook
        def step_ends(self) -> None:
            raise raised

    with pytest.raises(ZeroDivisionError) as caught:
        counted(counting("counts")(), Own())
    assert caught.value is raised


@pytest.mark.parametrize(("said", "shown"), [(None, False), ("", False), ("1", True)])
def test_calls_are_shown_on_stderr_where_the_environment_asks_for_it(
    said: str | None, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STLM_TRACE_HOOKS", raising=False)
    if said is not None:
        monkeypatch.setenv("STLM_TRACE_HOOKS", said)
    assert counted(counting("counts")()) == {"steps": 1}
    out, err = capsys.readouterr()
    assert out == ""
    assert ("step_ends" in err) is shown
    assert bool(err) is shown
