"""A gap in a sentence, and two words that could fill it."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.partial_evaluation import filled_gap
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component


@component("benchmark", "winogrande")
class WinoGrande(HubQuestions):
    """Pronouns that common sense resolves (Sakaguchi et al., 2019; arXiv:1907.10641): `allenai/winogrande`, validation.

    As lm-evaluation-harness 0.4.13 asks: the sentence up to the gap with each option is a context, and what follows the
    gap is scored after each, behind a space even where it begins with an apostrophe or a full stop. The choices are
    therefore of one length, and `acc_norm` says what `acc` says. The paper trains models that choose among the options.
    """

    hub_id: ClassVar[str] = "allenai/winogrande"
    configs: ClassVar[tuple[str | None, ...]] = ("winogrande_xl",)
    columns: ClassVar[dict[str, Any]] = {"sentence": str, "option1": str, "option2": str, "answer": str}

    def question(self, row: Row) -> Question:
        """Ask for the words behind the gap."""
        return filled_gap(row)
