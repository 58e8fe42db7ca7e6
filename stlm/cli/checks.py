"""What the checks of components found, a line each."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from attrs import asdict

from stlm.cli.arguments import print_json, put, quick_import
from stlm.cli.edge import DONE, FAILED
from stlm.registry.manager import installed
from stlm.spec.components import NotFoundError
from stlm.spec.errors import UsageError
from stlm.spec.suggest import nearest

with quick_import():
    from stlm.testing.conformance import Outcome, check_component, check_package
    from stlm.testing.kits import CHECKS

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
) -> int:
    """Look at a package, or at one component (kind and name), and tell what is found; returns the exit status."""
    for check in only:
        if check not in (known := [one.name for one in CHECKS]):
            hint = "; ".join((*nearest(check, known), f"checks: {', '.join(known)}"))
            raise UsageError(f"there is no check `{check}`; {hint}")
    told: list[Outcome] = []
    for outcome in _quietly(_outcomes(package, component, only, options)):
        if not as_json:
            _tell(outcome, told[-1] if told else None)
        told.append(outcome)
    counts = {result: sum(outcome.result == result for outcome in told) for result in _WORDS}
    if as_json:
        print_json({"ok": not counts["failed"], **counts, "checks": [asdict(outcome) for outcome in told]})
    else:
        put("\n" + ", ".join(f"{count} {result}" for result, count in counts.items()))
    return FAILED if counts["failed"] else DONE


def _outcomes(
    package: str | None, component: tuple[str, str] | None, only: Sequence[str], options: Mapping[str, Any]
) -> Iterator[Outcome]:
    if component is None:
        return check_package(str(package), only=only)
    kind, name = component
    if name not in installed().names(kind):  # a family's member is found by asking the family
        try:
            installed().find(kind, name)
        except NotFoundError as error:
            raise UsageError("; ".join((error.message, *error.help))) from None
    return check_component(kind, name, only=only, options=options)


def _quietly(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Keep stdout for the results: a component may print what it likes."""
    while True:
        with contextlib.redirect_stdout(sys.stderr):
            outcome = next(outcomes, None)
        if outcome is None:
            return
        yield outcome


def _tell(outcome: Outcome, last: Outcome | None) -> None:
    if last is None or (last.kind, last.name) != (outcome.kind, outcome.name):
        put(("" if last is None else "\n") + click.style(f"{outcome.kind} {outcome.name}", bold=True))
    why = f": {outcome.why}" if outcome.why else ""
    put(f"  {_WORDS[outcome.result]} {outcome.check}{why}")
