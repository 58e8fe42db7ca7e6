"""The pytest plugin: a test that asks for `component_check` is run for each check of each component of a package."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stlm.testing.bench import Bench

MARK = "stlm_components"
_benches: dict[str, "Bench"] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known that says which components."""
    text = f"{MARK}(*which): run a test that asks for `component_check` for these: a package's name, or `kind name`."
    config.addinivalue_line("markers", text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test one case for each check of each component, named after both."""
    if "component_check" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None or not mark.args:
        raise pytest.UsageError(
            f"{metafunc.function.__name__} asks for `component_check`: say of what, by pytest.mark.{MARK}"
        )
    cases = [case for which in mark.args for case in _cases(which)]
    ids = [f"{kind}-{name}-{check}" for kind, name, check in cases]
    options = mark.kwargs.get("options") or {}
    metafunc.parametrize("component_check", [(*case, options) for case in cases], ids=ids, indirect=True)


def _cases(which: str) -> Iterator[tuple[str, str, str]]:
    from stlm.testing.conformance import checks_of
    from stlm.testing.packages import components_of_package, contested, faults_of_package

    kind, _, name = which.partition(" ")
    faults = [] if name else faults_of_package(which)
    for fault in faults or ([] if name else contested(which)):
        yield fault.kind, fault.name, fault.check
    if faults:
        return
    for kind_, name_ in [(kind, name)] if name else components_of_package(which):
        for check in checks_of(kind_):
            yield kind_, name_, check.name


@pytest.fixture
def component_check(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], None]:
    """Run one check of one component: passes, fails with the reason in a line, or is skipped with the reason."""
    kind, name, check, options = request.param
    bench = _bench(tmp_path_factory)
    return lambda: perform(bench, kind, name, check, options)


def perform(bench: "Bench", kind: str, name: str, check: str, options: dict[str, Any] | None = None) -> None:
    """Run one check for pytest: an error that the component itself raised keeps its traceback."""
    from stlm.testing.checking import BrokenError, NotApplicableError
    from stlm.testing.conformance import checks_of, look
    from stlm.testing.packages import contested, faults_of_package
    from stlm.testing.subject import Subject

    if kind == "package":
        told = (*faults_of_package(name), *contested(name))
        pytest.fail(f"`{name}`: {next(one.why for one in told if one.check == check)}", pytrace=False)

    key = ("subject", kind, name, str(options))
    subject = bench.kept.setdefault(key, Subject(bench, kind, name, options))
    (wanted,) = (one for one in checks_of(kind) if one.name == check)
    try:
        look(wanted, subject)
    except NotApplicableError as error:
        pytest.skip(str(error))
    except BrokenError as error:
        pytest.fail(f"{kind} `{name}` breaks `{check}`: {error}", pytrace=False)


def _bench(factory: pytest.TempPathFactory) -> "Bench":
    from stlm.testing.bench import Bench

    folder: Path = factory.getbasetemp() / "stlm-check"
    if str(folder) not in _benches:
        _benches[str(folder)] = Bench(folder)
    return _benches[str(folder)]


def conformance_tests(*which: str, options: dict[str, Any] | None = None) -> Callable[..., None]:
    """Make the test of a package: one case for each check of each of its components.

    Assign it to a name that begins with ``test_``. ``which`` is the package's name, or ``"kind name"`` of a component;
    ``options`` are said in its spec, where a required one cannot be made up.
    """

    @getattr(pytest.mark, MARK)(*which, options=options)
    def test_component_keeps_the_contract(component_check: Callable[[], None]) -> None:
        component_check()

    return test_component_keeps_the_contract
