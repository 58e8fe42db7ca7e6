"""The table of an evaluation: what stands in it, and beside what."""

import re

import pytest

from stlm.cli.scores import print_evaluation
from stlm.components.benchmark.measures import FURTHER, Measure

ACC = {"acc": 0.5, "acc_norm": 0.4, "stderr": 0.03, "chance": 0.25, "at_chance": False, "num_samples": 1000}


def lines(capsys: pytest.CaptureFixture[str], **scores: object) -> list[str]:
    """Print the scores of one benchmark; return its lines, a blank between any two parts."""
    print_evaluation({"run": "toy", "step": 5, "benchmarks": {"b": ACC | scores}})
    return [" ".join(line.split()) for line in re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()]


def test_a_benchmark_has_a_line_with_its_error_and_chance(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys) == ["toy step 5", "", "benchmark acc ± acc_norm chance rows", "b 50.0% 3.0% 40.0% 25.0% 1,000"]
    assert lines(capsys, at_chance=True)[3:] == [
        "b 50.0% 3.0% 40.0% ≈25.0% 1,000",
        "≈ cannot be told from chance: look at bits per byte",
    ]


@pytest.mark.parametrize("measure", FURTHER, ids=lambda measure: measure.name)
def test_a_further_score_has_a_line_below(capsys: pytest.CaptureFixture[str], measure: Measure) -> None:
    more = {measure.name: 0.3, measure.stderr: 0.01}
    assert lines(capsys, **more)[4:] == [f"{measure.label} 30.0% 1.0% 25.0%"]
    assert lines(capsys, **more, **{measure.at_chance: True})[4:] == [
        f"{measure.label} 30.0% 1.0% ≈25.0%",
        "≈ cannot be told from chance: look at bits per byte",
    ]
