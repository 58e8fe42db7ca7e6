"""Which rows of a benchmark are asked: the same for every model, whatever it is."""

import random
from collections.abc import Hashable, Sequence
from itertools import chain, islice, zip_longest

from stlm.spec.seeds import derive_seed


def drawn_rows(count: int, num_samples: int, seed: int) -> list[int]:
    """Draw rows out of ``count``, without replacement, in the order of their indices; 0, or too many, means all.

    Each row has the same chance. What is drawn for a smaller number is part of what is drawn for a larger one.
    """
    rows = list(range(count))
    if not 0 < num_samples < count:
        return rows
    _stream(seed).shuffle(rows)
    return sorted(rows[:num_samples])


def drawn_evenly(groups: Sequence[Hashable], num_samples: int, seed: int) -> list[int]:
    """Draw rows, each of which belongs to one of the ``groups``: as many of each, as far as that goes.

    Groups that have no more rows leave their share to the others. Otherwise as `drawn_rows`.
    """
    rows = range(len(groups))
    if not 0 < num_samples < len(groups):
        return list(rows)
    stream = _stream(seed)
    shuffled = _shuffled(groups, stream)
    for each in shuffled:
        stream.shuffle(each)
    in_turn = chain.from_iterable(zip_longest(*shuffled))
    return sorted(islice((row for row in in_turn if row is not None), num_samples))


def drawn_sets(sets: Sequence[Hashable], num_samples: int, seed: int) -> list[int]:
    """Draw rows, each of which belongs to one of the ``sets``: all rows of a set, or none.

    They are ``num_samples`` or a few less, and those of one set where none would fit. The draw ends with the first set
    that no longer fits: filling the rest with smaller sets would favor these, and a draw for a smaller number would not
    be part of one for a larger. Otherwise as `drawn_rows`, with sets for rows.
    """
    if not 0 < num_samples < len(sets):
        return list(range(len(sets)))
    first, *others = _shuffled(sets, _stream(seed))
    rows = first
    for each in others:
        if len(rows) + len(each) > num_samples:
            break
        rows = rows + each
    return sorted(rows)


def _shuffled(groups: Sequence[Hashable], stream: random.Random) -> list[list[int]]:
    """List the groups, as the rows of each, in a random order."""
    members: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    shuffled = list(members.values())
    stream.shuffle(shuffled)
    return shuffled


def _stream(seed: int) -> random.Random:
    return random.Random(derive_seed(seed, "rows of a benchmark"))
