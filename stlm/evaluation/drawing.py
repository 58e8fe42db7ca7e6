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
    stream, members = _stream(seed), dict[Hashable, list[int]]()
    for row in rows:
        members.setdefault(groups[row], []).append(row)
    shuffled = list(members.values())
    stream.shuffle(shuffled)
    for each in shuffled:
        stream.shuffle(each)
    in_turn = chain.from_iterable(zip_longest(*shuffled))
    return sorted(islice((row for row in in_turn if row is not None), num_samples))


def _stream(seed: int) -> random.Random:
    return random.Random(derive_seed(seed, "rows of a benchmark"))
