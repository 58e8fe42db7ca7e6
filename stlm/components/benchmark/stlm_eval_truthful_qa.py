"""stlm's own questions that invite an error."""

from stlm.components.benchmark.packaged import PackagedQuestions
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component


@component("benchmark", "stlm_eval_truthful_qa")
class SimpleTruths(PackagedQuestions):
    """stlm's own questions that stories, sayings or habit answer falsely, in plain words, one answer of each is true.

    Shipped in the package, so no network is needed. Asked in the form of `truthful_qa`: `Q: …`, then `A:` on a line of
    its own, but the true answer stands at any place. Its rows are new ones; none is from TruthfulQA.
    """

    def question(self, row: Row) -> Question:
        """Ask for the true answer."""
        return f"Q: {row['question']}\nA:", row["choices"], row["gold"]
