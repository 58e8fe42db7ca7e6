"""How one does everyday things."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component


@component("benchmark", "piqa")
class PIQA(HubQuestions):
    """A goal, and two ways to reach it, one of which works (Bisk et al., 2019; arXiv:1911.11641): `baber/piqa`.

    As lm-evaluation-harness 0.4.13 asks, of the validation split: the goal behind `Question:`, though it often is no
    question, then `Answer:` on a line of its own, and both ways as they stand, spaces at their end included. It is read
    from a copy in Parquet, since the authors' repository is a program that loads it.
    """

    hub_id: ClassVar[str] = "baber/piqa"
    columns: ClassVar[dict[str, Any]] = {"goal": str, "sol1": str, "sol2": str, "label": int}

    def question(self, row: Row) -> Question:
        """Ask for the way that works."""
        return f"Question: {row['goal']}\nAnswer:", (row["sol1"], row["sol2"]), row["label"]
