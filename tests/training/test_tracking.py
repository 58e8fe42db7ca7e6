"""The lines of metrics.jsonl, and what a person sees."""

import json

import pytest

from stlm.experiments.run import train
from stlm.training.folder import RunFolder
from stlm.training.progress import describe, is_live
from stlm.training.tracking import flat_numbers, forget_after


@pytest.fixture
def run(tiny_spec):
    return train(tiny_spec("trainer.log_interval=3"))


def test_a_train_line_has_what_was_promised(run):
    first = run.metrics[0]
    assert list(first) == ["step", "split", "loss", "lr", "grad_norm", "tokens", "tokens_per_second", "mfu"]
    assert (first["step"], first["tokens"]) == (3, 3 * 2 * 2 * 16)
    assert first["tokens_per_second"] > 0
    assert 0 < first["mfu"] < 1


def test_lines_come_at_the_interval_and_at_the_end_and_with_each_evaluation(run):
    lines = [(r["step"], r["split"]) for r in run.metrics]
    assert lines == [(3, "train"), (4, "val"), (6, "train"), (8, "train"), (8, "val")]


def test_the_held_out_loss_stands_beside_that_of_the_unigram_model(run):
    line = run.metrics[-1]
    assert {"loss", "perplexity", "bits_per_byte", "unigram_loss", "text_modeling/byte_accuracy"} <= set(line)


def test_progress_is_plain_lines_where_there_is_no_terminal(tiny_spec, capsys):
    train(tiny_spec("trainer.max_iters=2"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "step 1/2  loss " in err
    assert "step 2/2  held out:  loss " in err
    assert "\x1b" not in err


def test_a_terminal_is_live_unless_a_continuous_integration_runs_it(monkeypatch):
    terminal = type("Terminal", (), {"isatty": lambda self: True})()
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert is_live(terminal)
    monkeypatch.setenv("CI", "true")
    assert not is_live(terminal)


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


def test_a_line_in_words():
    record = {"step": 3, "split": "train", "loss": 1.5, "lr": 1e-3, "grad_norm": 0.25, "tokens_per_second": 1234.5}
    assert describe(record, 9) == "step 3/9  loss 1.5000  lr 1.00e-03  norm 0.25  1,234 tokens/s"
