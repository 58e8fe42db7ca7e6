"""Questions of yes or no about a passage."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component


@component("benchmark", "boolq")
class BoolQ(HubQuestions):
    """Questions of yes or no that people asked, with a passage (Clark et al., 2019; arXiv:1905.10044).

    As lm-evaluation-harness 0.4.13 asks, of the validation split of `boolq` in `aps/super_glue`: the passage, then
    `Question: …?` and `Answer:` on lines of their own; the choices are `no` and `yes`. 62 % of the answers are yes, so
    that is what a model scores which always says so.
    """

    hub_id: ClassVar[str] = "aps/super_glue"
    configs: ClassVar[tuple[str | None, ...]] = ("boolq",)
    columns: ClassVar[dict[str, Any]] = {"question": str, "passage": str, "label": int}

    def question(self, row: Row) -> Question:
        """Ask for yes or no."""
        return f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:", ("no", "yes"), row["label"]
