"""Elementary science with the fact that a question is about."""

from typing import Any, ClassVar

from stlm.components.benchmark.openbook import OpenBookQA
from stlm.components.benchmark.questions import Question, Row
from stlm.registry import component


@component("benchmark", "openbook_qa_open")
class OpenOpenBookQA(OpenBookQA):
    """Elementary science, behind the fact it is about (Mihaylov et al., 2018; arXiv:1809.02789): `allenai/openbookqa`.

    Of the test split of `additional`: the fact (`fact1`), a space, then as `openbook_qa_closed`, whose questions these
    are, in the same order. lm-evaluation-harness has no such task. The paper gives its models the whole book, and the
    one fact only to show how much finding it matters.
    """

    configs: ClassVar[tuple[str | None, ...]] = ("additional",)
    columns: ClassVar[dict[str, Any]] = {"fact1": str, **OpenBookQA.columns}

    def question(self, row: Row) -> Question:
        """Ask for what goes on from the stem, behind the fact."""
        stem, choices, gold = super().question(row)
        return f"{row['fact1']} {stem}", choices, gold
