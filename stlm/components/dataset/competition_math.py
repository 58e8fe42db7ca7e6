"""Problems of mathematical competitions."""

from typing import ClassVar

from stlm.components.dataset.hub import NamedOnHub
from stlm.registry import component


@component("dataset", "competition_math")
class CompetitionMath(NamedOnHub):
    """MATH (Hendrycks et al., 2021; arXiv:2103.03874): `problem`, and `solution` as its completion.

    It is read from a mirror, since the repository of its authors is closed. Column names as programs that read it use
    them in 2024; not verified against the hub itself. All 12,500 problems are in one split, those of the test too.
    """

    hub_id: ClassVar[str] = "qwedsacf/competition_math"
    prompt_template: ClassVar[str | None] = "Problem: {problem}\nSolution:"
    completion_template: ClassVar[str | None] = " {solution}"
