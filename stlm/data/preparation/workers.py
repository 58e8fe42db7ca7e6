"""Parts of a data set side by side, each in a process of its own, with nothing shared but the folder they write to."""

import base64
import contextlib
import json
import logging
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from stlm.data.preparation.plan import Finished, Preparation
from stlm.data.preparation.shards import Done
from stlm.spec.errors import WorkError

_log = logging.getLogger(__name__)
_COMMAND = (sys.executable, "-c", "from stlm.data.preparation.worker import main; main()")
Told = Callable[[int, Done], None]


class UnfitError(Exception):
    """The work cannot be given to another process; it can still be done in this one."""


class InWorkerError(Exception):
    """What an error that a worker raised comes from: its text is the traceback there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def make_in_workers(
    preparation: Preparation,
    fast: Any,
    to_do: Sequence[tuple[int, Finished]],
    workers: int,
    told: Told,
    *,
    lock: int,
    threads: int,
) -> None:
    """Make parts in ``workers`` processes; ``told`` hears of each step, in this thread, with the part's index.

    They encode by ``fast``, or by the tokenizer where that is None. ``lock`` is the descriptor that guards the folder:
    the workers hold it too, so nobody else writes there while one of them lives, even where this process is killed.
    Raises what a worker raises, and `UnfitError`.
    """
    try:
        job = pickle.dumps((preparation, fast, threads))
    except Exception as error:  # anything may be in a plugin's objects
        raise UnfitError(f"{type(error).__name__}: {error}") from error
    tasks: queue.SimpleQueue[tuple[int, Finished]] = queue.SimpleQueue()
    for task in to_do:
        tasks.put(task)
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    crew: list[_Worker] = []
    logged: set[_Logged] = set()
    try:
        for _ in range(workers):
            crew.append(_Worker(job, tasks, heard, lock))
        at_work = len(crew)
        while at_work:
            message = heard.get()
            if message is None:
                at_work -= 1
            elif isinstance(message, BaseException):
                raise message
            elif isinstance(message, _Logged):
                if message not in logged:  # each worker finds out the same
                    _log.log(message.level, "%s", message.text)
                logged.add(message)
            else:
                told(*message)
    finally:
        for worker in crew:
            worker.end()


@attrs.frozen
class _Logged:
    """A line that a worker logged."""

    level: int
    text: str


class _Worker:
    """One process, and the thread that gives it one part after the other."""

    def __init__(self, job: bytes, tasks: Any, heard: Any, lock: int) -> None:
        self.job, self.tasks, self.heard = job, tasks, heard
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(_COMMAND, stdin=pipe, stdout=pipe, pass_fds=(lock,), env=environment)
        self.thread = threading.Thread(target=self._work, daemon=True, name="stlm-prepare")
        self.thread.start()

    def end(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.thread.join()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # what was still to be written reaches nobody
                stream.close()  # type: ignore[union-attr]  # both are pipes

    def _work(self) -> None:
        try:
            self._send(pickle.dumps(sys.path) + self.job)
            while True:
                try:
                    index, finished = self.tasks.get_nowait()
                except queue.Empty:
                    break
                self._send(json.dumps([index, finished.shards, finished.documents, finished.all]).encode() + b"\n")
                self._listen(index)
            self.heard.put(None)
        except BaseException as error:
            self.heard.put(error)

    def _send(self, data: bytes) -> None:
        try:
            self.process.stdin.write(data)  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            self._listen(-1)  # it has said why it ended
            self._died()

    def _listen(self, index: int) -> None:
        """Pass on what the process says until the part is made."""
        while line := self.process.stdout.readline():  # type: ignore[union-attr]
            match json.loads(line):
                case {"done": numbers}:
                    self.heard.put((index, Done(*numbers)))
                case {"log": [level, text]}:
                    self.heard.put(_Logged(level, text))
                case {"error": error, "traceback": how}:
                    raise pickle.loads(base64.b64decode(error)) from InWorkerError(how)
                case {"unfit": text}:
                    raise UnfitError(text)
                case {"made": _}:
                    return
        self._died()

    def _died(self) -> None:
        status = self.process.wait()
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        kept = "what is finished is kept, and the next call goes on"
        raise WorkError(f"a process that prepared tokens ended {how}; {kept}")
