"""What writes the event files of one run."""

import io
import logging
import os
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from stlm.registry import hook

_log = logging.getLogger(__name__)


class Events:
    """Writes ``loss`` and its like as ``train/loss`` and ``val/loss``.

    A run that goes on adds a file. It says from which step on the older ones do not count: the steps after the last
    checkpoint are done again, and TensorBoard shows each once.

    A full disk does not end a run: what it refuses is kept, and written before the next line. `SummaryWriter` would
    lose it, for it writes in a thread that ends at the first error.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.folder = folder
        self.unwritten = bytearray()
        self.told = False
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"  # files are read in the order of their names
        self.file = open(folder / name, "xb", buffering=0)  # noqa: SIM115 - closed when the run ends
        goes_on = step > 0 or len([*folder.glob("events.out.tfevents.*")]) > 1  # or begins anew in the same folder
        self.write(Event(file_version="brain.Event:2"))
        if goes_on:
            self.write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    @hook
    def metrics_logged(self, record: dict[str, Any]) -> None:
        """Write a line of the metrics, so that it stands in the file at once."""
        values = [
            Summary.Value(tag=f"{record['split']}/{name}", simple_value=value)
            for name, value in record.items()
            if name != "step" and isinstance(value, int | float)
        ]
        self.write(Event(step=record["step"], summary=Summary(value=values)))

    def write(self, event: Event) -> None:
        """Write an event after what is unwritten, as far as the disk takes it."""
        event.wall_time = time.time()
        framed = io.BytesIO()
        RecordWriter(framed).write(event.SerializeToString())
        self.unwritten += framed.getvalue()
        try:
            while self.unwritten:
                del self.unwritten[: self.file.write(self.unwritten)]
            self.told = False
        except OSError as error:
            if not self.told:
                _log.warning("cannot write events into %s: %s; the run goes on", self.folder, error.strerror or error)
            self.told = True

    @hook(trylast=True)
    def training_ends(self) -> None:
        """Close the file, after the last line was written."""
        self.file.close()
        if self.unwritten:
            _log.warning("not all events of the run are in %s; metrics.jsonl has its numbers", self.folder)
