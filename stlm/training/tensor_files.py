"""Tensors in safetensors files: one file, or the shards that several processes wrote in its place."""

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stlm.nn.sharded import held_part

SHARDING, BEGINS = "DCP_SHARDING_INFO", "saved_offsets"
"""Where the metadata of a shard says at which element of the whole each of its tensors begins, as torch writes it."""

_NUMBERS = re.compile(r"-(\d+)-of-(\d+)")


def shard_name(stem: str, number: int, count: int) -> str:
    """Name the file that is number ``number``, from 1, of ``count``; one alone bears no number."""
    return f"{stem}.safetensors" if count == 1 else f"{stem}-{number:05}-of-{count:05}.safetensors"


def save_tensors(
    tensors: dict[str, Tensor],
    path: Path,
    metadata: dict[str, str] | None = None,
    begins: Mapping[str, list[int]] | None = None,
) -> None:
    """Write a safetensors file; ``begins`` says of parts where in the whole they begin.

    Raises `OSError` where the disk refuses, as any other writing does.
    """
    about = {"format": "pt", **(metadata or {})}
    if begins is not None:
        about[SHARDING] = json.dumps({name: {BEGINS: begin} for name, begin in begins.items()})
    path.touch()
    permissions = path.stat().st_mode
    try:
        save_file(tensors, path, about)
    except SafetensorError as error:
        refused = re.search(r"os error (\d+)", str(error))
        raise OSError(int(refused[1]), os.strerror(int(refused[1]))) if refused else OSError(str(error)) from error
    path.chmod(permissions)  # the library's files are private


class TensorFiles:
    """The tensors of the file ``path``, or of its shards beside it (``model-00001-of-00002.safetensors``).

    ``shapes`` are those of the whole tensors, by name. Raises `ValueError`, `OSError` or `SafetensorError` where files
    are missing or make no sense; no tensor is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._parts: dict[Path, dict[str, tuple[slice, ...]]] = {}
        held: dict[str, int] = {}
        for file in _files(path):
            self._parts[file] = _parts(file)
            for name, place in self._parts[file].items():
                ends = tuple(axis.stop for axis in place)
                longest = self.shapes.get(name, ends)
                if len(longest) != len(ends):
                    raise ValueError(f"the parts of `{name}` in {path.parent} have different numbers of dimensions")
                self.shapes[name] = tuple(max(pair) for pair in zip(longest, ends, strict=True))
                held[name] = held.get(name, 0) + math.prod(axis.stop - axis.start for axis in place)
        for name, shape in self.shapes.items():
            if held[name] != math.prod(shape):
                raise ValueError(f"of `{name}` {held[name]} of {math.prod(shape)} elements are in {path.parent}")

    def empty(self, name: str, like: Tensor | None = None) -> Tensor:
        """Make a tensor to read a stored one into: on the CPU, or where ``like`` is and sharded as it is.

        Where ``like`` is sharded and has another shape, each process has the whole. Raises `KeyError` where nothing of
        that name is stored.
        """
        file = next((file for file, parts in self._parts.items() if name in parts), None)
        if file is None:
            raise KeyError(name)
        with safe_open(file, framework="pt") as opened:
            dtype = (opened.get_slice(name)[:0] if self.shapes[name] else opened.get_tensor(name)).dtype
        if like is None or not self.shapes[name]:
            return torch.empty(self.shapes[name], dtype=dtype)
        return like.detach().new_empty(self.shapes[name], dtype=dtype)

    def read_into(self, targets: Mapping[str, Tensor]) -> None:
        """Copy stored tensors into those of ``targets``; a sharded one takes the part that this process holds."""
        with torch.no_grad():
            for file, parts in self._parts.items():
                with safe_open(file, framework="pt") as opened:
                    for name in parts.keys() & targets.keys():
                        _copy(opened, name, parts[name], targets[name])


def _files(path: Path) -> list[Path]:
    if path.exists():
        return [path]
    shards = sorted(path.parent.glob(f"{path.stem}-*-of-*{path.suffix}"))
    counts = {int(found[2]) for file in shards if (found := _NUMBERS.fullmatch(file.stem.removeprefix(path.stem)))}
    if counts != {len(shards)}:
        raise FileNotFoundError(f"{path} is not there, nor are all of its shards")
    return shards


def _parts(file: Path) -> dict[str, tuple[slice, ...]]:
    """Read which part of its whole each tensor in a file is."""
    parts = {}
    with safe_open(file, framework="pt") as opened:
        try:
            about: Any = json.loads((opened.metadata() or {}).get(SHARDING, "{}"))
            for name in opened.keys():  # noqa: SIM118 - it cannot be iterated over
                shape = opened.get_slice(name).get_shape()
                begin = [int(number) for number in about[name][BEGINS]] if about else [0] * len(shape)
                if min(begin, default=0) < 0:
                    raise ValueError(f"`{name}` begins at {begin}")
                parts[name] = tuple(slice(b, b + n) for b, n in zip(begin, shape, strict=True))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{file} does not say which parts of tensors it holds") from error
    return parts


def _copy(opened: Any, name: str, stored: tuple[slice, ...], target: Tensor) -> None:
    """Copy what a stored part and the part of ``target`` that this process holds have in common."""
    part, held = held_part(target)
    common = [slice(max(s.start, h.start), min(s.stop, h.stop)) for s, h in zip(stored, held, strict=True)]
    if any(axis.start >= axis.stop for axis in common):
        return
    whole = tuple(common) == stored
    there = tuple(slice(c.start - s.start, c.stop - s.start) for c, s in zip(common, stored, strict=True))
    here = tuple(slice(c.start - h.start, c.stop - h.start) for c, h in zip(common, held, strict=True))
    part[here].copy_(opened.get_tensor(name) if whole else opened.get_slice(name)[there])
