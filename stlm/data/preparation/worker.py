"""The process that makes parts for another: it is told which on stdin, and says on stdout how it gets on."""

import base64
import json
import logging
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from typing import Any

from stlm.data.preparation.encoding import Encoder
from stlm.data.preparation.plan import Finished, Preparation
from stlm.data.preparation.shards import Done
from stlm.spec.errors import StlmError, UsageError, WorkError


def main() -> None:
    """Work until stdin ends; what made it end is of no interest any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process hears of it, and ends this one
    say = _Mouth()
    logging.getLogger("stlm").addHandler(_Forwarding(say))
    logging.getLogger("stlm").setLevel(logging.INFO)
    try:
        sys.path[:] = pickle.load(sys.stdin.buffer)
        preparation, fast, threads = pickle.load(sys.stdin.buffer)
        encoder = Encoder(preparation.tokenizer, fast, threads=threads)
    except EOFError:
        return
    except WorkError as error:
        say(_failed(error))
        return
    except Exception as error:  # a class that only the other process has, for one
        say({"unfit": f"{type(error).__name__}: {error}"})
        return
    for index, *finished in _orders():
        say(_make(preparation, index, Finished(*finished), encoder, say))


def _make(preparation: Preparation, index: int, finished: Finished, encoder: Any, say: "_Mouth") -> dict[str, Any]:
    """Make one part; return how it ended."""

    def tell(done: Done) -> None:
        say({"done": [done.documents, done.bytes, done.tokens]})

    try:
        preparation.make(index, tell, encoder=encoder, finished=finished)
    except Exception as error:
        return _failed(error)
    return {"made": index}


def _failed(error: Exception) -> dict[str, Any]:
    """Say an error so that the other process can raise it: itself where it can be pickled, and how it came about."""
    told = _pickled(error) or _pickled(_plainly(error))
    return {"error": base64.b64encode(told).decode(), "traceback": "".join(traceback.format_exception(error))}


def _pickled(error: Exception) -> bytes:
    """Pickle an error; nothing where it would not come out as it went in."""
    try:
        data = pickle.dumps(error)
        whole = type(pickle.loads(data)) is type(error)
    except Exception:  # anything may be in a plugin's errors
        return b""
    return data if whole else b""


def _plainly(error: Exception) -> StlmError:
    """Say the same by an error of our own."""
    return UsageError(str(error), key=error.key) if isinstance(error, UsageError) else WorkError(str(error))


def _orders() -> Any:
    """Give the lines of stdin; a process whose master is gone ends at once, whatever it is doing."""
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            orders.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield json.loads(orders.get())


class _Mouth:
    """Says one JSON document a line on what was stdout; what others print there goes to stderr."""

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self.lock = threading.Lock()

    def __call__(self, document: dict[str, Any]) -> None:
        with self.lock:
            self.stream.write(json.dumps(document).encode() + b"\n")


class _Forwarding(logging.Handler):
    """Hands what stlm logs to the other process."""

    def __init__(self, say: _Mouth) -> None:
        super().__init__()
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        self.say({"log": [record.levelno, record.getMessage()]})
