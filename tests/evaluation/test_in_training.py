"""Evaluation while a run goes on: when, what around it, and what it leaves."""

import json
import time
from types import SimpleNamespace

import pytest
import torch

from stlm.compiler.processes import Processes
from stlm.components.benchmark.stlm_eval_winogrande import SimpleGaps
from stlm.evaluation import in_training
from stlm.evaluation.in_training import Evaluation
from stlm.evaluation.kept import keep_results
from stlm.evaluation.subject import EvaluationInterruptedError
from stlm.experiments.train import train
from stlm.registry import hook
from stlm.registry.lifecycle import lifecycle
from stlm.registry.manager import installed
from stlm.spec import WorkError
from stlm.training import setup
from stlm.training.state import TrainingState


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


class State(SimpleNamespace):
    """What an evaluation asks of a run's state, and what that says of itself."""

    evaluation_file, evaluation_is_due = TrainingState.evaluation_file, TrainingState.evaluation_is_due


@pytest.fixture
def run(tmp_path):
    plugins = lifecycle(recorder := Recorder(), registry=installed())
    options = SimpleNamespace(mcq_benchmarks=(), num_samples=0, dataset_loss_eval_iters=1, text_modeling_eval=True)
    trainer = SimpleNamespace(eval_interval=4, eval=options, batch_size=1)
    data = SimpleNamespace(train=None, val=None, unigram_loss=None)
    state = {"step": 4, "finished": False, "interrupted": False, "held_out": {}, "data": data, "loss": None}
    folder = SimpleNamespace(root=tmp_path, evals=tmp_path / "evals")
    spec = SimpleNamespace(model=SimpleNamespace(context_window=4), general=SimpleNamespace(seed=1), trainer=trainer)
    spec.registry = installed()
    program = SimpleNamespace(
        spec=spec, model=None, tokenizer=SimpleNamespace(eot_id=0), device=None, precision="fp32", processes=Processes()
    )
    run = State(**state, trainer=trainer, folder=folder, program=program, processes=Processes())
    run.agree = lambda: None
    run.hooks, run.recorder = plugins.hook, recorder
    return run


@pytest.fixture
def measured(monkeypatch):
    def measure(result):
        def evaluate_subject(*of, **how):
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


def spoil(folder):
    """Put a file where the folder of evaluations was, so that nothing can be written there; return the way back."""
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("")

    def mend():
        folder.unlink()
        aside.rename(folder)

    return mend


class SpoilDisk:
    """Lets no evaluation be stored from one step to another."""

    def __init__(self, full_at, free_at):
        self.full_at, self.free_at = full_at, free_at

    @hook(tryfirst=True)
    def step_ends(self, run):
        if run.step == self.full_at:
            self.mend = spoil(run.folder.evals)
        if run.step == self.free_at:
            self.mend()


def with_plugin(monkeypatch, plugin):
    plain = setup.lifecycle
    monkeypatch.setattr(setup, "lifecycle", lambda *plugins, **how: plain(plugin, *plugins, **how))


def test_what_a_full_disk_refuses_is_stored_later_and_ends_no_run(tiny_spec, monkeypatch, caplog):
    with_plugin(monkeypatch, SpoilDisk(3, 6))
    run = train(tiny_spec())
    stored = [json.loads((run.places.evals / f"step-{step}.json").read_text()) for step in (4, 8)]
    held_out = [line["loss"] for line in run.metrics if line["split"] == "val"]
    assert [one["dataset_loss"]["loss"] for one in stored] == held_out
    told = [record.message for record in caplog.records if "step-4.json" in record.message]
    assert len(told) == 1
    assert told[0].endswith("it is kept in memory and tried again, and the run goes on")


