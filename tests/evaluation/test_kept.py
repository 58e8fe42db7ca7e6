"""Results of one step that join: nothing that was measured is lost."""

import json
import os

import pytest

from stlm.evaluation import kept
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
    assert merged(before, new)["absent"] == {"c": "no hub"}
    assert "absent" not in merged({"benchmarks": {"a": scores(0.5, 9)}}, {"absent": {"a": "no hub"}})


def test_what_the_latest_evaluation_did_not_ask_for_is_not_absent():
    assert "absent" not in merged({"absent": {"a": "no hub"}}, {"benchmarks": {"b": scores(0.5, 9)}})


SHIPPED = {"passages": "shipped", "bits_per_byte": 2.0}
OWN = {"passages": "mine.jsonl", "bits_per_byte": 3.0}


def text(*results):
    joined = {}
    for one in results:
        joined = merged(joined, {"text_modeling": one})
    return joined


def test_passages_of_ones_own_do_not_replace_those_that_are_shipped():
    both = {"text_modeling": SHIPPED, "text_modeling_other": {"mine.jsonl": OWN}}
    assert text(SHIPPED, OWN) == text(OWN, SHIPPED) == text(SHIPPED, OWN, SHIPPED) == both
    better = {**OWN, "bits_per_byte": 1.0}
    assert text(SHIPPED, OWN, better)["text_modeling_other"] == {"mine.jsonl": better}
    assert text(OWN, better) == {"text_modeling": better}


def test_held_out_text_and_passages_stay_beside_each_other():
    held_out = {"held_out": {"bits_per_byte": 4.0}}
    both = {"text_modeling": {**SHIPPED, **held_out}}
    assert text({**SHIPPED, "held_out": {"bits_per_byte": 5.0}}, held_out) == text(held_out, SHIPPED) == both
    assert text({**SHIPPED, **held_out}, OWN)["text_modeling"] == both["text_modeling"]


def test_passages_are_absent_whatever_was_measured_of_held_out_text():
    new = {"text_modeling": {"held_out": {"bits_per_byte": 4.0}}, "absent": {"text_modeling": "no hub"}}
    assert merged({}, new) == new
    assert "absent" not in merged({"text_modeling": SHIPPED}, new)


def test_rows_are_those_of_the_scores_that_are_kept(tmp_path):
    file = tmp_path / "evals" / "step-8.json"
    keep_results(
        file, {"benchmarks": {"a": scores(0.5, 2), "b": scores(0, 1)}}, [row("a", 0), row("a", 1), row("b", 0)]
    )
    keep_results(file, {"benchmarks": {"a": scores(0.5, 1), "b": scores(1, 1)}}, [row("a", 5), row("b", 7)])
    stored = [json.loads(line) for line in (tmp_path / "evals" / "step-8.rows.jsonl").read_text().split("\n")[:-1]]
    assert stored == [row("a", 0), row("a", 1), row("b", 7)]


def test_a_file_that_cannot_be_read_is_left_as_it_is(tmp_path):
    file = tmp_path / "step-8.json"
    file.write_text("{half")
    with pytest.raises(WorkError, match="not thrown away"):
        keep_results(file, {"benchmarks": {"a": scores(0.5, 1)}}, [row("a", 0)])
    assert file.read_text() == "{half"
    assert not (tmp_path / "step-8.rows.jsonl").exists()
    keep_results(file, {"benchmarks": {"a": scores(0.5, 1)}}, by_hand=False)
    assert json.loads(file.read_text()) == {"benchmarks": {"a": scores(0.5, 1)}}


@pytest.mark.parametrize(
    "there",
    [
        {"benchmarks": None},
        {"benchmarks": [1]},
        {"benchmarks": {"a": 3}},
        {"benchmarks": {"a": {"num_samples": "x"}}},
        {"absent": ["a"]},
        {"text_modeling": 1},
        {"text_modeling": {"held_out": 5}},
        {"text_modeling_other": {"x": 5}},
        {"text_modeling_other": {"mine.jsonl": {"bits_per_byte": 2.0}, "x": None}},
        {"dataset_loss": 2.0},
        {"benchmarks": {"a": {"num_samples": True}}},
    ],
)
def test_results_of_another_form_are_not_thrown_away_either(tmp_path, there):
    file = tmp_path / "step-8.json"
    file.write_text(json.dumps(there))
    with pytest.raises(WorkError, match="does not hold the results"):
        keep_results(file, {"benchmarks": {"a": scores(0.5, 1)}, "text_modeling": {"held_out": {"bits_per_byte": 4.0}}})
    assert json.loads(file.read_text()) == there


def test_a_line_that_is_no_row_stays_among_those_that_are(tmp_path):
    odd = [b'{"benchmark": ["a"]}\n', b'{"benchmark": {}}\n', b"[1]\n", b"half\n", b"[" * 100_000 + b"\n"]
    (tmp_path / "step-8.rows.jsonl").write_bytes(b"".join(odd))
    keep_results(tmp_path / "step-8.json", {"benchmarks": {"a": scores(0.5, 1)}}, [row("a", 0)])
    assert (tmp_path / "step-8.rows.jsonl").read_bytes().splitlines(keepends=True)[:-1] == odd


def test_half_a_line_at_the_end_does_not_spoil_the_row_behind_it(tmp_path):
    file = tmp_path / "step-8.rows.jsonl"
    whole = json.dumps(row("b", 0))
    file.write_text(f"{whole}\n{whole[:30]}")
    keep_results(tmp_path / "step-8.json", {"benchmarks": {"a": scores(0.5, 1)}}, [row("a", 0)])
    assert [json.loads(line) for line in file.read_text().split("\n")[:-1]] == [row("b", 0), row("a", 0)]


def test_half_a_surrogate_in_a_row_is_kept(tmp_path):
    cut = {**row("a", 0), "context": "\ud83d"}  # of a text that was cut within a pair
    keep_results(tmp_path / "step-8.json", {"benchmarks": {"a": scores(0.5, 1)}}, [cut])
    (line,) = (tmp_path / "step-8.rows.jsonl").read_text().splitlines()
    assert json.loads(line) == cut


def test_results_whose_rows_cannot_be_stored_are_not_stored_either(tmp_path, monkeypatch):
    file = tmp_path / "step-8.json"
    keep_results(file, {"benchmarks": {"a": scores(0.5, 1)}}, [row("a", 0)])
    before = {path.name: path.read_bytes() for path in tmp_path.glob("step-8.*")}
    assert set(before) == {"step-8.json", "step-8.rows.jsonl"}

    def full(path, content):
        raise WorkError("the disk is full")

    monkeypatch.setattr(kept, "write_file", full)
    with pytest.raises(WorkError, match="the disk is full"):
        keep_results(file, {"benchmarks": {"a": scores(1.0, 1)}}, [row("a", 1)])
    assert {path.name: path.read_bytes() for path in tmp_path.glob("step-8.*")} == before


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_in_the_place_of_the_rows_is_told(tmp_path, make):
    make(tmp_path / "step-8.rows.jsonl")
    with pytest.raises(WorkError, match="no file that rows could be kept in"):
        keep_results(tmp_path / "step-8.json", {"benchmarks": {"a": scores(0.5, 1)}}, [row("a", 0)])
