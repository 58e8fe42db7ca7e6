"""Questions of common sense about everyday things."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row, lettered, place_of
from stlm.registry import component

_LETTERS = "ABCDE"


@component("benchmark", "commonsense_qa")
class CommonsenseQA(HubQuestions):
    """Common sense about everyday things, five choices (Talmor et al., 2018; arXiv:1811.00937): `tau/commonsense_qa`.

    As lm-evaluation-harness 0.4.13 asks, of the validation split: the choices follow the question, and a letter is
    scored. Small models stay at chance with letters; `acc_text` scores the choices' text instead, after the question
    and `Answer:` alone, in the form of `arc_easy`. That second form is not the harness's.
    """

    hub_id: ClassVar[str] = "tau/commonsense_qa"
    columns: ClassVar[dict[str, Any]] = {"question": str, "choices": {"text": [str]}, "answerKey": str}

    def question(self, row: Row) -> Question:
        """Ask for the letter of the answer."""
        context = f"Question: {row['question'].strip()}\n{lettered(row['choices']['text'])}\nAnswer:"
        return context, _LETTERS, place_of(row["answerKey"], _LETTERS)

    def text_question(self, row: Row) -> Question:
        """Ask for the text of the answer."""
        context = f"Question: {row['question'].strip()}\nAnswer:"
        return context, row["choices"]["text"], place_of(row["answerKey"], _LETTERS)
