"""What was compared with what, and how far apart the two were at most: collected while tests run, written as a page."""

import math
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:  # every test loads this module, and many need no torch
    from torch import Tensor

    Pairs = Iterable[tuple[Tensor, Tensor]]

COMMAND = "make parity"
HEADER = f"""<!-- Written by `{COMMAND}`, from the tests that it runs; do not change this page by hand. -->
# How near each component is to a reference

The tests in `tests/parity` compile specs, give the networks and an independent implementation the same weights, and
compare them on random tokens: one token, some, the whole context window, and where it means something a batch with
padding on either side. The independent implementations are those of transformers and torch, and one that is written out
in the tests in loops. A row is a component and a reference; where whole models were compared, each of their parts has a
row of that comparison.

The numbers are the largest absolute differences seen, to one digit: of outputs (of a whole model, logits of size 1 to
10; larger ones, of models without norms, are brought to 10 first), and of the gradients of all parameters, those of a
random sum of the outputs, in fp32 on a CPU. Of an initialization it is the difference between two distribution
functions, that of each matrix that was drawn and that of the formula. A test fails where a difference exceeds the
tolerance; 0 says that nothing differed in any bit.
"""


@attrs.define
class Row:
    """What is known of one component beside one reference."""

    output: float = 0.0
    gradient: float | None = None
    tolerance: float = 0.0
    cases: int = 0


class Table:
    """The rows of all tests of one process."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}

    def agree(
        self,
        components: str | Iterable[str],
        reference: str,
        outputs: "Pairs",
        gradients: "Pairs" = (),
        *,
        tolerance: float,
    ) -> None:
        """Note how far ours and theirs are apart, and fail where that is more than ``tolerance``.

        ``components`` are written ``kind.name``; ``reference`` says in a few words what they are compared with.
        """
        output, gradient = _largest(outputs), _largest(gradients)
        assert output is not None
        assert output <= tolerance, f"outputs differ by {output:.1e} from {reference}"
        assert gradient is None or gradient <= tolerance, f"gradients differ by {gradient:.1e} from {reference}"
        for component in {components} if isinstance(components, str) else set(components):
            row = self.rows.setdefault((component, reference), Row())
            row.output = max(row.output, output)
            row.gradient = row.gradient if gradient is None else max(row.gradient or 0.0, gradient)
            row.tolerance = max(row.tolerance, tolerance)
            row.cases += 1

    def write(self, path: Path) -> None:
        """Write the page."""
        path.write_text(self.page(), encoding="utf-8")

    def page(self) -> str:
        """Return the page, its rows by kind, name and reference."""
        head = ("component", "compared with", "outputs", "gradients", "tolerance", "cases")
        lines = [HEADER, f"Made by `{COMMAND}` with {_versions()}.", "", _line(head), "|---|---|---|---|---|---|"]
        for (component, reference), row in sorted(self.rows.items()):
            kind, name = component.split(".", 1)
            gradient = "" if row.gradient is None else _digit(row.gradient)
            numbers = (_digit(row.output), gradient, _digit(row.tolerance), str(row.cases))
            lines.append(_line((f"[{kind}](components/{kind}.md) `{name}`", reference, *numbers)))
        return "\n".join(lines) + "\n"


def _largest(pairs: "Pairs") -> float | None:
    """Return the largest difference, None where nothing was compared; a NaN is a difference without end."""
    found: float | None = None
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape, f"{tuple(ours.shape)} cannot be compared with {tuple(theirs.shape)}"
        difference = (ours.detach().double() - theirs.detach().double()).abs()
        largest = difference.max().item() if difference.numel() else 0.0
        found = max(found or 0.0, math.inf if math.isnan(largest) else largest)
    return found


def _digit(number: float) -> str:
    return "0" if number == 0 else f"{number:.0e}".replace("e-0", "e-")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _versions() -> str:
    python = ".".join(map(str, sys.version_info[:2]))
    return f"torch {version('torch').partition('+')[0]}, transformers {version('transformers')} and Python {python}"
