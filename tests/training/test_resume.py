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

from stlm.evaluation.kept import keep_results
from stlm.experiments.run import load_run
from stlm.experiments.train import train
from stlm.registry import hook
from stlm.spec import UsageError
from stlm.training.checkpoint import checkpoint_folders

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
            run.stop = run.signalled = True
            if self.error is not None:
                raise self.error


@pytest.fixture
def stopped(monkeypatch):
    """Train a spec until a plugin stops it."""
    from stlm.training import setup

    def run_until(spec, step, error=None, **options):
        plain = setup.lifecycle
        with monkeypatch.context() as patched:
            patched.setattr(setup, "lifecycle", lambda *plugins, **how: plain(*plugins, StopAfter(step, error), **how))
            return train(spec, **options)

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


def test_a_latest_checkpoint_that_is_gone_is_named_with_the_one_that_is_used(tiny_spec, whole, stopped, caplog):
    first = stopped(tiny_spec(), 5)
    shutil.rmtree(first.checkpoint.folder)
    second = train(tiny_spec(), resume=True)
    assert f"{first.places.checkpoints / 'latest'} names step-5, which is not there; step-3 is used" in caplog.text
    assert numbers(second) == numbers(whole)


def test_a_half_written_checkpoint_is_cleared_away(tiny_spec, whole, stopped):
    first = stopped(tiny_spec(), 5)
    half = first.places.checkpoints / ".step-6.abc.tmp"
    shutil.copytree(first.checkpoint.folder, half)
    second = train(tiny_spec(), resume=True)
    assert numbers(second) == numbers(whole)
    assert not half.exists()


def test_a_run_that_broke_before_its_first_checkpoint_begins_anew_and_keeps_its_numbers(
    tiny_spec, whole, stopped, caplog
):
    with pytest.raises(RuntimeError, match="power cut"):
        stopped(tiny_spec(), 2, RuntimeError("power cut"))
    second = train(tiny_spec(), resume=True)
    assert numbers(second) == numbers(whole)
    (aside,) = second.folder.glob("metrics.jsonl.*")
    assert [json.loads(line)["step"] for line in aside.read_text().splitlines()] == [1]
    assert "begins anew; its numbers so far are kept in metrics.jsonl.1" in caplog.text


def lose(run):
    shutil.rmtree(run.places.checkpoints)


def damage(run):
    for file in run.places.checkpoints.glob("step-*/model.safetensors"):
        file.write_bytes(b"")


def damage_before_it_was_noted(run):
    """The process died after it wrote them, and before it said so in the lock."""
    damage(run)
    lock = json.loads(run.places.lock.read_text())
    run.places.lock.write_text(json.dumps({**lock, "saved": False}))


@pytest.mark.parametrize("harm", [lose, damage, damage_before_it_was_noted])
def test_a_run_whose_checkpoints_are_lost_is_refused_and_keeps_its_numbers(tiny_spec, stopped, harm):
    first = stopped(tiny_spec(), 5)
    before = first.places.metrics.read_bytes()
    harm(first)
    with pytest.raises(UsageError, match=r"none that can be used is in .*checkpoints; put them back"):
        train(tiny_spec(), resume=True)
    assert first.places.metrics.read_bytes() == before


def test_a_run_whose_checkpoints_are_looked_for_elsewhere_is_refused(tiny_spec, stopped, tmp_path):
    stopped(tiny_spec(), 5)
    with pytest.raises(UsageError, match=r"none that can be used is in .*elsewhere"):
        train(tiny_spec(f"general.paths.checkpoint_dir={tmp_path / 'elsewhere'}"), resume=True)


def test_a_checkpoint_of_another_run_is_passed_over(tiny_spec, whole, stopped, tmp_path, caplog):
    first = stopped(tiny_spec(), 5)
    other = train(tiny_spec("trainer.optimizer.lr=0.5", f"general.paths.output_dir={tmp_path / 'other'}"))
    shutil.copytree(other.checkpoint.folder, first.places.checkpoints / "step-8")
    second = train(tiny_spec(), resume=True)
    assert "is of another run" in caplog.text
    assert numbers(second) == numbers(whole)


def test_a_bad_line_of_numbers_is_left_out_of_a_run_that_goes_on(tiny_spec, whole, stopped):
    first = stopped(tiny_spec(), 5)
    with first.places.metrics.open("a") as file:
        file.write('{"step": "x"}\n')
    assert numbers(train(tiny_spec(), resume=True)) == numbers(whole)


