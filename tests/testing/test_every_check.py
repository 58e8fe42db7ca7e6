"""Every check finds what it is there to find: for each of its claims there is a component that is broken in that way.

A claim is a call of `hold` in the check's function, or in one that it calls in its module.
"""

import traceback
from pathlib import Path
from types import ModuleType

import attrs
import pytest
import torch

from stlm.registry import identity_of
from stlm.registry.kinds import KINDS
from stlm.testing.bench import Bench
from stlm.testing.checking import BrokenError, Check
from stlm.testing.conformance import Outcome, outcome_of, registry_with
from stlm.testing.kits import CHECKS, acts, checks_in
from stlm.testing.subject import Subject
from tests.testing import (  # noqa: F401 - they list faults
    broken_choosing,
    broken_cores,
    broken_data,
    broken_declarations,
    broken_exports,
    broken_formats,
    broken_losses,
    broken_networks,
    broken_options,
    broken_reads,
    broken_sight,
    broken_steps,
    broken_tokenizers,
)
from tests.testing.faults import FAULTS, Fault
from tests.testing.sites import Site, sites_of

BY_NAME = {check.name: check for check in CHECKS}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def look(fault: Fault, folder: Path) -> tuple[Outcome, Site | None]:
    """Run the check of a fault; gives what it says, and which of its claims was refuted."""
    check, refuted = BY_NAME[fault.check], []

    def noting(subject: Subject) -> None:
        try:
            check.look(subject)
        except BrokenError as error:
            *_, above, _ = traceback.extract_tb(error.__traceback__)
            refuted.append((Path(above.filename).name, above.lineno))
            raise

    cls = fault.make()
    identity = identity_of(cls)
    assert identity is not None
    registry, name = registry_with(cls), fault.entry or identity.name
    (entry,) = registry.installed.entries[identity.kind].pop(identity.name)
    registry.installed.entries[identity.kind][name] = [attrs.evolve(entry, name=name)]
    subject = Subject(Bench(folder, registry), identity.kind, name)
    outcome = outcome_of(Check(check.name, check.kinds, noting), subject)
    return outcome, next(iter(refuted), None)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_each_claim_of_a_check_is_refuted_by_a_component_that_is_broken_so(check: Check, tmp_path: Path) -> None:
    refuted = set()
    for fault in (fault for fault in FAULTS if fault.check == check.name):
        outcome, site = look(fault, tmp_path / fault.name)
        assert outcome.result == "failed", f"{fault.name}: {outcome}"
        assert fault.says in outcome.why, f"{fault.name}: {outcome.why}"
        assert "\n" not in outcome.why
        refuted.add(site)
    missing = sites_of(check) - refuted
    assert refuted, "no component is broken so that this check must find it"
    assert not missing, f"no component refutes {sorted(missing)}"


def test_no_two_checks_go_by_one_name_and_each_says_what_is_promised() -> None:
    assert len(BY_NAME) == len(CHECKS)
    assert all(check.doc.endswith((".", "`.")) for check in CHECKS)


def test_a_check_that_a_module_imports_counts_where_it_is_made_alone() -> None:
    module = ModuleType("of_another_kind")
    module.acts = acts.acts  # type: ignore[attr-defined]
    assert checks_in(module) == ()
    assert checks_in(acts) == (acts.acts, acts.acts_where_it_says)


def test_what_a_kind_always_gives_is_looked_for() -> None:
    assert {kind.name for kind in KINDS.values() if kind.given_has} <= set(acts.acts.kinds)


def test_no_two_faults_go_by_one_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
