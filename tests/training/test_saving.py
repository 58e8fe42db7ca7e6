"""When checkpoints are written: while training goes on, one after the other, and all before the run ends."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from safetensors.torch import load_file

from stlm.experiments.evaluate import prepared_data
from stlm.experiments.train import train
from stlm.registry import hook
from stlm.spec import WorkError
from stlm.training import loop
from stlm.training.checkpoint.contents import Contents
from stlm.training.weights import distinct_state


class Watch:
    """A plugin that notes what happens to checkpoints, and holds back their writing until a step."""

    def __init__(self, slow_until=0, stop_at=None):
        self.slow_until, self.stop_at = slow_until, stop_at
        self.may_go_on, self.seen, self.copies = threading.Event(), [], {}

    @hook(tryfirst=True)
    def step_ends(self, run):
        if run.step >= self.slow_until:
            self.may_go_on.set()
        if run.step == self.stop_at:
            run.stop = True

    @hook
    def checkpoint_starts(self, run):
        self.seen.append(("starts", run.step))

    @hook
    def checkpoint_copied(self, run):
        self.seen.append(("copied", run.step))
        self.copies[run.step] = {name: t.clone() for name, t in distinct_state(run.model)[0].items()}

    @hook
    def checkpoint_saved(self, run, folder):
        assert threading.current_thread() is threading.main_thread()
        assert (folder / "state.json").exists()
        self.seen.append((folder.name, run.step))


@pytest.fixture
def state(tiny_spec, monkeypatch):
    """Make the state of a run whose checkpoints are slow to be written, as its watch says."""

    def make(*overrides, **options):
        first = train(tiny_spec("trainer.max_iters=2", "trainer.checkpoint_interval=100"))
        spec, watch = tiny_spec("trainer.checkpoint_interval=2", *overrides), Watch(**options)
        begin = Contents.begin

        def begin_later(contents):
            assert watch.may_go_on.wait(timeout=60)
            begin(contents)

        monkeypatch.setattr(Contents, "begin", begin_later)
        first.program.spec = spec
        run = spec.trainer.build(first.program, folder=first.places, data=prepared_data(first), checkpoint=None)
        run.plugins.register(watch)
        return run, watch

    return make


def test_training_goes_on_while_a_checkpoint_is_written(state):
    run, watch = state("trainer.checkpoint_interval=4", "trainer.max_iters=7", slow_until=6)
    loop.train(run)
    starts, copied, saved, *last = watch.seen
    assert (starts, copied) == (("starts", 4), ("copied", 4))
    assert saved in (("step-4", 6), ("step-4", 7))
    assert last == [("starts", 7), ("copied", 7), ("step-7", 7)]


def test_a_checkpoint_holds_the_state_of_its_own_step(state):
    run, watch = state("trainer.checkpoint_interval=4", "trainer.max_iters=7", slow_until=6)
    loop.train(run)
    for step, weights in watch.copies.items():
        stored = load_file(run.folder.checkpoints / f"step-{step}" / "model.safetensors")
        assert stored.keys() == weights.keys()
        assert all(torch.equal(stored[name], weights[name]) for name in stored)
    assert not torch.equal(watch.copies[4]["head.norm.weight"], watch.copies[7]["head.norm.weight"])
    moments = [load_file(run.folder.checkpoints / f"step-{n}" / "optimizer.safetensors") for n in (4, 7)]
    assert [m["optimizer.state.head.norm.weight.step"].item() for m in moments] == [4.0, 7.0]


def test_a_checkpoint_waits_for_the_one_before_it(state):
    run, watch = state("trainer.max_iters=4")
    watch.slow_until = 100
    threading.Timer(1.0, watch.may_go_on.set).start()
    loop.train(run)
    assert watch.seen == [
        ("starts", 2), ("copied", 2), ("step-2", 4), ("starts", 4), ("copied", 4), ("step-4", 4)
    ]  # fmt: skip


def test_what_a_hook_stops_is_saved_before_the_run_ends(state):
    run, watch = state(stop_at=3)
    loop.train(run)
    assert watch.seen[-1] == ("step-3", 3)


def test_a_run_that_breaks_still_waits_for_what_is_being_written(state):
    run, watch = state(slow_until=3)

    class Break:
        @hook(trylast=True)
        def step_ends(self, run):
            if run.step == 3:
                raise RuntimeError("power cut")

    run.plugins.register(Break())
    with pytest.raises(RuntimeError, match="power cut"):
        loop.train(run)
    assert ("step-2", 3) in watch.seen
    assert (run.folder.checkpoints / "latest").read_text() == "step-2\n"


def test_a_mistake_of_a_component_in_the_background_ends_the_run(state, monkeypatch):
    run, _ = state()

    def save(folder):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(run.program.tokenizer, "save", save, raising=True)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        loop.train(run)
    assert [path.name for path in run.folder.checkpoints.iterdir() if path.name.startswith(".")] == []


def test_other_plugins_close_their_files_though_the_last_checkpoint_fails(state):
    run, watch = state(stop_at=3)
    ended = []

    class End:
        @hook(trylast=True)
        def step_ends(self, run):
            run.stop = run.step == 3  # as by a signal that comes after the turn of checkpoints

        @hook
        def training_ends(self, run):
            ended.append(run.step)

    watch.stop_at = None
    run.plugins.register(End())
    run.folder.checkpoints.rename(run.folder.checkpoints.with_name("elsewhere"))
    run.folder.checkpoints.write_text("a file where the folder was")
    with pytest.raises(
        WorkError, match=r"the run's last checkpoint was not written: .*step-3.*there is none before it"
    ):
        loop.train(run)
    assert ended == [3]


def test_a_second_ctrl_c_while_the_disk_is_waited_for_lets_other_plugins_end(state):
    run, watch = state("trainer.max_iters=2", slow_until=100)
    ended, done = [], threading.Event()

    class End:
        @hook
        def training_ends(self, run):
            ended.append(run.step)

    def press_again_and_again():
        while ("copied", 2) not in watch.seen:
            time.sleep(0.01)
        while not done.wait(0.3):
            os.kill(os.getpid(), signal.SIGINT)

    run.plugins.register(End())
    presses = threading.Thread(target=press_again_and_again)
    handler = signal.signal(signal.SIGINT, lambda *_: None)  # for one that comes late
    presses.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.train(run)
    finally:
        done.set()
        presses.join()
        signal.signal(signal.SIGINT, handler)
        watch.may_go_on.set()
    assert ended == [2]


@pytest.mark.parametrize("last", [4, 8])
def test_weights_that_an_update_spoiled_are_not_stored_and_the_checkpoint_before_is_named(state, last):
    run, watch = state(f"trainer.max_iters={last}")

    class Spoil:
        @hook(tryfirst=True)
        def step_ends(self, run):
            if run.step == 4:
                run.model.head.norm.weight.data[3] = float("inf")

    run.plugins.register(Spoil())
    with pytest.raises(WorkError) as caught:
        loop.train(run)
    message = str(caught.value)
    assert message.startswith("step 4: its update made weights infinite, or no numbers, in `head.norm.weight`. Its")
    assert "samples 12 to 15 of the data's order" in message
    assert "the last good checkpoint is" in message
    assert "step-2. " in message
    assert [path.name for path in run.folder.checkpoints.glob("step-*")] == ["step-2"]
    assert watch.seen[-1][0] == "step-2"


def small_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def test_a_disk_that_is_full_to_the_end_is_exit_1_and_one_clear_line(tiny_spec, tmp_path):
    train(tiny_spec("trainer.max_iters=2"))  # prepares the tokens
    spec = tmp_path / "spec.yaml"
    spec.write_text(tiny_spec("model.hidden_dim=64", "trainer.max_iters=4").dump())
    command = [sys.executable, "-m", "stlm", "train", str(spec)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # half a file of it would stay
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, preexec_fn=small_disk, env=environment, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "step-3`: File too large; the run goes on, and tries again at step 4" in done.stderr
    assert "the run's last checkpoint was not written" in done.stderr.splitlines()[-1]
    (run,) = (path for path in (tmp_path / "out").iterdir() if "64d" in path.name)
    assert list((run / "checkpoints").iterdir()) == []
