"""The lines of metrics.jsonl."""

import json
import os

import pytest
import torch

from stlm.compiler.processes import Processes
from stlm.data.serving.batch import Batch
from stlm.experiments.train import train
from stlm.registry import hook
from stlm.spec import WorkError
from stlm.training import setup, tracking
from stlm.training.folder import RunFolder
from stlm.training.tracking import flat_numbers, forget_after

BATCH = Batch(torch.zeros(2, 16, dtype=torch.int64), torch.zeros(2, 16, dtype=torch.int64))


@pytest.fixture
def run(tiny_spec):
    return train(tiny_spec("trainer.log_interval=3"))


def test_a_train_line_has_what_was_promised(run):
    first = run.metrics[0]
    assert list(first) == ["step", "split", "loss", "lr", "grad_norm", "tokens", "tokens_per_second", "mfu"]
    assert (first["step"], first["tokens"]) == (3, 3 * 2 * 2 * 16)
    assert first["tokens_per_second"] > 0
    assert first["mfu"] > 0


def one_step(run, *, processes=1, seen=0):
    """Log one step of two seconds, and return its line."""
    run.folder.root.mkdir()
    run.program.processes = Processes(count=processes)
    log = tracking.MetricsLog()
    log.training_starts(run)
    run.step, run.tokens_seen = 1, seen
    log.step_ends(run, {"seconds": 2.0})
    list(log.training_ends(run))
    (line,) = run.folder.read_metrics()
    return line


def test_utilization_counts_the_operations_of_training(by_hand, monkeypatch):
    run = by_hand([BATCH])
    rate = 100 * run.program.report.flops_per_token["forward"]
    monkeypatch.setattr(tracking, "known_rate", lambda device, precision: rate)
    line = one_step(run, seen=2 * 16)
    assert (line["tokens_per_second"], line["mfu"]) == (16.0, 0.48)  # 16 tokens of 3 forward passes, of 100


def test_tokens_that_do_not_count_in_the_loss_cost_as_much(by_hand, monkeypatch):
    run = by_hand([BATCH])
    monkeypatch.setattr(tracking, "known_rate", lambda device, precision: 1e12)
    assert one_step(run, seen=5)["tokens_per_second"] == 16.0


def test_the_head_is_counted_for_the_tokens_that_the_loss_asks_for(by_hand, monkeypatch):
    run = by_hand([BATCH])
    head, whole = 2 * run.model.head.weight.numel(), run.program.report.flops_per_token["forward"]
    monkeypatch.setattr(tracking, "known_rate", lambda device, precision: 100 * whole)
    line = one_step(run, seen=8)
    assert line["mfu"] == pytest.approx(3 * (32 * whole - 24 * head) / 2 / (100 * whole), abs=1e-4)


def test_the_tokens_of_all_processes_are_held_against_the_rate_of_all(by_hand, monkeypatch):
    run = by_hand([BATCH])
    rate = 100 * run.program.report.flops_per_token["forward"]
    monkeypatch.setattr(tracking, "known_rate", lambda device, precision: rate)
    line = one_step(run, processes=2, seen=2 * 16)
    assert (line["tokens_per_second"], line["mfu"]) == (16.0, 0.24)


def test_lines_come_at_the_interval_and_at_the_end_and_with_each_evaluation(run):
    lines = [(r["step"], r["split"]) for r in run.metrics]
    assert lines == [(3, "train"), (4, "val"), (6, "train"), (8, "train"), (8, "val")]


def test_the_held_out_loss_stands_beside_that_of_the_unigram_model(tiny_spec):
    line = train(tiny_spec("trainer.eval.text_modeling_eval=true")).metrics[-1]
    assert {"loss", "perplexity", "bits_per_byte", "unigram_loss", "text_modeling/held_out/byte_accuracy"} <= set(line)


def test_lines_after_a_step_and_a_torn_last_line_are_forgotten(tmp_path, tiny_spec, caplog):
    folder = RunFolder(tmp_path, tiny_spec().general.paths)
    lines = [json.dumps({"step": step, "loss": 0.1 + step}) for step in (1, 2, 3)]
    folder.metrics.write_text("\n".join(lines) + '\n{"step": 4, "lo')
    forget_after(folder, 2)
    assert folder.metrics.read_text() == "".join(line + "\n" for line in lines[:2])


