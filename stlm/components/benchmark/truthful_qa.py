"""Questions that many people answer falsely."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component


@component("benchmark", "truthful_qa")
class TruthfulQA(HubQuestions):
    """Questions that invite a common error (Lin et al., 2021; arXiv:2109.07958): `truthfulqa/truthful_qa`, MC1.

    Of the validation split of `multiple_choice`: one of the answers is true, and must be the likeliest. `Q: …`, then
    `A:` on a line of its own. Paper and lm-evaluation-harness 0.4.13 (`truthfulqa_mc1`) put six questions with answers
    of their own before each; they are left out here, so scores are not those of the harness. In the data the true
    answer always comes first, so a model that tells no answers apart at all would score 1.
    """

    hub_id: ClassVar[str] = "truthfulqa/truthful_qa"
    configs: ClassVar[tuple[str | None, ...]] = ("multiple_choice",)
    columns: ClassVar[dict[str, Any]] = {"question": str, "mc1_targets": {"choices": [str], "labels": [int]}}

    def question(self, row: Row) -> Question:
        """Ask for the true answer."""
        targets = row["mc1_targets"]
        if 1 not in targets["labels"]:
            raise ValueError("none of its answers is said to be true")
        return f"Q: {row['question']}\nA:", targets["choices"], targets["labels"].index(1)
