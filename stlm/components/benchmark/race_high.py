"""Reading tests of high school."""

import ast
from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row, place_of
from stlm.registry import component

_GAP = "  _  ."


@component("benchmark", "race_high")
class RACEHigh(HubQuestions):
    """English tests for pupils of 15 to 18, about an article (Lai et al., 2017; arXiv:1704.04683): `EleutherAI/race`.

    As lm-evaluation-harness 0.4.13 asks in `race`, of the test split of `high`: one question an article, its last. The
    context is `Article: …`, an empty line, the article's earlier questions with their right answers (in the gap, where
    one ends the question), and the last question as it stands. The paper asks all questions, each by itself, as
    `race_middle` does.
    """

    hub_id: ClassVar[str] = "EleutherAI/race"
    configs: ClassVar[tuple[str | None, ...]] = ("high",)
    split: ClassVar[str] = "test"
    columns: ClassVar[dict[str, Any]] = {"article": str, "problems": str}

    def question(self, row: Row) -> Question:
        """Ask for the answer to the article's last question."""
        *earlier, last = _problems(row["problems"])
        context = f"Article: {row['article']}\n\n" + "".join(map(_answered, earlier)) + last["question"]
        return context, last["options"], _answer(last)


def _problems(written: str) -> list[dict[str, Any]]:
    """Read the questions of an article, which are written as Python writes a list; nothing in it is run."""
    try:
        problems = ast.literal_eval(written)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError("its problems are no list that can be read") from error
    if not (isinstance(problems, list) and problems and all(_is_problem(each) for each in problems)):
        raise ValueError("its problems are no list of questions with options and an answer")
    return problems


def _is_problem(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("options"), list):
        return False
    return all(isinstance(text, str) for text in (value.get("question"), value.get("answer"), *value["options"]))


def _answer(problem: dict[str, Any]) -> int:
    return place_of(problem["answer"], "ABCD"[: len(problem["options"])])


def _answered(problem: dict[str, Any]) -> str:
    question, answer = problem["question"], problem["options"][_answer(problem)]
    if question.endswith(_GAP):
        return f"{question[:-5]}{answer}\n"  # of the gap's two spaces in front one stays; so the harness has it
    return f"Question: {question}\nAnswer: {answer}\n"
