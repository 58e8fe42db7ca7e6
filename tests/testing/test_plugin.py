"""The pytest plugin: each check of each component is a test of its own, which says in a line what is wrong."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stlm.testing.conformance import checks_of
from stlm.testing.installed import put_metadata
from stlm.testing.scaffold import write_package
from tests.registry.installing import put_norm


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A fresh package, `stlm-probe`, installed for processes of the test."""
    folder = write_package("stlm-probe", "activation", tmp_path)
    put_metadata(folder, tmp_path / "site")
    return folder


@pytest.fixture
def run(package: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python in the package's folder, as its author does."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(package.parent / "site"), str(package)))
        environment = {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": "-p no:cacheprovider", "COLUMNS": "200"}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=package, env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    return start


def test_a_fresh_packages_tests_pass_one_for_each_check(run):
    done = run("-m", "pytest", "-v", "-k", "not compiles")
    assert done.returncode == 0, done.stdout + done.stderr
    names = [check.name for check in checks_of("activation") if check.name != "compiles"]
    for name in names:
        assert f"test_component_keeps_the_contract[activation-probe-{name}]" in done.stdout


def test_a_failure_is_one_line_named_by_its_check(run, package):
    module = package / "stlm_probe" / "module.py"
    module.write_text(module.read_text().replace("return x *", "torch.manual_seed(0)\n        return x *"))
    done = run("-m", "pytest", "-q", "-k", "global-state or shapes", "-rf")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    reason = "activation `probe` breaks `global-state`: its forward pass changes torch's random state"
    assert f"[activation-probe-global-state] - Failed: {reason}" in done.stdout


def test_a_name_that_another_package_has_is_a_failure_beside_the_checks(run, package):
    put_norm(package.parent / "site", "stlm-other", "none", **{"activation.probe": "stlm_other:Toy"})
    done = run("-m", "pytest", "-q", "-k", "entry-points or documented", "-rf")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    reason = "`stlm-probe`: stlm-other has activation `probe` too: "
    assert f"[package-stlm-probe-entry-points] - Failed: {reason}" in done.stdout


def test_a_test_that_does_not_say_of_what_is_told(run, package):
    (package / "tests" / "test_contract.py").write_text("def test_it(component_check):\n    component_check()\n")
    done = run("-m", "pytest", "-q")
    assert done.returncode == 2
    assert "test_it asks for `component_check`: say of what, by pytest.mark.stlm_components" in done.stdout


def test_it_costs_those_nothing_who_do_not_use_it(run):
    program = "import sys, stlm.testing.plugin; print(sorted({'torch', 'attrs', 'numpy'} & set(sys.modules)))"
    before = "import sys, pytest; print(sorted({'torch', 'attrs', 'numpy'} & set(sys.modules)))"
    assert run("-c", program).stdout == run("-c", before).stdout


def test_the_kits_need_no_pytest(run):
    program = (
        "import sys\nsys.modules['pytest'] = None\nfrom stlm.testing import check_component\n"
        "print(*(one.result for one in check_component('activation', 'probe', only=['shapes'])))"
    )
    assert run("-c", program).stdout == "passed\n"
