"""A run evaluated after its training."""

import importlib
import json
import os
import shutil
from types import SimpleNamespace

import pytest
import torch

import stlm
from stlm.evaluation.items import Item
from stlm.experiments.evaluate import NotKeptError, all_benchmarks, benchmarks_of, evaluate, load_model
from stlm.experiments.run import load_run
from stlm.experiments.train import train
from stlm.registry import component, parse_spec
from stlm.registry.manager import installed
from stlm.spec import Code, StlmError, UsageError, WorkError
from tests.conftest import copied

module = importlib.import_module("stlm.experiments.evaluate")


@pytest.fixture(scope="module")
def measured(train_once):
    """A run of which all is measured that can be."""
    return train_once("trainer.eval.text_modeling_eval=true")


@pytest.fixture
def run(measured, tmp_path):
    """A copy of that run in the test's own folder."""
    return load_run(copied(measured, tmp_path))


def test_evaluating_again_gives_the_numbers_of_the_training(run):
    stored = json.loads((run.folder / "evals" / "step-8.json").read_text()) | {"run": run.name}
    assert evaluate(run) == stored
    assert evaluate(load_run(run.folder)) == stored
    assert {"run", "step", "dataset_loss", "text_modeling"} == set(stored)


def test_a_run_is_evaluated_on_its_own_tokens_wherever_it_is_loaded(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "prepare", lambda *args: pytest.fail("prepared anew"))
    assert evaluate(load_run(run.folder))["dataset_loss"] == evaluate(run)["dataset_loss"]


def test_benchmarks_are_scored_and_each_row_can_be_had(run):
    rows = []
    results = stlm.evaluate(run, benchmarks=["stlm_eval_hellaswag"], num_samples=4, sample=rows.append)
    scores = results["benchmarks"]["stlm_eval_hellaswag"]
    assert {"acc", "acc_norm", "stderr", "num_samples", "chance", "at_chance"} <= set(scores)
    assert scores["num_samples"] == len(rows) == 4
    assert results["rows_per_second"] > 0
    assert {"benchmark", "row", "gold", "log_likelihoods", "context", "choices"} <= set(rows[0])
    assert all(len(row["log_likelihoods"]) == len(row["choices"]) == 4 for row in rows)


def test_the_same_rows_are_asked_of_every_model_and_more_rows_hold_fewer(run, tiny_spec):
    def rows_of(some, count):
        rows = []
        evaluate(some, ["stlm_eval_winogrande"], count, rows.append, text_modeling=False, dataset_loss=False)
        return [row["row"] for row in rows]

    other = train(tiny_spec("general.seed=7", "model.hidden_dim=32"))
    assert rows_of(run, 9) == rows_of(other, 9)
    assert set(rows_of(run, 9)) < set(rows_of(run, 20))


def test_nothing_is_written_and_nothing_of_the_model_changes(run):
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    weights = [parameter.clone() for parameter in run.model.parameters()]
    random = torch.get_rng_state()
    evaluate(run, ["stlm_eval_hellaswag"], 4)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before
    assert all(torch.equal(a, b) for a, b in zip(weights, run.model.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), random)


def test_how_far_it_is_is_told_of_each_part(run):
    told = {}
    evaluate(run, ["stlm_eval_hellaswag"], 4, progress=lambda part, done, total: told.setdefault(part, (done, total)))
    last = {}
    evaluate(run, ["stlm_eval_hellaswag"], 4, progress=lambda part, done, total: last.update({part: (done, total)}))
    assert list(last) == list(told) == ["dataset_loss", "text_modeling", "stlm_eval_hellaswag"]
    assert all(done == total > 0 for done, total in last.values())


def test_a_part_can_be_left_out(run):
    assert set(evaluate(run, [], text_modeling=False, dataset_loss=False)) == {"run", "step"}
    assert "held_out" not in evaluate(run, [], dataset_loss=False)["text_modeling"]
    assert "text_modeling" not in evaluate(run, [], text_modeling=False)


