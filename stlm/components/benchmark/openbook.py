"""What both forms of OpenBookQA have in common."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row, place_of
from stlm.registry import section


@section
class OpenBookQA(HubQuestions):
    """Elementary science, of four choices: `allenai/openbookqa`, test split."""

    hub_id: ClassVar[str] = "allenai/openbookqa"
    split: ClassVar[str] = "test"
    columns: ClassVar[dict[str, Any]] = {
        "question_stem": str,
        "choices": {"text": [str], "label": [str]},
        "answerKey": str,
    }

    def question(self, row: Row) -> Question:
        """Ask for what goes on from the stem, which is the whole context."""
        choices = row["choices"]
        return row["question_stem"], choices["text"], place_of(row["answerKey"].lstrip(), choices["label"])
