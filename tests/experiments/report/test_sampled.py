"""Which checkpoints' texts are shown."""

from typing import Any

import pytest

from stlm.experiments.report.sampled import MOST_STEPS, closed_up, sampled


def document(step: int, *pairs: tuple[Any, Any]) -> dict[str, Any]:
    return {"step": step, "samples": [{"prompt": prompt, "text": text} for prompt, text in pairs]}


@pytest.mark.parametrize("count", [1, 5, 6, 7, 20, 500])
def test_the_first_and_the_last_are_among_a_few(count: int) -> None:
    shown = [step for step, _ in sampled([document(step, ("p", "t")) for step in range(count)])["p"]]
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1]) == (0, count - 1)
    assert min(count, 4) <= len(shown) <= MOST_STEPS


def test_texts_are_kept_by_prompt_and_what_is_none_is_passed_over() -> None:
    documents = [document(1, ("a", "x"), ("b", "y")), document(2, ("a", "z"), ("b", None)), {"step": 3, "samples": 5}]
    assert sampled(documents) == {"a": [(1, "x"), (2, "z")], "b": [(1, "y")]}


def test_of_empty_lines_that_follow_each_other_the_number_is_told() -> None:
    assert list(closed_up("a\n\nb\n \t\n\r\n\n  c")) == ["a\n\nb", 3, "  c"]
    assert list(closed_up("\n" * 40)) == ["", 39, ""]
