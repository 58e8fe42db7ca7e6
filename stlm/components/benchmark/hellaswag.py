"""Which of four endings goes on with a description."""

import re
from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row, place_of
from stlm.registry import component


@component("benchmark", "hellaswag")
class HellaSwag(HubQuestions):
    """What happens next in videos and instructions (Zellers et al., 2019; arXiv:1905.07830): `Rowan/hellaswag`.

    As lm-evaluation-harness 0.4.13 asks, of the validation split: the context is `ACTIVITY: CTX_A Ctx_b`, and both it
    and the endings are stripped, `[title]` becomes a full stop, other remarks in brackets are dropped, and two spaces
    become one, once. Of `ctx_b` all but the first letter becomes lower case. The paper has no activity before the text.
    """

    hub_id: ClassVar[str] = "Rowan/hellaswag"
    columns: ClassVar[dict[str, Any]] = {
        "activity_label": str,
        "ctx_a": str,
        "ctx_b": str,
        "endings": [str],
        "label": (str, int),
    }

    def question(self, row: Row) -> Question:
        """Ask for the ending."""
        context = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
        return _cleaned(context), [_cleaned(each) for each in row["endings"]], place_of(str(row["label"]), "0123")


def _cleaned(text: str) -> str:
    """Take WikiHow's marks out of a text, in the order of the harness, which decides what spaces are left."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")
