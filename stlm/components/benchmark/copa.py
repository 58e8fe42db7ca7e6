"""Cause and effect."""

from typing import Any, ClassVar

from stlm.components.benchmark.hub import HubQuestions
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component

_CONNECTORS = {"cause": "because", "effect": "therefore"}


@component("benchmark", "copa")
class COPA(HubQuestions):
    """The likelier cause or effect of two (Roemmele et al., 2011): `copa` in `aps/super_glue` (arXiv:1905.00537).

    As lm-evaluation-harness 0.4.13 asks, of the 100 rows of the validation split: the premise without its full stop,
    `because` or `therefore`, and each alternative with a small first letter, be it a name's. The harness puts a space
    before the alternative that it joins by a space, so there are two; the second counts in the length of `acc_norm`.
    """

    hub_id: ClassVar[str] = "aps/super_glue"
    configs: ClassVar[tuple[str | None, ...]] = ("copa",)
    columns: ClassVar[dict[str, Any]] = {"premise": str, "choice1": str, "choice2": str, "question": str, "label": int}

    def question(self, row: Row) -> Question:
        """Ask for what caused the premise, or followed from it."""
        context = f"{row['premise'].strip()[:-1]} {_CONNECTORS[row['question']]}"
        return context, [f" {each[:1].lower()}{each[1:]}" for each in (row["choice1"], row["choice2"])], row["label"]
