"""Reads the files that wandb writes while it is offline: which steps of a run it has."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 1 << 15


def steps_in(file: Path) -> Iterator[int]:
    """Yield the steps of the lines that an offline file of wandb's holds whole."""
    for record in records_in(file):
        yield from (int(item.value_json) for item in record.history.item if "_step" in (item.key, *item.nested_key))


def records_in(file: Path) -> Iterator[Any]:
    """Yield the records, protocol buffers of wandb's, that an offline file holds whole.

    It is a header of 7 bytes and a log in LevelDB's format: blocks of 32 KiB, of pieces with a checksum, a length and a
    type (1: a record, 2 to 4: its first, middle and last piece).
    """
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, pieces = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:  # too little for another piece
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        pieces += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4) and at <= len(data):
            try:
                record = Record.FromString(pieces)
            except DecodeError:  # the machine died while it was written
                return
            yield record
            pieces = b""