def test_passages_of_ones_own_stand_for_those_that_are_shipped(run, tmp_path):
    row = {"text": "The cat saw 5 cafés and the dog slept.", "topic": "animals", "difficulty": "easy"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    found = evaluate(run, [], text_modeling=str(tmp_path / "mine.jsonl"), dataset_loss=False)["text_modeling"]
    assert set(found["by_topic"]) == {"animals"}
    with pytest.raises(StlmError, match=r"nope\.jsonl"):
        evaluate(run, [], text_modeling=str(tmp_path / "nope.jsonl"))


def test_passages_of_no_text_are_absent_with_the_reason(run, tmp_path):
    (tmp_path / "empty.jsonl").write_text(json.dumps({"text": "", "topic": "animals", "difficulty": "easy"}) + "\n")
    results = evaluate(run, [], text_modeling=str(tmp_path / "empty.jsonl"), dataset_loss=False)
    assert results["absent"]["text_modeling"].endswith("hold no text: column `text` is empty in each row")
    assert "text_modeling" not in results


def test_a_path_is_as_good_as_a_run(run):
    assert evaluate(run.folder, []) == evaluate(run, [])
    with pytest.raises(UsageError, match="`num_samples` must be 0"):
        evaluate(run.folder, [], num_samples=-1)


def test_held_out_data_that_cannot_be_had_is_absent(run, monkeypatch):
    monkeypatch.setattr(module, "own_tokens", lambda places: None)
    monkeypatch.setattr(module, "prepare", refuse)
    found = evaluate(run, ["stlm_eval_hellaswag"], 2)
    assert found["absent"] == {"dataset_loss": "the text is gone"}
    assert set(found) == {"run", "step", "benchmarks", "rows_per_second", "text_modeling", "absent"}


def test_held_out_data_that_was_asked_for_and_is_not_there_is_absent(run, tiny_spec):
    none = train(tiny_spec("trainer.eval.dataset_loss_eval_iters=0"))
    assert "absent" not in evaluate(none, [], text_modeling=False)
    found = evaluate(none, [], text_modeling=False, dataset_loss=True)
    assert found["absent"] == {"dataset_loss": "no data was held out, or `trainer.eval.dataset_loss_eval_iters` is 0"}
    assert "absent" not in evaluate(run, [], text_modeling=False, dataset_loss=True)


def refuse(*_):
    raise WorkError("the text is gone")


def test_an_unknown_benchmark_is_said_in_one_line(run):
    with pytest.raises(StlmError, match=r"no benchmark `nope`(.|\n)*no benchmark `nix`") as caught:
        evaluate(run, benchmarks=["nope", "stlm_eval_hellaswag", "nix"])
    assert [(d.code, d.place.column) for d in caught.value.diagnostics] == [
        (Code.UNKNOWN_NAME, 12),
        (Code.UNKNOWN_NAME, 37),
    ]
    assert {d.place.file for d in caught.value.diagnostics} == {"benchmarks"}, "from Python there are no flags"
    with pytest.raises(
        StlmError, match=r"^benchmarks:1:12: error\[unknown-name\]: there is no benchmark `stlm_eval_hela`$"
    ):
        evaluate(run, "stlm_eval_hela")


def test_one_benchmark_may_be_a_plain_string(run):
    found = evaluate(run, "stlm_eval_hellaswag", 2, text_modeling="none", dataset_loss=False)
    assert list(found["benchmarks"]) == ["stlm_eval_hellaswag"]
    assert "text_modeling" not in found
    assert evaluate(run, [], text_modeling="shipped") == evaluate(run, [], text_modeling=True)


def test_all_benchmarks_are_those_of_a_registry():
    names = all_benchmarks(installed())
    assert set(names) >= {"hellaswag", "blimp", "stlm_eval_arc_easy"}
    assert not [name for name in names if "*" in name]
    assert all_benchmarks(installed().only(set())) == []


NOTHING = "of which no score can be made"


@pytest.fixture
def stored(run, tmp_path):
    """A copy of a run, whose results may be thrown away."""
    return load_run(shutil.copytree(run.folder, tmp_path / "stored"))


def test_a_model_that_computes_no_numbers_is_not_scored(stored):
    with torch.no_grad():
        next(stored.model.parameters()).fill_(float("nan"))
    rows = []
    found = evaluate(stored, ["stlm_eval_hellaswag"], 4, rows.append, text_modeling=True)
    why = f"the model computes what is not a number (NaN), {NOTHING}"
    parts = ("dataset_loss", "text_modeling", "stlm_eval_hellaswag")
    assert found == {"run": str(stored.folder), "step": 8, "absent": dict.fromkeys(parts, why)}
    assert not rows


@pytest.mark.parametrize("part", ["dataset_loss", "text_modeling", "stlm_eval_hellaswag", "stlm_eval_arc_easy"])
def test_a_model_whose_numbers_overflow_is_not_scored(run, part):
    def far_apart(layer, inputs, logits):  # so far that no float says how far
        return logits / logits.abs().amax(-1, keepdim=True) * 3e38

    hook = run.model.head.linear.register_forward_hook(far_apart)
    parts = {name: part == name for name in ("dataset_loss", "text_modeling")}
    found = evaluate(run, [part] if part.startswith("stlm") else [], 2, **parts)
    hook.remove()
    assert found["absent"] == {part: f"the model computes a number that is not finite (it overflows), {NOTHING}"}


def test_a_run_keeps_what_is_measured_where_it_is_told_to(stored):
    file = stored.folder / "evals" / "step-8.json"
    before = json.loads(file.read_text())
    evaluate(stored, ["stlm_eval_hellaswag"], 4, text_modeling=False, dataset_loss=False)
    assert json.loads(file.read_text()) == before
    found = evaluate(stored, ["stlm_eval_hellaswag"], 4, text_modeling=False, dataset_loss=False, keep=True)
    assert json.loads(file.read_text()) == {**before, **found}
    rows = [json.loads(line) for line in file.with_suffix(".rows.jsonl").read_text().splitlines()]
    assert [row["benchmark"] for row in rows] == ["stlm_eval_hellaswag"] * 4


def test_each_part_is_kept_before_the_next_one_begins_and_what_was_refused_in_the_end(stored, monkeypatch):
    """The disk refuses the first benchmark's results when they are there, and then no more."""
    put, kept = module.keep_results, []

    def refusing_once(file, results, rows):
        kept.append((sorted(results.keys() - {"run", "step"}), sorted({row["benchmark"] for row in rows})))
        if len(kept) == 1:
            raise WorkError("the disk is full")
        put(file, results, rows)

    monkeypatch.setattr(module, "keep_results", refusing_once)
    names = ["stlm_eval_hellaswag", "stlm_eval_winogrande"]
    evaluate(stored, names, 4, text_modeling=False, dataset_loss=False, keep=True)
    assert kept == [
        (["benchmarks"], names[:1]),
        (["benchmarks"], names),
        (["benchmarks", "rows_per_second"], names[:1]),
    ]
    lines = (stored.folder / "evals" / "step-8.rows.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["benchmark"] for line in lines) == sorted(names * 4)


def test_what_was_measured_and_could_not_be_kept_is_not_lost(stored, monkeypatch):
    monkeypatch.setattr(module, "keep_results", refuse)
    with pytest.raises(NotKeptError, match=r"^the results are not kept in the run: the text is gone$") as caught:
        evaluate(stored, ["stlm_eval_hellaswag"], 4, text_modeling=False, dataset_loss=False, keep=True)
    assert caught.value.results["benchmarks"]["stlm_eval_hellaswag"]["num_samples"] == 4
    assert caught.value.results["step"] == 8


def test_without_a_trainer_those_are_scored_that_need_no_network(with_plugins):
    class OfAPlugin:
        """Asks nothing of anybody."""

        needs_no_network = True

        def items(self, num_samples, seed):
            return [Item(number, "a", ("b", "c"), 0) for number in range(3)]

    registry = with_plugins({"stlm-toy": [component("benchmark", "zoo")(OfAPlugin)]})
    without = SimpleNamespace(spec=SimpleNamespace(trainer=None, registry=registry))
    names = [one.selector for one in benchmarks_of(without)]
    assert names == [f"stlm_eval_{name}" for name in ("arc_easy", "hellaswag", "truthful_qa", "winogrande")] + ["zoo"]


def test_a_benchmark_is_one_of_the_registry_of_the_run_and_its_failure_names_the_package(tiny_spec, with_plugins):
    """What is installed here does not know it; neither while the run trains nor after it."""

    class Broken:
        """Has no rows."""

        def items(self, num_samples, seed):
            raise ValueError("no rows today")

    registry = with_plugins({"stlm-toy": [component("benchmark", "broken")(Broken)]})
    run = train(parse_spec(tiny_spec().dump(), ["trainer.eval.mcq_benchmarks=[broken]"], registry=registry))
    why = {"broken": "stlm-toy failed to give its rows: ValueError: no rows today"}
    assert json.loads((run.folder / "evals" / "step-8.json").read_text())["absent"] == why
    assert evaluate(run, text_modeling=False, dataset_loss=False)["absent"] == why
    assert evaluate(run, "broken", text_modeling=False, dataset_loss=False)["absent"] == why


def test_of_a_path_that_holds_no_model_the_nearest_is_named(run, tmp_path):
    older, newer = (shutil.copytree(run.folder, tmp_path / "runs" / name) for name in ("b", "a"))
    os.utime(older / "spec.yaml", (1, 1))
    checkpoint = newer / "checkpoints" / "step-8"
    published = tmp_path / "hf"
    published.mkdir()
    for name in ("config.json", "model.safetensors"):
        (published / name).write_text("{}")
    meant = {
        tmp_path / "runs": newer,
        checkpoint / "model.safetensors": checkpoint,
        checkpoint / "tokenizer": checkpoint,
        newer / "evals": newer,
        newer / "spec.yaml": newer,
        published / "model.safetensors": published,
    }
    for path, near in meant.items():
        assert path.exists()
        with pytest.raises(UsageError, match=rf"`{path}` is neither a run's folder.*; did you mean `{near}`\?$"):
            load_model(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"nor a folder in Hugging Face's layout$"):
        load_model(tmp_path / "empty")
