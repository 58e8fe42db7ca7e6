"""stlm's own stories to go on with."""

from stlm.components.benchmark.packaged import PackagedQuestions
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component


@component("benchmark", "stlm_eval_hellaswag")
class SimpleStories(PackagedQuestions):
    """stlm's own short stories that break off, in plain words, with four endings each.

    Shipped in the package, so no network is needed. The story as it stands, and each ending behind a space: the form of
    `hellaswag`, without its label of an activity. Its rows are new ones; none is from HellaSwag.
    """

    def question(self, row: Row) -> Question:
        """Ask for the ending."""
        return row["context"], row["endings"], row["gold"]
