"""stlm's own sentences with a gap."""

from collections.abc import Hashable

from stlm.components.benchmark.packaged import PackagedQuestions
from stlm.components.benchmark.partial_evaluation import filled_gap
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component


@component("benchmark", "stlm_eval_winogrande")
class SimpleGaps(PackagedQuestions):
    """stlm's own sentences with a gap, in plain words, each with a twin in which the other of two words is right.

    Shipped in the package, so no network is needed. Asked in the form of `winogrande`: what follows the gap is scored
    after each word. Its rows are new ones; none is from WinoGrande.
    """

    def question(self, row: Row) -> Question:
        """Ask for the words behind the gap."""
        return filled_gap(row)

    def set_of(self, row: Row) -> Hashable:
        """Name the pair that a row belongs to: twins differ in the last letter of their `id`."""
        return row["id"][:-1]