@pytest.mark.parametrize("content", ["", "{", '{"digest": "x"}', '{"digest": "x", "fingerprints": {}, "sessions": []}'])
def test_a_damaged_lock_is_said_and_no_other_run_begun(tiny_spec, stopped, content):
    first = stopped(tiny_spec(), 3)
    first.places.lock.write_text(content)
    for resume in (True, first.folder):
        with pytest.raises(UsageError, match=r"lock.json` is damaged"):
            train(tiny_spec(), resume=resume)
    assert list(first.folder.parent.iterdir()) == [first.folder]


def test_the_latest_run_is_told_by_its_number_whatever_the_clock_said(tiny_spec, stopped):
    first, second = (stopped(tiny_spec(), 2) for _ in range(2))
    lock = json.loads(first.places.lock.read_text())
    lock["sessions"][0]["started"] = "2999-01-01T00:00:00+00:00"
    first.places.lock.write_text(json.dumps(lock))
    assert train(tiny_spec(), resume=True).folder == second.folder


def test_resuming_a_finished_run_changes_nothing_and_says_so(tiny_spec, whole, tmp_path, capsys):
    before = numbers(whole)
    again = train(tiny_spec(f"general.paths.output_dir={tmp_path / 'whole'}"), resume=True)
    assert numbers(again) == before
    assert again.step == 8
    said = capsys.readouterr().err
    assert "this run is finished: 8 of 8 steps done; a larger `trainer.max_iters` goes on" in said
    assert "steps 9 to 8" not in said


def record(run):
    return {p.name: p.read_bytes() for p in (run.places.spec, run.places.source, run.places.lock, run.places.metrics)}


def test_a_finished_run_is_what_it_was_whatever_is_said_to_have_changed(tiny_spec, tmp_path, capsys):
    run = train(tiny_spec())
    before = record(run)
    changed = tiny_spec("trainer.optimizer.lr=0.02")
    train(changed, resume=run.folder, allow_changed=["trainer.optimizer.lr"])
    assert record(run) == before
    assert "this run is finished: 8 of 8 steps done" in capsys.readouterr().err


def test_a_run_that_has_done_more_steps_than_it_is_told_is_refused_and_keeps_its_record(tiny_spec):
    run = train(tiny_spec())
    before = record(run)
    with pytest.raises(UsageError, match=r"has done 8 steps, and `trainer.max_iters` is 5"):
        train(tiny_spec("trainer.max_iters=5"), resume=run.folder, allow_changed=["trainer.max_iters"])
    assert record(run) == before


def test_a_run_that_breaks_before_its_first_further_step_keeps_its_record(tiny_spec, stopped, monkeypatch):
    from stlm.training.progress import Bar

    def fail(*_):
        raise RuntimeError("no network")

    first = stopped(tiny_spec(), 3)
    before = record(first)
    monkeypatch.setattr(Bar, "say", fail)
    with pytest.raises(RuntimeError, match="no network"):
        train(tiny_spec("trainer.optimizer.lr=0.02"), resume=True, allow_changed=["trainer.optimizer.lr"])
    assert record(first) == before


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


def test_a_run_that_broke_under_an_allowed_key_goes_on_again_from_a_checkpoint_before_it(tiny_spec, stopped):
    first = stopped(tiny_spec(), 3)
    changed = tiny_spec("trainer.optimizer.lr=0.02", "general.logging.wandb_run_name=renamed")
    allowed = {"resume": first.folder, "allow_changed": ["trainer.optimizer.lr", "general.logging.wandb_run_name"]}
    with pytest.raises(RuntimeError, match="power cut"):
        stopped(changed, 4, RuntimeError("power cut"), **allowed)
    third = train(changed, resume=True)
    assert third.folder == first.folder
    assert [r["step"] for r in third.metrics if r["split"] == "train"] == list(range(1, 9))
    lock = json.loads(third.places.lock.read_text())
    assert lock["digest"] == changed.digest
    assert [one["digest"] for one in lock["sessions"]] == [tiny_spec().digest, changed.digest, changed.digest]
    assert lock["run_name"] == first.folder.name  # its number among its namesakes is behind that


def test_where_a_run_began_is_told_where_that_is_elsewhere(tiny_spec, stopped, tmp_path, monkeypatch):
    began_in = os.getcwd()
    first = stopped(tiny_spec(), 3)
    lock = json.loads(first.places.lock.read_text())
    lock["fingerprints"]["data"] = "sha256:other"
    first.places.lock.write_text(json.dumps(lock))
    for folder, said in ((began_in, ""), (tmp_path, f" (in the directory `{began_in}`)")):
        monkeypatch.chdir(folder)
        with pytest.raises(UsageError) as caught:
            train(tiny_spec(), resume=True)
        assert f"changed since the run in {first.folder} began{said}; put the text back" in str(caught.value)


