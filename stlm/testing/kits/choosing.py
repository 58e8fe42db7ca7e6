"""What picks tokens, asks questions and takes part in moments: samplers, benchmarks and hooks."""

from typing import Any

import torch
from torch import Tensor

from stlm.evaluation.items import Item, fault_of
from stlm.registry.hookspecs import moments, moments_of
from stlm.spec import SpecError
from stlm.spec.declaration import Option, declaration_of
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.subject import Subject
from stlm.testing.values import fitting, of_type
from stlm.testing.variants import refuses

FEW, SEEDS = 5, range(17)
"""Rows that are asked for, and seeds: of two rows or sets, the same may well be drawn several times."""
VOCABULARY = 40
EXTREMES = {
    "all equal": torch.zeros(VOCABULARY),
    "one immense": torch.zeros(VOCABULARY).index_fill(0, torch.tensor([7]), 1e30),
    "one impossible": torch.zeros(VOCABULARY).index_fill(0, torch.tensor([7]), -torch.inf),
    "one possible": torch.full((VOCABULARY,), -torch.inf).index_fill(0, torch.tensor([7]), 0.0),
    "plain": torch.linspace(-3, 3, VOCABULARY),
}
"""Scores that a sampler may meet."""


def _draw(sampler: object, logits: Tensor, seed: int = 0) -> Tensor:
    history = [[1, 7, 7, 39] for _ in logits]
    return sampler(logits, history, torch.Generator().manual_seed(seed))  # type: ignore[operator]


@check("draws-ids", "sampler")
def draws_ids(subject: Subject) -> None:
    """With each value of each option it draws an id a row, none that is impossible, and leaves the scores alone."""
    for options, sampler in _samplers(subject):
        logits = torch.stack([*EXTREMES.values(), *EXTREMES.values()])
        given = logits.clone()
        ids = _draw(sampler, given)
        what = (tuple(ids.shape), ids.dtype)
        hold(what == ((len(logits),), torch.int64), f"{options}of {len(logits)} rows it draws {what[0]} {what[1]}")
        hold(((ids >= 0) & (ids < VOCABULARY)).all(), f"{options}it draws id {int(ids.max())} of {VOCABULARY}")
        hold(torch.equal(given, logits), f"{options}it changes the scores that it is given")
        possible = logits.gather(1, ids[:, None]).isfinite().all(dim=1)
        bad = [name for name, fine in zip([*EXTREMES, *EXTREMES], possible.tolist(), strict=True) if not fine]
        hold(not bad, f"{options}where scores are `{bad[0] if bad else ''}`, it draws a token that is impossible")


@check("draws-from-its-generator", "sampler")
def draws_from_its_generator(subject: Subject) -> None:
    """What it draws is a function of the scores and the generator: the same twice, whatever torch's own state."""
    for options, sampler in _samplers(subject):
        logits = torch.stack([EXTREMES["all equal"]] * 8)
        first = _draw(sampler, logits.clone())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            hold(torch.equal(first, _draw(sampler, logits.clone())), f"{options}it draws otherwise a second time")


@check("temperature-zero", "sampler")
def temperature_zero(subject: Subject) -> None:
    """Where it has a `temperature`, 0 takes the likeliest token."""
    if "temperature" not in {slot.key for slot in declaration_of(subject.cls).slots.values()}:
        no_promise("it has no `temperature`")
    try:
        sampler = subject.by_itself(temperature=0.0).build()
    except SpecError as error:
        refuses(error, "`temperature: 0.0`")
        no_promise(error.diagnostics[0].message)
    ids = _draw(sampler, torch.stack([EXTREMES["plain"], EXTREMES["plain"].flip(0)]))
    hold(ids.tolist() == [VOCABULARY - 1, 0], f"at temperature 0 it draws {ids.tolist()}, not the likeliest tokens")


def _samplers(subject: Subject) -> list[tuple[str, object]]:
    declaration = declaration_of(subject.cls)
    found: list[tuple[str, object]] = [("", subject.by_itself().build())]
    for field, slot in declaration.slots.items():
        for value in fitting(slot, of_type(declaration.types[field])) if isinstance(slot, Option) else ():
            found.append((f"with `{slot.key}: {value}` ", subject.by_itself(**{slot.key: value}).build()))
    return found


@check("questions", "benchmark")
def questions(subject: Subject) -> None:
    """Each item has two different choices or more, and says which of them is right.

    There are as many as are asked for or a few less, or one set of rows that is never divided.
    """
    items = _items(subject, FEW)
    fits = 1 <= len(items) <= FEW or is_a_set(subject.component, items)
    hold(fits, f"{FEW} rows were asked for, and {len(items)} came")
    for item in items:
        where = f"of row {item.row}"
        hold(len(set(item.pairs)) == len(item.choices), f"{where} two choices are the same")
        hold(all(item.choices), f"{where} a choice is empty")


def is_a_set(benchmark: Any, items: list[Item]) -> bool:
    """Whether items are one set of several that are never divided.

    Draws of a single row give such sets, which have all rows in common or none. That of the seed 0 is the one at hand,
    for what is drawn for fewer rows is part of what is drawn for more.
    """
    one, *others = ({item.row for item in benchmark.items(1, seed)} for seed in SEEDS)
    is_part = 0 < len(items) < len(benchmark.items(0, 0))
    return is_part and one == {item.row for item in items} and all(one == other or not one & other for other in others)


def _items(subject: Subject, count: int) -> list[Item]:
    """Some items, each of which is one."""
    items: list[Item] = subject.made(subject.component.items, count, 0)
    for item in items:
        fault = fault_of(item)
        hold(fault is None, f"of row {getattr(item, 'row', '?')}, {fault}")
    return items


@check("drawn-rows", "benchmark")
def drawn_rows(subject: Subject) -> None:
    """The rows that are asked depend on their number and the seed alone, are different ones, and 0 means all."""
    component, whole = subject.component, _items(subject, 0)
    by_row = {item.row: item for item in whole}
    hold(whole, "0 rows were asked for, which means all, and none came")
    hold(len(by_row) == len(whole), f"of all rows, {len(whole)}, only {len(by_row)} differ")
    half = len(whole) // 2 or 1
    items = component.items(half, 0)
    hold(component.items(half, 0) == items, "from the same seed, other rows are drawn")
    hold(len({item.row for item in items}) == len(items), "a row is drawn twice")
    hold(all(by_row.get(item.row) == item for item in items), "an item that was drawn is not among all")
    differ = (component.items(half, seed) != items for seed in SEEDS)
    hold(items == whole or any(differ), "another seed draws the same rows")  # there may be one set, or one row
    hold(component.items(len(whole) + 1, 1) == whole, "more rows than there are were asked for, and not all came")


@check("takes-part", "hook")
def takes_part(subject: Subject) -> None:
    """It implements a moment of a run at least, as `@hook` marks it; without that mark a method is never called."""
    hold(moments_of(subject.cls), f"it implements no moment of a run; there are {', '.join(moments())}")
