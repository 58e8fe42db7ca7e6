"""Results of one step that join: nothing that was measured is lost."""

import json

import pytest

from stlm.evaluation.kept import keep_results, merged
from stlm.spec import WorkError


def scores(acc: float, num_samples: int) -> dict[str, float]:
    return {"acc": acc, "num_samples": num_samples}


def row(benchmark: str, number: int) -> dict[str, object]:
    return {"benchmark": benchmark, "row": number, "gold": 0, "log_likelihoods": [-1.0, -2.0], "context": "a\u2028b"}


def test_parts_that_were_not_measured_again_stay():
    before = {"step": 8, "dataset_loss": {"loss": 2.0}, "benchmarks": {"a": scores(0.5, 9)}}
    new = {"step": 8, "text_modeling": {"bits_per_byte": 3.0}, "benchmarks": {"b": scores(0.25, 9)}}
    assert merged(before, new) == {**before, **new, "benchmarks": {**before["benchmarks"], **new["benchmarks"]}}


@pytest.mark.parametrize(("rows", "stays"), [(8, "old"), (9, "new"), (10, "new")])
def test_of_two_scores_the_one_of_more_rows_stays(rows, stays):
    old, new = scores(0.5, 9), scores(0.25, rows)
    joined = merged({"benchmarks": {"a": old}}, {"benchmarks": {"a": new}})
    assert joined == {"benchmarks": {"a": old if stays == "old" else new}}


def test_what_is_there_by_now_is_no_longer_absent():
    before = {"absent": {"a": "no hub", "b": "no hub", "dataset_loss": "no data"}}
    new = {"benchmarks": {"a": scores(0.5, 9)}, "dataset_loss": {"loss": 2.0}, "absent": {"c": "no hub"}}
    assert merged(before, new)["absent"] == {"b": "no hub", "c": "no hub"}
    assert "absent" not in merged({"absent": {"a": "no hub"}}, {"benchmarks": {"a": scores(0.5, 9)}})
    assert "absent" not in merged({"benchmarks": {"a": scores(0.5, 9)}}, {"absent": {"a": "no hub"}})


def test_rows_are_those_of_the_scores_that_are_kept(tmp_path):
    file = tmp_path / "evals" / "step-8.json"
    keep_results(
        file, {"benchmarks": {"a": scores(0.5, 2), "b": scores(0, 1)}}, [row("a", 0), row("a", 1), row("b", 0)]
    )
    keep_results(file, {"benchmarks": {"a": scores(0.5, 1), "b": scores(1, 1)}}, [row("a", 5), row("b", 7)])
    kept = [json.loads(line) for line in (tmp_path / "evals" / "step-8.rows.jsonl").read_text().split("\n")[:-1]]
    assert kept == [row("a", 0), row("a", 1), row("b", 7)]


def test_a_file_that_cannot_be_read_is_left_as_it_is(tmp_path):
    file = tmp_path / "step-8.json"
    file.write_text("{half")
    with pytest.raises(WorkError, match="not thrown away"):
        keep_results(file, {"benchmarks": {"a": scores(0.5, 1)}}, [row("a", 0)])
    assert file.read_text() == "{half"
    assert not (tmp_path / "step-8.rows.jsonl").exists()
