"""The processes that train together, as `torchrun` started them: who this one is, and what they agree on."""

import contextlib
import gc
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from math import gcd
from typing import Any, TypeVar

import attrs
import torch
import torch.distributed as dist

from stlm.spec.errors import StlmError, UsageError, WorkError
from stlm.spec.reasons import typed_reason_of

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long processes wait for one that prepares data: a dead one is noticed by who started them, not by the clock."""


@attrs.frozen
class Share:
    """What one process takes of a step: whole micro-batches, by their numbers in the step, and which rows of each."""

    micro_batches: range
    rows: slice


@attrs.frozen
class Processes:
    """This process among those that train one model; by default it is alone, and agrees with itself at no cost."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "Processes":
        """Read what `torchrun` says in ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK``; without these, one is alone."""
        said = {name: environment.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
        if not said["WORLD_SIZE"]:
            return cls()
        wrong = ", ".join(f"{name}={value!r}" for name, value in said.items() if not value.isdecimal())
        if wrong:
            raise UsageError(f"the environment says {wrong}, which is no number; start the processes by `torchrun`")
        rank, count, local_rank = (int(value) for value in said.values())
        unknown = [name for name in ("MASTER_ADDR", "MASTER_PORT") if count > 1 and not environment.get(name)]
        if unknown:
            raise UsageError(f"the environment does not say {' and '.join(unknown)}; start the processes by `torchrun`")
        if rank >= count:
            raise UsageError(f"the environment says RANK={rank} of WORLD_SIZE={count}; ranks count from 0")
        return cls(rank, count, local_rank)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that speaks: it prints, and writes what is written once."""
        return self.rank == 0

    @contextlib.contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Let the processes talk to each other inside the block: by gloo, and by NCCL on CUDA.

        They part when all have come to its end. What still holds on to their connections by then is collected before:
        left to the end of the interpreter, its threads may be torn down while they work, which ends the process badly.
        """
        if self.count == 1 or dist.is_initialized():
            yield
            return
        on_cuda = device.type == "cuda" and torch.cuda.is_available()
        if on_cuda:
            torch.cuda.set_device(self.device(device))
        with _signals_end_at_once():
            dist.init_process_group("cpu:gloo,cuda:nccl" if on_cuda else "gloo")
        try:
            yield
            self.sum([0])
        finally:
            gc.collect()
            dist.destroy_process_group()

    def device(self, device: torch.device) -> torch.device:
        """Give this process a device of its own where ``device`` names a kind of which there may be several."""
        several = self.count > 1 and device.type == "cuda"
        return torch.device(device.type, self.local_rank) if several and device.index is None else device

    def share(self, batch_size: int, micro_batches: int) -> Share | None:
        """Divide a step of ``micro_batches`` of ``batch_size`` rows; None where that leaves a remainder.

        Micro-batches are dealt out whole as far as they go round; processes for which there are too few share the rows
        of one. So the step is the same for any number of processes.
        """
        dealt = gcd(micro_batches, self.count)
        sharing = self.count // dealt
        if batch_size % sharing:
            return None
        rows, part = batch_size // sharing, self.rank % sharing
        return Share(range(self.rank // sharing, micro_batches, dealt), slice(part * rows, (part + 1) * rows))

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Add up the numbers of all processes, each with its like; whole ones are exact below 2^53."""
        if self.count == 1:
            return [float(number) for number in numbers]
        total = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def any(self, *flags: bool) -> list[bool]:
        """Say of each flag whether it is set on any process."""
        if self.count == 1:
            return list(flags)
        return [number > 0 for number in self.sum(flags)]

    def broadcast(self, value: Any) -> Any:
        """Give every process the value that the main one has."""
        if self.count == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held)
        return held[0]

    def gather(self, value: T) -> list[T]:
        """Give every process the values of all, in the order of their ranks."""
        if self.count == 1:
            return [value]
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, value)
        return gathered

    def wait(self) -> None:
        """Wait until every process has come here, however long that takes."""
        if self.count > 1:
            dist.monitored_barrier(timeout=PATIENCE)


def of_main(processes: Processes, look: Callable[..., T], *arguments: Any) -> T:
    """Let the main process look at what is there once for all; all return what it saw, or raise what it raised.

    All processes come here at the same time (`main_first`).
    """
    if processes.count == 1:
        return look(*arguments)
    seen: list[T] = []
    told = b""
    with main_first(processes):
        if processes.is_main:
            seen.append(look(*arguments))
            told = pickle.dumps(seen)  # here, where the others learn of what cannot be told
    told = processes.broadcast(told)
    return (seen or pickle.loads(told))[0]  # type: ignore[no-any-return]


@contextlib.contextmanager
def main_first(processes: Processes) -> Iterator[None]:
    """Let the main process do what is in the block before the others do: they then find what it made.

    What one raises is raised by all; where it is the main one's, the others do nothing. Of what is no `StlmError` the
    others are told in words.
    """
    if not processes.is_main:
        _agree(processes, None)
    own = None
    try:
        yield
    except Exception as error:
        if processes.count == 1:
            raise
        own = error
    if processes.is_main:
        _agree(processes, own)
    _agree(processes, own)


def _agree(processes: Processes, own: Exception | None) -> None:
    """Wait for all processes, however long that takes, and raise the first error that one of them has."""
    processes.wait()
    for rank, error in enumerate(processes.gather(None if own is None else _told(own))):
        if error is not None:
            raised: Any = own if rank == processes.rank else error
            raised.told_by_main = rank == 0
            raise raised


def _told(error: Exception) -> StlmError:
    """Give an error a form in which another process can have it."""
    if isinstance(error, StlmError):
        with contextlib.suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return error
    return WorkError(typed_reason_of(error))


@contextlib.contextmanager
def _signals_end_at_once() -> Iterator[None]:
    """Let signals end the process inside the block, where torch waits for the others and does not listen to Python."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    ending = (signal.SIGINT, signal.SIGTERM) if in_main_thread else ()
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
