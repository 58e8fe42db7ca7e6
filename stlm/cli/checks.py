"""What the checks of components found, a line each."""

import contextlib
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import click
from attrs import filters

from stlm.cli.arguments import print_json, put, quick_import
from stlm.cli.edge import DONE, FAILED, tell
from stlm.registry.manager import installed
from stlm.spec.components import NotFoundError
from stlm.spec.diagnostics import Code
from stlm.spec.errors import UsageError
from stlm.testing.checking import Outcome
from stlm.testing.packages import components_of_package, faults_of_package

_WORDS = {
    "passed": click.style("passed", fg="green"),
    "failed": click.style("FAILED", fg="red", bold=True),
    "skipped": click.style("skipped", dim=True),
}


def report(
    package: str | None,
    component: tuple[str, str] | None,
    only: Sequence[str],
    options: Mapping[str, Any],
    *,
    as_json: bool,
    tracebacks: bool = False,
) -> int:
    """Look at a package, or at one component (kind and name), and tell what is found; returns the exit status.

    Where ``tracebacks`` are wanted, that of a check that failed goes to stderr.
    """
    told: list[Outcome] = []
    for outcome in _quietly(_outcomes(package, component, only, options)):
        if not as_json:
            _tell(outcome, told)
        if tracebacks and outcome.traceback and all(outcome.why != one.why for one in told):
            tell(textwrap.indent(outcome.traceback, "    "))
        told.append(outcome)
    kept = filters.exclude(attrs.fields(Outcome).traceback)
    counts = {result: sum(outcome.result == result for outcome in told) for result in _WORDS}
    if as_json:
        print_json({"ok": not counts["failed"], **counts, "checks": [attrs.asdict(one, filter=kept) for one in told]})
    else:
        put("\n" + ", ".join(f"{count} {result}" for result, count in counts.items()))
    return FAILED if counts["failed"] else DONE


def _outcomes(
    package: str | None, component: tuple[str, str] | None, only: Sequence[str], options: Mapping[str, Any]
) -> Iterator[Outcome]:
    """Look; what can be told without torch is told before that is imported, but for a check that there is not."""
    faults = [] if package is None else faults_of_package(package)
    if faults and not only:
        return iter(faults)
    if package is not None and not faults:
        components_of_package(package)
    if component is not None:
        _require(*component)
    with quick_import():
        from stlm.testing.conformance import check_component, check_package

    if component is None:
        return check_package(str(package), only=only)
    return check_component(*component, only=only, options=options)


def _require(kind: str, name: str) -> None:
    """Refuse a name that nothing has, or that several packages have; what cannot be loaded is told by the checks."""
    if name in installed().names(kind) and name.endswith("*"):
        return
    try:
        installed().find(kind, name)
    except NotFoundError as error:
        if error.code is not Code.PLUGIN:
            raise UsageError("; ".join((error.message, *error.help))) from None


def _quietly(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Keep stdout for the results: a component may print what it likes."""
    while True:
        with contextlib.redirect_stdout(sys.stderr):
            outcome = next(outcomes, None)
        if outcome is None:
            return
        yield outcome


def _tell(outcome: Outcome, told: Sequence[Outcome]) -> None:
    """Print a line, under the name of the component; a reason that was told of it already is not told again."""
    mine = [one for one in told if (one.kind, one.name) == (outcome.kind, outcome.name)]
    if not mine:
        put(("\n" if told else "") + click.style(f"{outcome.kind} {outcome.name}", bold=True))
    same = next((one for one in mine if one.result == outcome.result == "failed" and one.why == outcome.why), None)
    why = outcome.why if same is None else f"for the same reason as {same.check}"
    put(f"  {_WORDS[outcome.result]} {outcome.check}" + (f": {why}" if why else ""))
