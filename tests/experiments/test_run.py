"""A run as a value: loaded, generating, evaluated."""

import json
import shutil

import pytest
import torch

from stlm.evaluation.items import Item
from stlm.experiments import run as runs
from stlm.experiments.run import evaluate, load_run, train
from stlm.spec import SpecError, UsageError, WorkError


@pytest.fixture
def run(tiny_spec):
    return train(tiny_spec())


def test_a_run_loads_from_its_folder_and_from_each_checkpoint(run):
    for path in (run.folder, str(run.folder), run.checkpoint.folder):
        loaded = load_run(path, device="cpu")
        assert (loaded.step, loaded.folder.name, loaded.spec) == (8, run.folder.name, run.spec)
        assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), run.model.parameters(), strict=True))
        assert not loaded.model.training
        assert loaded.metrics == run.metrics


def test_a_checkpoint_is_chosen_by_name(run):
    assert load_run(run.folder, "step-6").step == 6
    assert load_run(run.folder, "latest").step == 8
    assert load_run(run.folder, "best").step == 8
    with pytest.raises(UsageError, match=r"no checkpoint `step-7`; it has step-6, step-8"):
        load_run(run.folder, "step-7")


def test_a_folder_that_moved_still_loads(run, tmp_path):
    moved = shutil.move(run.folder, tmp_path / "moved")
    assert load_run(moved).generate("The", max_new_tokens=3, temperature=0) == run.generate(
        "The", max_new_tokens=3, temperature=0
    )


def test_a_damaged_checkpoint_that_is_named_is_an_error_not_another_one(run):
    (run.checkpoint.folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(WorkError, match="is not what was written"):
        load_run(run.folder, "step-8")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("")])
def test_what_is_no_run_is_said_in_one_line(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(UsageError, match=r"x` is "):
        load_run(tmp_path / "x")


def test_generating_gives_new_text_alone_and_streams_the_same(run):
    text = run.generate("The cat", max_new_tokens=12, temperature=0)
    assert text == "".join(run.stream("The cat", max_new_tokens=12, temperature=0))
    assert text == run.generate("The cat", max_new_tokens=12, temperature=0, cached=False)
    ids = run.tokenizer.encode_batch(["The cat" + text])[0]
    assert run.tokenizer.decode(ids) == "The cat" + text
    assert run.generate("The cat", max_new_tokens=0) == ""


def test_samples_of_one_seed_differ_and_repeat(run):
    texts = [run.generate("The", max_new_tokens=12, seed=1, sample=i) for i in (0, 1, 0)]
    assert texts[0] == texts[2] != texts[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "has no option `temprature`"),
        ({"temperature": -1.0}, "`temperature` must be 0 or greater"),
        ({"sampler": "standrad"}, "there is no sampler `standrad`"),
        ({"max_new_tokens": -1}, "`max_new_tokens` must be"),
    ],
)
def test_wrong_options_are_said_in_one_line(run, options, message):
    with pytest.raises(UsageError, match=message):
        run.generate("The", **options)


def test_evaluating_again_gives_the_numbers_of_the_training(run):
    stored = json.loads((run.folder / "evals" / "step-8.json").read_text())
    assert evaluate(run) == stored
    assert evaluate(load_run(run.folder)) == stored
    assert {"run", "step", "dataset_loss", "text_modeling"} == set(stored)


def test_a_run_is_evaluated_on_its_own_tokens_wherever_it_is_loaded(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "prepare", lambda *args: pytest.fail("prepared anew"))
    assert evaluate(load_run(run.folder))["dataset_loss"] == evaluate(run)["dataset_loss"]


def test_benchmarks_are_scored_and_each_row_can_be_had(run, monkeypatch):
    class Animals:
        def __init__(self, selector, member):
            self.selector = selector

        def items(self, num_samples, seed):
            return [Item(row, "The cat saw", (str(row), "zzz"), 0) for row in range(num_samples)]

    found = type("Found", (), {"cls": Animals, "selector": "animals", "member": ""})
    monkeypatch.setattr(runs, "_component", lambda kind, name: found)
    rows = []
    results = evaluate(run, benchmarks=["animals"], num_samples=4, sample=rows.append)
    assert set(results["benchmarks"]["animals"]) == {"acc", "acc_norm", "stderr", "num_samples"}
    assert results["benchmarks"]["animals"]["num_samples"] == 4
    assert results["rows_per_second"] > 0
    assert [row["row"] for row in rows] == [0, 1, 2, 3]
    assert set(rows[0]) == {"benchmark", "row", "gold", "log_likelihoods"}


def test_an_unknown_benchmark_is_said_in_one_line(run):
    with pytest.raises(UsageError, match="no benchmark `nope`"):
        evaluate(run, benchmarks=["nope"])


def test_a_spec_without_a_trainer_cannot_be_trained(tiny_spec):
    import attrs

    with pytest.raises(SpecError, match=r"error\[missing-key\]"):
        train(attrs.evolve(tiny_spec(), trainer=None))


def test_the_summary_is_what_the_command_line_prints(run):
    summary = run.summary()
    assert list(summary) == ["run", "steps", "loss", "val_loss", "tokens_per_second", "checkpoint"]
    assert summary["steps"] == 8
    assert summary["loss"] == [r["loss"] for r in run.metrics if r["split"] == "train"][-1]
    assert summary["checkpoint"] == str(run.folder / "checkpoints" / "step-8")
