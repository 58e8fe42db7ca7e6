"""School questions of science that retrieval answers."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row, place_of
from stlm.registry import component


@component("benchmark", "arc_easy")
class ARCEasy(HubQuestions):
    """Questions of science tests at school, the easier part (Clark et al., 2018; arXiv:1803.05457): `allenai/ai2_arc`.

    As lm-evaluation-harness 0.4.13 asks, of the test split of `ARC-Easy`: `Question: …`, then `Answer:` on a line of
    its own, and the choices' text, of which there are three to five. The paper gives a share of a point for ties.
    """

    hub_id: ClassVar[str] = "allenai/ai2_arc"
    configs: ClassVar[tuple[str | None, ...]] = ("ARC-Easy",)
    split: ClassVar[str] = "test"
    columns: ClassVar[dict[str, Any]] = {
        "question": str,
        "choices": {"text": [str], "label": [str]},
        "answerKey": str,
    }

    def question(self, row: Row) -> Question:
        """Ask for the text of the answer."""
        choices = row["choices"]
        return f"Question: {row['question']}\nAnswer:", choices["text"], place_of(row["answerKey"], choices["label"])
