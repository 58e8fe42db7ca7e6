"""The table that says what a tensor of ours is called elsewhere, and its two directions: writing and reading.

An `export` component gives one table for both. What stands in it is all that the two sides differ in.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import attrs
import torch
from torch import Tensor, nn

from stlm.spec.diagnostics import shortened
from stlm.training.weights import distinct_state

_FLOATS = ("F64", "F32", "F16", "BF16")


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen
class Weight:
    """One line of the table: a tensor's name in our network's state, and its name on the other side.

    Either may be several names, whose tensors hold the same rows when they are joined in that order; of several of
    ``theirs``, ``rows`` says how many rows each has. ``order``: the rows stand in another order there, theirs are
    ours[order]. ``transposed``: theirs are (in, out), ours (out, in). ``optional``: ours is a second name of a tensor
    that has a line already; it is not written, and where a folder has it all the same, it must be the same.

    No name in ``ours``: we have none, and theirs is written as zeros of ``shape`` (`Weight.zeros`). No name in
    ``theirs``: they have none, and ours is read as zeros.
    """

    ours: tuple[str, ...] = attrs.field(converter=_names)
    theirs: tuple[str, ...] = attrs.field(converter=_names)
    rows: tuple[int, ...] = attrs.field(default=(), kw_only=True, converter=tuple)
    order: tuple[int, ...] | None = attrs.field(default=None, kw_only=True)
    transposed: bool = attrs.field(default=False, kw_only=True)
    optional: bool = attrs.field(default=False, kw_only=True)
    shape: tuple[int, ...] = attrs.field(default=(), kw_only=True)

    @classmethod
    def zeros(cls, theirs: str, *shape: int) -> "Weight":
        """Make the line of a tensor of theirs that we do not have, which zeros stand for."""
        return cls((), theirs, shape=shape)

    def to_theirs(self, ours: Sequence[Tensor]) -> dict[str, Tensor]:
        """Turn tensors of ours into theirs, by name; a view of ours where that is possible."""
        if not self.ours:
            return {name: torch.zeros(self.shape) for name in self.theirs}
        whole = _joined(ours) if self.order is None else _joined(ours)[list(self.order)]
        parts = whole.split(self.rows) if self.rows else (whole,)
        named = zip(self.theirs, parts, strict=True) if self.theirs else ()
        return {name: part.T if self.transposed else part for name, part in named}

    def to_ours(self, theirs: Sequence[Tensor], ours: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn tensors of theirs into ours, whose shapes those of ``ours`` are."""
        if not self.theirs:
            return tuple(torch.zeros_like(tensor) for tensor in ours)
        whole = _joined([tensor.T if self.transposed else tensor for tensor in theirs])
        if self.order is not None:
            whole = whole[torch.tensor(self.order).argsort()]
        return whole.split([len(tensor) for tensor in ours])


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


class Stored(Protocol):
    """Tensors that are stored somewhere: shapes and safetensors' types by name, and each when it is asked for."""

    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]

    def tensor(self, name: str) -> Tensor:
        """Read a tensor."""
        ...


def as_theirs(model: nn.Module, table: Sequence[Weight], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the weights of a model under the names of the other side, each a tensor of its own, on the CPU.

    What several modules share is written for each of them. Raises `ValueError` where the table does not fit the model.
    """
    state = _told_state(model, table)
    written: dict[str, Tensor] = {}
    for weight in table:
        if not weight.optional:
            theirs = weight.to_theirs([state[name] for name in weight.ours])
            written |= {n: t.detach().to("cpu", dtype, copy=True).contiguous() for n, t in theirs.items()}
    return written


def misfits(model: nn.Module, table: Sequence[Weight], stored: Stored, leftovers: Sequence[str] = ()) -> list[str]:
    """Say what is missing among stored tensors, of another shape, or unknown; the model may be on the meta device.

    Raises `ValueError` where the table does not fit the model.
    """
    state = _told_state(model, table)
    problems, known = [], set()
    for weight in table:
        for name, tensor in weight.to_theirs([state[name] for name in weight.ours]).items():
            known.add(name)
            found, wanted = stored.shapes.get(name), tuple(tensor.shape)
            if found is None:
                problems += [] if weight.optional else [f"`{name}` is missing"]
            elif found != wanted:
                problems.append(f"`{name}` is {found}, and {wanted} by config.json")
            elif stored.types[name] not in _FLOATS:
                problems.append(
                    f"`{name}` is stored as {stored.types[name]}, and only {', '.join(_FLOATS)} can be read"
                )
    strangers = [name for name in sorted(stored.shapes.keys() - known) if not name.endswith(tuple(leftovers))]
    return [*problems, *(f"`{shortened(name)}` is not part of this architecture" for name in strangers)]


def read_theirs(model: nn.Module, table: Sequence[Weight], stored: Stored) -> list[str]:
    """Copy stored tensors, of which `misfits` says nothing, into a model; return the optional ones that differ."""
    state = _told_state(model, table)
    differing = []
    with torch.no_grad():
        for weight in sorted(table, key=lambda weight: weight.optional):  # a second name is compared with the first
            if weight.optional and not stored.shapes.keys() >= {*weight.theirs}:
                continue
            ours = [state[name] for name in weight.ours]
            read = weight.to_ours([stored.tensor(name) for name in weight.theirs], ours) if ours else ()
            for mine, new in zip(ours, read, strict=True):
                if not weight.optional:
                    mine.copy_(new)
                elif not torch.equal(mine, new.to(mine)):
                    differing += weight.theirs
    return differing


def _told_state(model: nn.Module, table: Iterable[Weight]) -> dict[str, Tensor]:
    """Return a model's tensors by all their names. Raises `ValueError` where a table does not tell of each of them."""
    state: dict[str, Tensor] = model.state_dict()
    distinct, shared = distinct_state(model)
    told = {name for weight in table for name in weight.ours}
    _none_of(told - state.keys(), "names {}, which the model does not have")
    _none_of(distinct.keys() - {shared.get(name, name) for name in told}, "leaves out {}")
    return state


def _none_of(names: Collection[str], says: str) -> None:
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise ValueError(f"the table of weights {says.format(f'`{min(names)}`{more}')}")
