"""Batches made ready by a thread are those of the loader, and the thread ends when it should."""

import contextlib
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from stlm.compiler import compile
from stlm.compiler.processes import Share
from stlm.data.preparation.prepare import prepare
from stlm.data.serving.batch import Batch
from stlm.data.serving.prefetch import AHEAD, Prefetched
from stlm.training import loop


class Counting:
    """A loader whose batches say their number, and which fails at one of them."""

    def __init__(self, fails_at=None):
        self.fails_at = fails_at
        self.made = []

    def batch(self, step, micro_step):
        self.made.append((step, micro_step))
        if (step, micro_step) == self.fails_at:
            raise OSError("the disk is gone")
        return Batch(torch.tensor([[step, micro_step]]), torch.zeros(1, 2))


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "stlm-prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not threads()


def numbers(loader, places):
    return [tuple(loader.batch(*place).token_ids[0].tolist()) for place in places]


def wait_until(true):
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to be")


IN_ORDER = [(step, micro) for step in range(7) for micro in range(3)]


def test_batches_come_in_order_none_lost_and_none_twice():
    plain = Counting()
    with Prefetched(plain, range(3), pinned=False) as loader:
        assert numbers(loader, IN_ORDER) == IN_ORDER
    assert plain.made[: len(IN_ORDER)] == IN_ORDER
    assert len(set(plain.made)) == len(plain.made)


def test_a_run_that_goes_on_begins_where_it_was():
    with Prefetched(Counting(), range(3), pinned=False) as loader:
        assert numbers(loader, [(1_000_000, 0), (1_000_000, 1)]) == [(1_000_000, 0), (1_000_000, 1)]


def test_any_step_may_be_asked_for():
    places = [(5, 1), (0, 0), (0, 1), (0, 1), (4, 2), (5, 0)]
    with Prefetched(Counting(), range(3), pinned=False) as loader:
        assert numbers(loader, places) == places
        assert len(threads()) == 1


def test_no_more_is_made_ready_than_was_said():
    plain = Counting()
    with Prefetched(plain, range(3), pinned=False) as loader:
        loader.batch(0, 0)
        wait_until(lambda: len(plain.made) == 1 + AHEAD + 1)
        time.sleep(0.05)
        assert len(plain.made) == 1 + AHEAD + 1


def test_an_error_is_raised_where_its_batch_is_asked_for_and_ends_the_thread():
    with Prefetched(Counting(fails_at=(1, 1)), range(3), pinned=False) as loader:
        assert numbers(loader, IN_ORDER[:4]) == IN_ORDER[:4]
        for _ in range(2):
            with pytest.raises(OSError, match="the disk is gone"):
                loader.batch(1, 1)
            assert not threads()


def test_no_thread_begins_before_a_batch_is_asked_for():
    with Prefetched(Counting(), range(3), pinned=False):
        assert not threads()


@pytest.mark.parametrize("reason", [ValueError, KeyboardInterrupt])
def test_the_thread_is_gone_when_its_user_fails(reason):
    def use():
        with Prefetched(Counting(), range(3), pinned=False) as loader:
            loader.batch(0, 0)
            raise reason

    with pytest.raises(reason):
        use()
    assert not threads()


def test_an_interruption_while_waiting_ends_the_thread(monkeypatch):
    with Prefetched(Counting(), range(3), pinned=False) as loader:
        loader.batch(0, 0)

        get = loader._thread._ready.get

        def interrupted(block=True, timeout=None):
            if block:
                raise KeyboardInterrupt
            return get(block=False)

        monkeypatch.setattr(loader._thread._ready, "get", interrupted)
        with pytest.raises(KeyboardInterrupt):
            loader.batch(0, 1)
        assert not threads()


def test_batches_for_cuda_are_pinned(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1000)
    with Prefetched(Counting(), range(3), pinned=True) as loader:
        assert numbers(loader, [(0, 0), (0, 1)]) == [(1000, 1000), (1000, 1001)]


# In training


def trained(spec, wrap):
    program = compile(spec, "cpu")
    state = spec.trainer.build(program, folder=None, data=prepare(spec, program.tokenizer))
    losses = []
    with wrap(state.loader) as state.loader:
        while state.step < 6:
            losses.append(loop.take_step(state)["loss"])
    return losses, [p.detach().clone() for p in program.model.parameters()]


def test_training_is_the_same_to_the_bit(tiny_spec):
    spec = tiny_spec("trainer.document_masking=true")
    losses, weights = trained(spec, lambda loader: Prefetched(loader, range(2), pinned=False))
    plain_losses, plain_weights = trained(spec, contextlib.nullcontext)
    assert losses == plain_losses
    assert all(torch.equal(a, b) for a, b in zip(weights, plain_weights, strict=True))


def run_on(device):
    share = Share(range(3), slice(0, 1))
    return SimpleNamespace(device=torch.device(device), share=share, loader=Counting())


def test_only_training_on_cuda_has_batches_made_ready(monkeypatch):
    monkeypatch.setattr(Batch, "pinned", lambda batch: batch)
    for device, others in (("cpu", 0), ("cuda", 1)):
        run = run_on(device)
        plain = run.loader
        with loop.prefetching(run):
            assert numbers(run.loader, IN_ORDER) == IN_ORDER
            assert len(threads()) == others
        assert run.loader is plain
        assert not threads()
