"""Every check finds what it is there to find: a component that is broken in that way, and named after it."""

import importlib
from pathlib import Path

import pytest
import torch

from stlm.registry.manager import look_again
from stlm.testing import check_class
from stlm.testing.conformance import check_component
from stlm.testing.kits import CHECKS
from tests.testing import broken_data, broken_declarations, broken_networks, broken_steps  # noqa: F401 - they list faults
from tests.testing.faults import FAULTS, Fault

ELSEWHERE = {"imports", "trains"}
"""Checks of what only an installed package does: below."""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found_by_the_check_named_after_it(fault: Fault) -> None:
    (outcome,) = check_class(fault.make(), only=[fault.check])
    assert (outcome.result, outcome.check) == ("failed", fault.check), outcome.why
    assert fault.says in outcome.why
    assert "\n" not in outcome.why


def test_every_check_has_a_component_that_it_must_find() -> None:
    assert {fault.check for fault in FAULTS} | ELSEWHERE == {check.name for check in CHECKS}


def test_no_two_checks_go_by_one_name_and_each_says_what_is_promised() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert all(check.doc.endswith((".", "`.")) for check in CHECKS)


PACKAGES = {
    "imports": (
        "activation.broken_heavy",
        '''
"""An activation."""

import torch

from stlm.registry import component


@component("activation", "broken_heavy")
class Broken:
    """Imports torch at its head."""

    def build(self, model):
        return torch.nn.GELU()
''',
        "brings in torch; import that inside `build`",
    ),
    "trains": (
        "hook.broken_counting",
        '''
"""A hook."""

from stlm.registry import component, hook

steps = []


@component("hook", "broken_counting")
class Broken:
    """Moves the weights at the fourth step that this process takes, of whichever run."""

    @hook
    def step_ends(self, run, metrics):
        steps.append(run.step)
        if len(steps) == 4:
            for parameter in run.model.parameters():
                parameter.data.mul_(0.5)
''',
        "stopped after step 3 and gone on with, the loss of step 5 is",
    ),
}


@pytest.mark.parametrize("check", PACKAGES)
def test_a_fault_of_an_installed_package_is_found(check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point, source, says = PACKAGES[check]
    kind, _, name = point.partition(".")
    (tmp_path / f"{name}.py").write_text(source.lstrip())
    info = tmp_path / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[stlm]\n{point} = {name}:Broken\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    look_again()
    try:
        (outcome,) = check_component(kind, name, only=[check])
    finally:
        look_again()
    assert outcome.result == "failed"
    assert says in outcome.why
