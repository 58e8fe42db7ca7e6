"""Elementary science without the book."""

from typing import ClassVar

from stlm.components.benchmark.openbook import OpenBookQA
from stlm.registry import component


@component("benchmark", "openbook_qa_closed")
class ClosedOpenBookQA(OpenBookQA):
    """Elementary science, without the fact it is about (Mihaylov et al., 2018; arXiv:1809.02789): `allenai/openbookqa`.

    As lm-evaluation-harness 0.4.13 asks in `openbookqa`, of the test split of `main`: the stem as it stands, be it a
    question or the begin of a sentence, and the choices' text. The paper's models may look facts up in its book.
    """

    configs: ClassVar[tuple[str | None, ...]] = ("main",)
