"""Evaluation while a run goes on: when, what around it, and what it leaves."""

import json
from types import SimpleNamespace

import pytest

from stlm.evaluation import in_training
from stlm.evaluation.in_training import Evaluation
from stlm.evaluation.subject import EvaluationInterruptedError
from stlm.experiments.train import train
from stlm.registry import hook
from stlm.registry.lifecycle import lifecycle


class Recorder:
    """Keeps what it was told, in order."""

    def __init__(self):
        self.told = []

    @hook
    def evaluation_starts(self):
        self.told.append("starts")

    @hook
    def evaluation_ends(self, results):
        self.told.append(("ends", sorted(results)))
        if results:
            results["mine"] = 1


@pytest.fixture
def run(tmp_path):
    plugins = lifecycle(recorder := Recorder())
    options = SimpleNamespace(mcq_benchmarks=(), num_samples=0, dataset_loss_eval_iters=1, text_modeling_eval=True)
    trainer = SimpleNamespace(eval_interval=4, eval=options, batch_size=1)
    data = SimpleNamespace(val=None, unigram_loss=None)
    state = {"step": 4, "finished": False, "interrupted": False, "held_out": {}, "data": data, "loss": None}
    folder = SimpleNamespace(root=tmp_path, evals=tmp_path / "evals")
    spec = SimpleNamespace(model=SimpleNamespace(context_window=4), general=SimpleNamespace(seed=1))
    program = SimpleNamespace(spec=spec, model=None, tokenizer=None, device=None, precision="fp32")
    run = SimpleNamespace(**state, trainer=trainer, folder=folder, program=program)
    run.hooks, run.recorder = plugins.hook, recorder
    return run


@pytest.fixture
def measured(monkeypatch):
    def measure(result):
        def evaluate_subject(subject, held_out, benchmarks, num_samples):
            if result is None:
                raise EvaluationInterruptedError
            return result

        monkeypatch.setattr(in_training, "evaluate_subject", evaluate_subject)

    return measure


def test_hooks_stand_around_it_and_what_they_add_is_stored(run, measured):
    measured({"dataset_loss": {"loss": 2.0}})
    Evaluation().step_ends(run)
    assert run.recorder.told == ["starts", ("ends", ["dataset_loss", "run", "step"])]
    assert run.held_out == {"step": 4, "loss": 2.0}
    stored = json.loads((run.folder.evals / "step-4.json").read_text())
    assert (stored["mine"], stored["dataset_loss"]) == (1, {"loss": 2.0})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"step": 4}, True),
        ({"step": 5}, False),
        ({"step": 5, "finished": True}, True),
        ({"step": 4, "interrupted": True}, False),
        ({"step": 5, "finished": True, "interrupted": True}, False),
    ],
)
def test_it_happens_at_the_interval_and_at_the_end_but_keeps_no_interrupted_run_waiting(
    run, measured, changed, expected
):
    measured({})
    vars(run).update(changed)
    Evaluation().step_ends(run)
    assert bool(run.recorder.told) == expected


def test_one_that_is_cut_short_stores_nothing_and_still_ends(run, measured, caplog):
    measured(None)
    Evaluation().step_ends(run)
    assert run.recorder.told == ["starts", ("ends", [])]
    assert not run.folder.evals.exists()
    assert "cut short" in caplog.text


def test_a_run_evaluates_in_the_number_format_of_its_training(tiny_spec):
    whole, half = (train(tiny_spec(f"trainer.precision={precision}")) for precision in ("fp32", "bf16"))
    losses = [run.metrics[-1]["loss"] for run in (whole, half)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
