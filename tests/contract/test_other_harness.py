"""Benchmarks whose names nobody listed beforehand."""

import json

import pytest

import stlm
from stlm.spec import SpecError

CHOSEN = {"mcq_benchmarks": ["other_harness:count_by_3", "other_harness:count_by_70"], "num_samples": 6}


def test_a_name_with_the_prefix_is_a_benchmark(spec, registry):
    chosen = spec(trainer={"eval": CHOSEN})
    three, seventy = chosen.trainer.eval.mcq_benchmarks
    assert (three.selector, three.member) == ("other_harness:count_by_3", "count_by_3")
    assert seventy.items(0, 0)[1].context == "70, 140,"
    assert "other_harness:*" in registry.names("benchmark")


def test_the_canonical_form_keeps_the_whole_name(spec):
    chosen = spec(trainer={"eval": CHOSEN})
    assert chosen.to_plain()["trainer"]["eval"]["mcq_benchmarks"] == CHOSEN["mcq_benchmarks"]


def test_a_name_that_the_other_harness_does_not_have_is_unknown(spec):
    with pytest.raises(SpecError) as error:
        spec(trainer={"eval": {"mcq_benchmarks": ["other_harness:poetry"]}})
    assert [d.code.value for d in error.value.diagnostics] == ["unknown-name"]


def test_they_are_scored_during_training_and_after(spec):
    run = stlm.train(spec(trainer={"eval": {**CHOSEN, "dataset_loss_eval_iters": 1}}))
    stored = json.loads((run.folder / "evals" / "step-8.json").read_text())["benchmarks"]
    assert list(stored) == CHOSEN["mcq_benchmarks"]
    assert all(scores["num_samples"] == 6 and 0 <= scores["acc"] <= 1 for scores in stored.values())
    logged = [r for r in run.metrics if r["split"] == "val"][-1]
    assert logged["other_harness:count_by_3/acc"] == stored["other_harness:count_by_3"]["acc"]
    after = stlm.evaluate(run, ["other_harness:count_by_9"], num_samples=0)
    assert after["benchmarks"]["other_harness:count_by_9"]["num_samples"] == 50


def test_its_rows_depend_on_the_seed_alone(spec):
    (benchmark, _) = spec(trainer={"eval": CHOSEN}).trainer.eval.mcq_benchmarks
    assert benchmark.items(6, 1) == benchmark.items(6, 1) != benchmark.items(6, 2)
