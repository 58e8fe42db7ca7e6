"""What a full disk refuses is kept, in order, and written once there is room."""

import contextlib
import os

import pytest

from stlm.data.storage import reported_as
from stlm.spec import WorkError
from stlm.training.unwritten import Unwritten, append


class Disk:
    """A file that is a device without room for as long as it is told to be."""

    def __init__(self, path):
        self.path, self.file = path, open(path, "ab", buffering=0)  # noqa: SIM115 - closed by the fixture
        self.room = os.dup(self.file.fileno())

    def fill(self):
        device = os.open("/dev/full", os.O_WRONLY)
        os.dup2(device, self.file.fileno())
        os.close(device)

    def make_room(self):
        os.dup2(self.room, self.file.fileno())

    def line(self, text):
        rest = bytearray(f"{text}\n".encode())

        def write():
            with reported_as("cannot write the file"):
                append(self.file, rest)

        return write


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "lines")
    yield disk
    disk.file.close()
    os.close(disk.room)


def test_what_was_refused_is_written_before_what_comes_next_and_nothing_twice(disk, caplog):
    lines = Unwritten()
    lines.put(disk.line("one"))
    disk.fill()
    for text in ("two", "three"):
        lines.put(disk.line(text))
    assert disk.path.read_text() == "one\n"
    disk.make_room()
    lines.put(disk.line("four"))
    lines.finish(run_failed=False)
    assert disk.path.read_text() == "one\ntwo\nthree\nfour\n"
    assert [record.getMessage() for record in caplog.records] == [
        "cannot write the file: No space left on device; it is kept in memory and tried again, and the run goes on"
    ]


def test_a_second_time_is_told_again(disk, caplog):
    lines = Unwritten()
    for text in ("one", "two"):
        disk.fill()
        lines.put(disk.line(text))
        disk.make_room()
        lines.retry()
    assert disk.path.read_text() == "one\ntwo\n"
    assert len(caplog.records) == 2


def test_a_line_of_which_a_part_was_written_goes_on_behind_it():
    class Narrow:
        """Takes three bytes at a time, as a disk does on which three are left."""

        def __init__(self):
            self.written, self.room = b"", 3

        def write(self, data):
            if not self.room:
                raise OSError(28, "No space left on device")
            taken, self.room = bytes(data[: self.room]), 0
            self.written += taken
            return len(taken)

    file, rest = Narrow(), bytearray(b"abcdefg")
    for left in (b"defg", b"g", b""):
        file.room = 3
        with contextlib.suppress(OSError):
            append(file, rest)
        assert rest == left
    assert file.written == b"abcdefg"


def test_what_waits_at_the_end_is_an_error_unless_the_run_has_one_already(disk, caplog):
    lines = Unwritten()
    disk.fill()
    lines.put(disk.line("one"))
    with pytest.raises(WorkError, match="cannot write the file: No space left on device; it was so to the end"):
        lines.finish(run_failed=False)
    lines.finish(run_failed=True)
    assert caplog.records[-1].getMessage() == "cannot write the file: No space left on device"
