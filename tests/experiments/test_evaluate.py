"""A run evaluated after its training."""

import importlib
import json

import pytest

from stlm.evaluation.items import Item
from stlm.experiments.evaluate import evaluate
from stlm.experiments.run import load_run
from stlm.spec import StlmError

module = importlib.import_module("stlm.experiments.evaluate")


def test_evaluating_again_gives_the_numbers_of_the_training(run):
    stored = json.loads((run.folder / "evals" / "step-8.json").read_text())
    assert evaluate(run) == stored
    assert evaluate(load_run(run.folder)) == stored
    assert {"run", "step", "dataset_loss", "text_modeling"} == set(stored)


def test_a_run_is_evaluated_on_its_own_tokens_wherever_it_is_loaded(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "prepare", lambda *args: pytest.fail("prepared anew"))
    assert evaluate(load_run(run.folder))["dataset_loss"] == evaluate(run)["dataset_loss"]


def test_benchmarks_are_scored_and_each_row_can_be_had(run, monkeypatch):
    class Animals:
        selector = "animals"

        def items(self, num_samples, seed):
            return [Item(row, "The cat saw", (str(row), "zzz"), 0) for row in range(num_samples)]

    monkeypatch.setattr(module, "make_component", lambda kind, name: Animals())
    rows = []
    results = evaluate(run, benchmarks=["animals"], num_samples=4, sample=rows.append)
    assert set(results["benchmarks"]["animals"]) == {"acc", "acc_norm", "stderr", "num_samples"}
    assert results["benchmarks"]["animals"]["num_samples"] == 4
    assert results["rows_per_second"] > 0
    assert [row["row"] for row in rows] == [0, 1, 2, 3]
    assert set(rows[0]) == {"benchmark", "row", "gold", "log_likelihoods"}


def test_an_unknown_benchmark_is_said_in_one_line(run):
    with pytest.raises(StlmError, match="no benchmark `nope`"):
        evaluate(run, benchmarks=["nope"])
