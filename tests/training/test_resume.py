"""A run that was stopped and went on is the run that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from stlm.experiments.run import load_run
from stlm.experiments.train import train
from stlm.registry import hook
from stlm.spec import UsageError
from stlm.training.checkpoint import checkpoint_folders
from stlm.training.saving import Checkpoints

TIMES = ("tokens_per_second", "mfu")


def numbers(run):
    return [{k: v for k, v in record.items() if k not in TIMES} for record in run.metrics]


class StopAfter:
    """A plugin that stops a run, or breaks it, after a step."""

    def __init__(self, step, error=None):
        self.step, self.error = step, error

    @hook
    def step_ends(self, run):
        if run.step == self.step:
            run.stop = run.interrupted = True
            if self.error is not None:
                raise self.error


@pytest.fixture
def stopped(monkeypatch):
    """Train a spec until a plugin stops it."""
    from stlm.training import setup

    def run_until(spec, step, error=None):
        plain = setup.lifecycle
        with monkeypatch.context() as patched:
            patched.setattr(setup, "lifecycle", lambda *plugins: plain(*plugins, StopAfter(step, error)))
            return train(spec)

    return run_until


@pytest.fixture
def whole(tiny_spec, tmp_path):
    """The run that nobody stopped, in a folder of its own."""
    return train(tiny_spec(f"general.paths.output_dir={tmp_path / 'whole'}"))


def same_weights(left, right):
    return all(torch.equal(a, b) for a, b in zip(left.model.parameters(), right.model.parameters(), strict=True))


def test_an_interrupted_run_goes_on_bit_for_bit(tiny_spec, whole, stopped):
    first = stopped(tiny_spec(), 5)
    assert first.interrupted
    assert first.step == 5
    second = train(tiny_spec(), resume=True)
    assert second.folder == first.folder
    assert numbers(second) == numbers(whole)
    assert same_weights(second, whole)


def test_a_run_that_broke_goes_on_from_its_last_checkpoint_with_each_step_once(tiny_spec, whole, stopped):
    with pytest.raises(RuntimeError, match="power cut"):
        stopped(tiny_spec(), 5, RuntimeError("power cut"))
    second = train(tiny_spec(), resume=True)  # from step 3
    assert numbers(second) == numbers(whole)
    assert same_weights(second, whole)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "removed", "no state"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tiny_spec, whole, stopped, damage, caplog):
    first = stopped(tiny_spec(), 5)
    latest = checkpoint_folders(first.places.checkpoints)[0]
    victim = latest / ("state.json" if damage == "no state" else "model.safetensors")
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    damages = {"truncated": content[: len(content) // 2], "flipped": content, "emptied": b""}
    victim.write_bytes(damages[damage]) if damage in damages else victim.unlink()
    second = train(tiny_spec(), resume=True)
    assert "step-5" in caplog.text
    assert numbers(second) == numbers(whole)


def test_a_half_written_checkpoint_is_cleared_away(tiny_spec, whole, stopped):
    first = stopped(tiny_spec(), 5)
    half = first.places.checkpoints / ".step-6.abc.tmp"
    shutil.copytree(first.checkpoint.folder, half)
    second = train(tiny_spec(), resume=True)
    assert numbers(second) == numbers(whole)
    assert not half.exists()


def test_a_run_without_a_whole_checkpoint_starts_anew_in_its_folder(tiny_spec, whole, stopped):
    first = stopped(tiny_spec(), 2)
    shutil.rmtree(first.checkpoint.folder)
    second = train(tiny_spec(), resume=True)
    assert second.folder == first.folder
    assert numbers(second) == numbers(whole)


def test_resuming_a_finished_run_changes_nothing(tiny_spec, whole, tmp_path):
    before = numbers(whole)
    again = train(tiny_spec(f"general.paths.output_dir={tmp_path / 'whole'}"), resume=True)
    assert numbers(again) == before
    assert again.step == 8


def test_without_resume_a_new_run_is_made(tiny_spec, stopped):
    first = stopped(tiny_spec(), 2)
    second = stopped(tiny_spec(), 2)
    assert second.folder.name == f"{first.folder.name}-2"


def test_where_there_is_no_run_resuming_starts_one(tiny_spec):
    assert train(tiny_spec(), resume=True).step == 8


def test_a_run_of_another_spec_is_refused_unless_the_key_is_allowed(tiny_spec, stopped):
    first = stopped(tiny_spec(), 3)
    changed = tiny_spec("trainer.optimizer.lr=0.02")
    with pytest.raises(UsageError, match=r"`trainer.optimizer.lr` was 0.01 and is 0.02.*--allow-changed"):
        train(changed, resume=True)
    second = train(changed, resume=True, allow_changed=["trainer.optimizer.lr"])
    assert second.folder == first.folder
    assert second.metrics[-2]["step"] == 8
    assert load_run(second.folder).spec == changed


def test_what_is_worked_out_from_an_allowed_key_follows_it(tiny_spec, stopped):
    stopped(tiny_spec(), 3)
    longer = tiny_spec("trainer.max_iters=10")
    with pytest.raises(UsageError, match=r"`trainer.max_iters` was 8 and is 10. To go on") as caught:
        train(longer, resume=True)
    assert "lr_decay_iters" not in str(caught.value)
    assert train(longer, resume=True, allow_changed=["trainer.max_iters"]).step == 10


def test_a_run_whose_data_changed_is_refused(tiny_spec, stopped):
    first = stopped(tiny_spec(), 3)
    lock = json.loads(first.places.lock.read_text())
    lock["fingerprints"]["data"] = "sha256:other"
    first.places.lock.write_text(json.dumps(lock))
    with pytest.raises(UsageError, match=r"the data of .* changed"):
        train(tiny_spec(), resume=True)


def test_a_run_does_not_go_on_over_a_file_that_was_edited(tiny_spec, tiny_text, tmp_path, stopped):
    file = tmp_path / "mine.jsonl"
    file.write_text(tiny_text.read_text())
    spec = tiny_spec(f"trainer.dataset={file}")
    stopped(spec, 3)
    file.write_text(tiny_text.read_text() + '{"text": "One more."}\n')
    with pytest.raises(UsageError, match=r"the data of .* changed"):
        train(spec, resume=True)


def test_two_processes_do_not_train_in_one_folder(tiny_spec, stopped):
    first = stopped(tiny_spec(), 3)
    with first.places.held(), pytest.raises(UsageError, match="another process"):
        train(tiny_spec(), resume=True)


def test_an_interruption_after_the_last_hook_is_still_saved(by_hand, monkeypatch):
    saved = []
    plugin = Checkpoints()
    monkeypatch.setattr(plugin, "save", lambda run: saved.append(run.step))
    plugin.saved_step = 4
    run = type("Run", (), {"failed": False, "step": 5})()
    plugin.training_ends(run)
    run.failed = True
    plugin.training_ends(run)
    assert saved == [5]


SCRIPT = """
import sys
from stlm.experiments.train import train
from stlm.registry.loading import load_spec
run = train(load_spec(sys.argv[1]))
print("interrupted" if run.interrupted else "done", run.step)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_real_process_after_a_checkpoint(tiny_spec, tmp_path, number):
    spec = tiny_spec("trainer.max_iters=100000")
    file = tmp_path / "spec.yaml"
    file.write_text(spec.dump())
    command = [sys.executable, "-c", SCRIPT, str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob("*/checkpoints/latest")) and time.monotonic() < deadline:
        time.sleep(0.05)
        assert process.poll() is None, process.stderr.read()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    word, step = out.split()
    assert word == "interrupted"
    (folder,) = (tmp_path / "out").iterdir()
    assert load_run(folder).step == int(step)
    assert json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"] <= int(step)


def test_a_killed_process_is_gone_on_with_bit_for_bit(tiny_spec, tmp_path):
    """Killed at a random moment, as by a power cut: no handler runs, no file is closed."""
    changed = ("trainer.max_iters=3000", "trainer.checkpoint_interval=20", "trainer.eval_interval=10000")
    file = tmp_path / "spec.yaml"
    file.write_text(tiny_spec(*changed).dump())
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(file)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if any(len(path.read_text().splitlines()) > 45 for path in (tmp_path / "out").glob("*/metrics.jsonl")):
            break
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    reached = len(next((tmp_path / "out").glob("*/metrics.jsonl")).read_text().splitlines())
    changed += (f"trainer.max_iters={reached + 5}", "trainer.lr_decay_iters=3000")
    resumed = train(tiny_spec(*changed), resume=True, allow_changed=["trainer.max_iters"])
    in_peace = train(tiny_spec(*changed, f"general.paths.output_dir={tmp_path / 'peace'}"))
    assert numbers(resumed) == numbers(in_peace)
    assert same_weights(resumed, in_peace)
