"""Exam questions of 57 subjects."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row, lettered
from stlm.registry import component


@component("benchmark", "mmlu")
class MMLU(HubQuestions):
    """Exam questions of 57 subjects, from school to profession (Hendrycks et al., 2020; arXiv:2009.03300): `cais/mmlu`.

    As lm-evaluation-harness 0.4.13 asks, of the test split (configuration `all`), without examples before the question,
    where the paper has five: a line names the subject, the choices follow the question, and a letter is scored. `acc`
    is the mean over questions, so that a subject counts by its size. Small models stay at chance with letters;
    `acc_text` scores the choices' text instead, as the harness's `mmlu_continuation` does.
    """

    hub_id: ClassVar[str] = "cais/mmlu"
    configs: ClassVar[tuple[str | None, ...]] = ("all",)
    split: ClassVar[str] = "test"
    columns: ClassVar[dict[str, Any]] = {"question": str, "subject": str, "choices": [str], "answer": int}
    group_column: ClassVar[str] = "subject"

    def question(self, row: Row) -> Question:
        """Ask for the letter of the answer."""
        about = f"The following are multiple choice questions (with answers) about {_words(row['subject'])}.\n\n"
        asked = f"{row['question'].strip()}\n{lettered(row['choices'])}\nAnswer:"
        return about + asked, "ABCD", row["answer"]

    def text_question(self, row: Row) -> Question:
        """Ask for the text of the answer."""
        about = f"The following are questions (with answers) about {_words(row['subject'])}.\n\n"
        return f"{about}Question: {row['question'].strip()}\nAnswer:", row["choices"], row["answer"]


def _words(subject: str) -> str:
    return subject.replace("_", " ")
