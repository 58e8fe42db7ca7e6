"""The lines of metrics.jsonl."""

import json

import pytest

from stlm.experiments.train import train
from stlm.training import tracking
from stlm.training.folder import RunFolder
from stlm.training.tracking import flat_numbers, forget_after


@pytest.fixture
def run(tiny_spec):
    return train(tiny_spec("trainer.log_interval=3"))


def test_a_train_line_has_what_was_promised(run):
    first = run.metrics[0]
    assert list(first) == ["step", "split", "loss", "lr", "grad_norm", "tokens", "tokens_per_second", "mfu"]
    assert (first["step"], first["tokens"]) == (3, 3 * 2 * 2 * 16)
    assert first["tokens_per_second"] > 0
    assert first["mfu"] > 0


def test_utilization_counts_the_operations_of_training(by_hand, monkeypatch):
    run = by_hand([None])
    run.folder.root.mkdir()
    rate = 100 * run.program.report.flops_per_token["forward"]
    monkeypatch.setattr(tracking, "matmul_rate", lambda device, precision: rate)
    log = tracking.MetricsLog()
    log.training_starts(run)
    run.step, run.tokens_seen = 1, 50
    log.step_ends(run, {"seconds": 2.0})
    log.training_ends(run)
    (line,) = run.folder.read_metrics()
    assert (line["tokens_per_second"], line["mfu"]) == (25.0, 0.75)  # 25 tokens of 3 forward passes, of 100


def test_lines_come_at_the_interval_and_at_the_end_and_with_each_evaluation(run):
    lines = [(r["step"], r["split"]) for r in run.metrics]
    assert lines == [(3, "train"), (4, "val"), (6, "train"), (8, "train"), (8, "val")]


def test_the_held_out_loss_stands_beside_that_of_the_unigram_model(run):
    line = run.metrics[-1]
    assert {"loss", "perplexity", "bits_per_byte", "unigram_loss", "text_modeling/byte_accuracy"} <= set(line)


def test_lines_after_a_step_and_a_torn_last_line_are_forgotten(tmp_path, tiny_spec, caplog):
    folder = RunFolder(tmp_path, tiny_spec().general.paths)
    lines = [json.dumps({"step": step, "loss": 0.1 + step}) for step in (1, 2, 3)]
    folder.metrics.write_text("\n".join(lines) + '\n{"step": 4, "lo')
    forget_after(folder, 2)
    assert folder.metrics.read_text() == "".join(line + "\n" for line in lines[:2])


def test_numbers_of_an_evaluation_lie_side_by_side():
    results = {
        "dataset_loss": {"loss": 2.0},
        "text_modeling": {"bits_per_byte": 1.0, "by_topic": {}},
        "benchmarks": {"b": {"acc": 0.5, "num_samples": 4}},
    }
    assert flat_numbers(results) == {"loss": 2.0, "text_modeling/bits_per_byte": 1.0, "b/acc": 0.5}


def test_lines_that_cannot_be_read_are_kept_beside_the_new_file(tmp_path, tiny_spec, caplog):
    folder = RunFolder(tmp_path, tiny_spec().general.paths)
    before = b'{"step": 1, "split": "train", "loss": 2.0}\n\xff\xfe\n'
    folder.metrics.write_bytes(before)
    forget_after(folder, 5)
    assert folder.metrics.read_text() == '{"step": 1, "split": "train", "loss": 2.0}\n'
    assert (tmp_path / "metrics.jsonl.1").read_bytes() == before
