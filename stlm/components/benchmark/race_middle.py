"""Reading tests of middle school."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row, place_of
from stlm.registry import component


@component("benchmark", "race_middle")
class RACEMiddle(HubQuestions):
    """English tests for pupils of 12 to 15, about an article (Lai et al., 2017; arXiv:1704.04683): `ehovy/race`.

    Of the test split of `middle`, each of its questions by itself: `Article: …`, an empty line, then the question as it
    stands, often with a gap `_`, and the choices' text. lm-evaluation-harness 0.4.13 has no task of it; this is how it
    asks the last question of an article in `race_high`, without others of the same article before it.
    """

    hub_id: ClassVar[str] = "ehovy/race"
    configs: ClassVar[tuple[str | None, ...]] = ("middle",)
    split: ClassVar[str] = "test"
    columns: ClassVar[dict[str, Any]] = {"article": str, "question": str, "options": [str], "answer": str}

    def question(self, row: Row) -> Question:
        """Ask for the answer."""
        context = f"Article: {row['article']}\n\n{row['question']}"
        return context, row["options"], place_of(row["answer"], "ABCD")