def test_a_run_whose_data_changed_is_refused(tiny_spec, stopped):
    first = stopped(tiny_spec(), 3)
    lock = json.loads(first.places.lock.read_text())
    lock["fingerprints"]["data"] = "sha256:other"
    first.places.lock.write_text(json.dumps(lock))
    with pytest.raises(UsageError, match=r"the data set `.*` changed since .* put the text back"):
        train(tiny_spec(), resume=True)


def test_a_run_does_not_go_on_over_a_file_that_was_edited(tiny_spec, tiny_text, tmp_path, stopped, monkeypatch):
    file = tmp_path / "mine.jsonl"
    file.write_text(tiny_text.read_text())
    spec = tiny_spec(f"trainer.dataset={file}", f"model.tokenizer_dataset_name={file}")
    stopped(spec, 3)
    file.write_text(tiny_text.read_text() + '{"text": "One more."}\n')
    monkeypatch.setattr("stlm.data.tokenizers.bpe.train", lambda *_, **__: pytest.fail("a tokenizer was trained"))
    monkeypatch.setattr("stlm.experiments.train.prepare", lambda *_: pytest.fail("tokens were prepared"))
    with pytest.raises(UsageError, match=r"the data set `.*` changed since .* put the text back"):
        train(spec, resume=True)


def test_the_last_line_is_of_the_step_at_which_a_run_stops(tiny_spec, stopped):
    run = stopped(tiny_spec("trainer.log_interval=3"), 5)
    assert [r["step"] for r in run.metrics if r["split"] == "train"] == [3, 5]


def test_two_processes_do_not_train_in_one_folder(tiny_spec, stopped):
    first = stopped(tiny_spec(), 3)
    with first.places.held(), pytest.raises(UsageError, match="another process"):
        train(tiny_spec(), resume=True)


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


class InterruptEvaluation:
    """A signal that comes while a run is evaluated at a step."""

    def __init__(self, step):
        self.step = step

    @hook
    def evaluation_starts(self, run):
        if run.step == self.step:
            run.stop = run.signalled = True


@pytest.mark.parametrize("step", [4, 8])
def test_an_evaluation_that_was_interrupted_is_made_up_for(tiny_spec, tmp_path, monkeypatch, step):
    """At the interval and at the end: afterwards the run is the one that nobody stopped, and so is its best step."""
    from stlm.training import setup

    evenly = ("trainer.checkpoint_interval=4", "trainer.keep_checkpoints=2")
    whole = train(tiny_spec(*evenly, f"general.paths.output_dir={tmp_path / 'whole'}"))
    plain = setup.lifecycle
    with monkeypatch.context() as patched:
        patched.setattr(setup, "lifecycle", lambda *plugins, **how: plain(InterruptEvaluation(step), *plugins, **how))
        first = train(tiny_spec(*evenly))
    assert (first.step, first.interrupted) == (step, True)
    assert not (first.places.evals / f"step-{step}.json").exists()
    second = train(tiny_spec(*evenly), resume=True)
    assert second.folder == first.folder
    assert numbers(second) == numbers(whole)
    names = (name.format(n) for n in (4, 8) for name in ("evals/step-{}.json", "checkpoints/step-{}/state.json"))
    for name in names:
        ours, theirs = (json.loads((run.folder / name).read_text()) for run in (second, whole))
        told = [one.get("held_out_loss") or one["dataset_loss"]["loss"] for one in (ours, theirs)]
        assert told[0] == told[1]
    best = [(run.places.checkpoints / "best").read_text() for run in (second, whole)]
    assert best[0] == best[1]
    assert second.summary()["val_loss"] == whole.summary()["val_loss"]


def test_what_was_evaluated_is_not_evaluated_again(tiny_spec, stopped):
    first = stopped(tiny_spec("trainer.eval_interval=3"), 3)
    (first.places.evals / "step-3.json").write_text("{}")
    train(tiny_spec("trainer.eval_interval=3"), resume=True)
    assert (first.places.evals / "step-3.json").read_text() == "{}"


def test_what_somebody_measured_meanwhile_does_not_stand_for_the_evaluation_of_the_run(tiny_spec, stopped):
    first = stopped(tiny_spec("trainer.eval_interval=3"), 3)
    by_hand = {"step": 3, "benchmarks": {"a": {"acc": 0.5, "num_samples": 9}}}
    keep_results(first.places.evals / "step-3.json", by_hand)
    train(tiny_spec("trainer.eval_interval=3"), resume=True)
    joined = json.loads((first.places.evals / "step-3.json").read_text())
    assert joined["benchmarks"] == by_hand["benchmarks"]
    assert "dataset_loss" in joined
    assert "by_hand" not in joined