def test_the_held_out_line_of_an_evaluation_that_is_made_again_is_forgotten(tmp_path, tiny_spec):
    folder = RunFolder(tmp_path, tiny_spec().general.paths)
    lines = [json.dumps({"step": step, "split": split}) + "\n" for step in (1, 2, 3) for split in ("train", "val")]
    folder.metrics.write_text("".join(lines))
    forget_after(folder, 2, held_out=True)
    assert folder.metrics.read_text() == "".join(lines[:3])


class FillDisk:
    """Makes the disk full from one step to another: the file of lines becomes a device that takes nothing."""

    def __init__(self, full_at, free_at):
        self.full_at, self.free_at = full_at, free_at
        self.ended = 0

    @hook(tryfirst=True)
    def step_ends(self, run):
        (log,) = (plugin for plugin in run.plugins.get_plugins() if isinstance(plugin, tracking.MetricsLog))
        if run.step == self.full_at:
            self.kept = os.dup(log.file.fileno())
            device = os.open("/dev/full", os.O_WRONLY)
            os.dup2(device, log.file.fileno())
            os.close(device)
        if run.step == self.free_at:
            os.dup2(self.kept, log.file.fileno())

    @hook(trylast=True)
    def training_ends(self):
        self.ended += 1


@pytest.fixture
def on_a_full_disk(tiny_spec, monkeypatch):
    """Train on a disk that is full from step 3 to another."""
    disks = []

    def run(free_at):
        disk, plain = FillDisk(3, free_at), setup.lifecycle
        disks.append(disk)
        monkeypatch.setattr(setup, "lifecycle", lambda *plugins, **how: plain(disk, *plugins, **how))
        return train(tiny_spec())

    run.disks = disks
    yield run
    for disk in disks:
        os.close(disk.kept)


def test_a_full_disk_ends_no_run_and_no_line_is_lost(on_a_full_disk, caplog):
    run = on_a_full_disk(7)
    assert [(line["step"], line["split"]) for line in run.metrics] == [
        *((step, "train") for step in range(1, 5)), (4, "val"), *((step, "train") for step in range(5, 9)), (8, "val")
    ]  # fmt: skip
    assert caplog.text.count("metrics.jsonl: No space left on device") == 1


def test_lines_that_are_refused_to_the_end_are_told_after_all_else_is_done(on_a_full_disk, tmp_path):
    with pytest.raises(WorkError, match=r"metrics.jsonl: No space left on device; it was so to the end of the run"):
        on_a_full_disk(99)
    (folder,) = (tmp_path / "out").iterdir()
    assert (folder / "checkpoints" / "latest").read_text() == "step-8\n"
    assert (folder / "evals" / "step-8.json").exists()
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    assert [disk.ended for disk in on_a_full_disk.disks] == [1]


def test_numbers_of_an_evaluation_lie_side_by_side():
    results = {
        "dataset_loss": {"loss": 2.0},
        "text_modeling": {
            "bits_per_byte": 1.0,
            "byte_accuracy": 0.3,
            "bytes": 9,
            "by_topic": {"code": {"bits_per_byte": 1.0}},
            "held_out": {"bits_per_byte": 1.5, "byte_accuracy": 0.2, "num_tokens": 7},
        },
        "benchmarks": {"b": {"acc": 0.5, "num_samples": 4, "truncated": 1, "by_group": {"g": {"acc": 0.5}}}},
    }
    assert flat_numbers(results) == {
        "loss": 2.0,
        "text_modeling/bits_per_byte": 1.0,
        "text_modeling/byte_accuracy": 0.3,
        "text_modeling/held_out/bits_per_byte": 1.5,
        "text_modeling/held_out/byte_accuracy": 0.2,
        "b/acc": 0.5,
    }


def test_lines_that_cannot_be_read_are_kept_beside_the_new_file(tmp_path, tiny_spec, caplog):
    folder = RunFolder(tmp_path, tiny_spec().general.paths)
    before = b'{"step": 1, "split": "train", "loss": 2.0}\n\xff\xfe\n'
    folder.metrics.write_bytes(before)
    forget_after(folder, 5)
    assert folder.metrics.read_text() == '{"step": 1, "split": "train", "loss": 2.0}\n'
    assert (tmp_path / "metrics.jsonl.1").read_bytes() == before
