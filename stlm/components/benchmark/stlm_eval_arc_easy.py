"""stlm's own questions of simple science."""

from stlm.components.benchmark.packaged import PackagedQuestions
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component


@component("benchmark", "stlm_eval_arc_easy")
class SimpleScience(PackagedQuestions):
    """stlm's own questions about everyday things, animals, weather and the body, in plain words, four choices each.

    Shipped in the package, so no network is needed. Asked in the form of `arc_easy`: `Question: …`, then `Answer:` on a
    line of its own, and the choices' text. Its rows are new ones; none is from ARC.
    """

    def question(self, row: Row) -> Question:
        """Ask for the text of the answer."""
        return f"Question: {row['question']}\nAnswer:", row["choices"], row["gold"]
