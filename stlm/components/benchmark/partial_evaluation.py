"""Scoring what follows a gap, once for each word that could fill it."""

from stlm.components.benchmark.questions import Question, Row, place_of


def filled_gap(row: Row) -> Question:
    """Ask for what follows the `_` of a sentence, after the text before it and each of the two options.

    The choices differ in their contexts alone ("partial evaluation": Trinh and Le, 2018; arXiv:1806.02847).
    """
    before, gap, after = row["sentence"].partition("_")
    if not gap:
        raise ValueError("there is no `_` in its sentence")
    contexts = (before + row["option1"], before + row["option2"])
    return contexts, (after.strip(),) * 2, place_of(row["answer"], ("1", "2"))