def test_what_is_refused_to_the_end_is_told_after_the_last_checkpoint(tiny_spec, monkeypatch, tmp_path):
    with_plugin(monkeypatch, SpoilDisk(3, 99))
    with pytest.raises(WorkError, match=r"cannot write `.*step-4[.a-z]*json`: .*; it was so to the end of the run"):
        train(tiny_spec())
    (folder,) = (tmp_path / "out").iterdir()
    assert (folder / "checkpoints" / "latest").read_text() == "step-8\n"


def test_a_run_evaluates_in_the_number_format_of_its_training(tiny_spec):
    whole, half = (train(tiny_spec(f"trainer.precision={precision}")) for precision in ("fp32", "bf16"))
    losses = [run.metrics[-1]["loss"] for run in (whole, half)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


BENCHMARKS = "trainer.eval.mcq_benchmarks=[stlm_eval_arc_easy, stlm_eval_winogrande]"


def losses(run):
    return [(line["step"], line["loss"], line["grad_norm"]) for line in run.metrics if line["split"] == "train"]


def test_a_run_that_is_evaluated_has_bit_for_bit_the_losses_of_one_that_is_not(tiny_spec):
    """With dropout, whose random numbers the evaluation must not draw, and gradients, which it must not touch."""
    dropout = ("model.ffn.ffn_dropout=0.2", "trainer.gradient_accumulation_steps=2")
    often = (
        BENCHMARKS,
        "trainer.eval.num_samples=4",
        "trainer.eval.text_modeling_eval=false",
        "trainer.eval_interval=3",
    )
    evaluated = train(tiny_spec(*dropout, *often))
    plain = train(tiny_spec(*dropout, "trainer.eval_interval=100"))
    assert losses(evaluated) == losses(plain)
    theirs = dict(plain.model.named_parameters())
    assert all(torch.equal(p, theirs[name]) for name, p in evaluated.model.named_parameters())


def test_scores_and_rows_are_stored_at_each_evaluation(tiny_spec):
    run = train(tiny_spec(BENCHMARKS, "trainer.eval.num_samples=12"))
    for step in (4, 8):
        stored = json.loads((run.places.evals / f"step-{step}.json").read_text())
        rows = [json.loads(line) for line in (run.places.evals / f"step-{step}.rows.jsonl").read_text().splitlines()]
        assert list(stored["benchmarks"]) == ["stlm_eval_arc_easy", "stlm_eval_winogrande"]
        for name, scores in stored["benchmarks"].items():
            own = [row for row in rows if row["benchmark"] == name]
            assert len(own) == scores["num_samples"] == 12
            right = [row["log_likelihoods"].index(max(row["log_likelihoods"])) == row["gold"] for row in own]
            assert scores["acc"] == pytest.approx(sum(right) / 12)
            assert all({"row", "context", "choices"} <= set(row) for row in own)
    line = next(line for line in run.metrics if line["split"] == "val")
    assert {"acc", "stderr", "chance", "at_chance"} <= {
        path.split("/")[1] for path in line if path.startswith("stlm_eval_arc_easy/")
    }


def test_a_benchmark_that_cannot_be_had_is_told_once_before_the_first_step_and_marked(
    tiny_spec, monkeypatch, caplog, tmp_path
):
    """The hub is an address at which nobody answers; the run goes on, and the shipped benchmark is scored."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    names = "trainer.eval.mcq_benchmarks=[copa, stlm_eval_arc_easy, piqa]"
    began = time.monotonic()
    run = train(tiny_spec(names, "trainer.eval.num_samples=4"))
    assert time.monotonic() - began < 60
    told = [record for record in caplog.records if "copa" in record.message]
    assert len(told) == 1
    why = "http://127.0.0.1:9 cannot be reached"
    assert told[0].message.startswith(f"the run goes on without benchmarks `copa`, `piqa`: {why}")
    for step in (4, 8):
        stored = json.loads((run.places.evals / f"step-{step}.json").read_text())
        assert list(stored["absent"]) == ["copa", "piqa"]
        assert list(stored["benchmarks"]) == ["stlm_eval_arc_easy"]


def test_a_benchmark_of_a_plugin_that_fails_is_told_before_the_first_step_and_the_run_goes_on(
    tiny_spec, monkeypatch, caplog
):
    def broken(self, num_samples, seed):
        raise ValueError("no rows today")

    monkeypatch.setattr(SimpleGaps, "items", broken)
    run = train(tiny_spec(BENCHMARKS, "trainer.eval.num_samples=4"))
    told = [record.message for record in caplog.records if "winogrande" in record.message]
    why = "stlm failed to give its rows: ValueError: no rows today"
    assert told == [f"the run goes on without benchmark `stlm_eval_winogrande`: {why}"]
    stored = json.loads((run.places.evals / "step-8.json").read_text())
    assert stored["absent"] == {"stlm_eval_winogrande": why}
    assert list(stored["benchmarks"]) == ["stlm_eval_arc_easy"]


class Diverges:
    """Spoils the weights for the first evaluation, and gives them back."""

    @hook(tryfirst=True)
    def evaluation_starts(self, run):
        self.before = [parameter.detach().clone() for parameter in run.model.parameters()]
        if run.step == 4:
            with torch.no_grad():
                next(run.model.parameters()).fill_(float("nan"))

    @hook
    def evaluation_ends(self, run):
        with torch.no_grad():
            for parameter, before in zip(run.model.parameters(), self.before, strict=True):
                parameter.copy_(before)


def read_strictly(text):
    """Read JSON, which has no word for what is not a number."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_of_a_run_that_has_diverged_no_score_is_stored_and_the_run_goes_on(tiny_spec, monkeypatch, caplog):
    """Every answer would be the first choice, and that is the right one of a share of the rows."""
    with_plugin(monkeypatch, Diverges())
    run = train(tiny_spec(BENCHMARKS, "trainer.eval.num_samples=4", "trainer.eval.text_modeling_eval=true"))
    spoiled, whole = (read_strictly((run.places.evals / f"step-{step}.json").read_text()) for step in (4, 8))
    parts = ["dataset_loss", "text_modeling", "stlm_eval_arc_easy", "stlm_eval_winogrande"]
    why = "the model computes what is not a number (NaN), of which no score can be made"
    assert spoiled == {"run": str(run.folder), "step": 4, "absent": dict.fromkeys(parts, why)}
    assert not (run.places.evals / "step-4.rows.jsonl").exists()
    assert set(parts) <= {*whole, *whole["benchmarks"]}
    assert "absent" not in whole
    assert not (run.places.evals / "step-4.samples.json").exists()
    told = [record.message for record in caplog.records if "NaN" in record.message]
    assert told[0] == f"the evaluation of step 4 lacks {', '.join(f'`{part}`' for part in parts)}: {why}"
    assert [text.partition(":")[0] for text in told[1:]] == ["there are no samples of text of step 4"]
    lines = [read_strictly(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "val"] == [8]


def test_what_is_no_number_to_a_hook_is_null(run, measured):
    measured({"dataset_loss": {"loss": 2.0}, "others": {"a": [float("inf"), 1.0], "b": float("nan")}})
    Evaluation().step_ends(run)
    stored = read_strictly((run.folder.evals / "step-4.json").read_text())
    assert stored["others"] == {"a": [None, 1.0], "b": None}


def test_what_others_measured_of_a_step_stays(run, measured):
    file = run.folder.evals / "step-4.json"
    keep_results(file, {"benchmarks": {"a": {"acc": 0.5, "num_samples": 9}}, "dataset_loss": {"loss": 3.0}})
    measured({"dataset_loss": {"loss": 2.0}})
    Evaluation().step_ends(run)
    stored = json.loads(file.read_text())
    assert (stored["benchmarks"]["a"]["acc"], stored["dataset_loss"]) == (0.5, {"loss": 2.0})
    file.write_text("{half")
    Evaluation().step_ends(run)
    assert json.loads(file.read_text())["dataset_loss"] == {"loss": 2.0}
