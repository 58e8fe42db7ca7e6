"""What a model reads to answer requests: rows of tokens, in which what texts have in common stands once.

A row is a tree of tokens, laid out depth first. Each token goes on from one before it, and sees that one and those it
goes on from; how far the texts through it reach says who sees it (`stlm.nn.context.Context.reach`). So four choices
cost their context once, and the likelihoods of four first tokens are read off one position. For a network that takes
no branches, a row is one text, and those that begin it.
"""

from collections.abc import Sequence

import attrs

from stlm.evaluation.requests import Request

PAIRS_PER_TOKEN = 256
"""Pairs of a query and a key that cost as much as a token does elsewhere, about: by this, branches are worth it."""
MAX_BRANCHED_TOKENS = 2048
"""Tokens of a row with branches, at most: its mask is the square of that."""

Tokens = tuple[int, ...]


@attrs.define
class Row:
    """Tokens, how deep in its text each stands, and before which place the texts through it end.

    ``asked`` are pairs of a place and a token: how likely is the token, given what is seen at the place? ``hidden`` is
    a place whose token the model is not shown. ``segments`` say which document each token is of, where documents are
    kept apart.
    """

    token_ids: list[int] = attrs.field(factory=list)
    depths: list[int] = attrs.field(factory=list)
    reach: list[int] = attrs.field(factory=list)
    asked: list[tuple[int, int]] = attrs.field(factory=list)
    hidden: int | None = None
    branches: bool = False
    segments: list[int] | None = None


@attrs.frozen
class Plan:
    """The rows, and for each request the numbers of the pairs of which its answer is the sum.

    Pairs are numbered through all rows. ``cut`` says of each request whether its beginning did not fit the window.
    """

    rows: list[Row]
    answers: list[list[int]]
    cut: list[bool]


def plan_rows(requests: Sequence[Request], context_window: int, *, branches: bool) -> Plan:
    """Lay out what a causal model reads; the last token of a continuation is asked for, and not read.

    What is longer than the window loses its beginning; of a continuation longer than the window, its last part counts.
    """
    wholes = [(*request.context, *request.continuation) for request in requests]
    texts = [whole[-(context_window + 1) :] for whole in wholes]
    layout = _Layout(branches)
    answers: list[list[int]] = [[]] * len(texts)
    for index in sorted(range(len(texts)), key=texts.__getitem__):
        answers[index] = layout.add(texts[index], len(requests[index].continuation))
    return Plan(layout.rows, answers, [len(whole) > context_window + 1 for whole in wholes])


class _Layout:
    """Takes texts in their order by tokens, each next to the one with which it has most in common."""

    def __init__(self, branches: bool) -> None:
        self.branches = branches
        self.rows: list[Row] = []
        self.last: Tokens = ()
        self.path: list[int] = []
        """The places of the last text's tokens."""
        self.numbers: dict[tuple[int, int], int] = {}
        """The numbers of the pairs in the last row."""
        self.pairs = 0

    def add(self, text: Tokens, count: int) -> list[int]:
        """Add a text, of which the last ``count`` tokens are asked for; return the numbers of these pairs."""
        inputs = text[:-1]
        common = _common(self.last, inputs)
        if not self.rows or not self._is_worth_it(common, len(inputs)):
            self.rows.append(Row())
            self.path, self.numbers, common = [], {}, 0
        row = self.rows[-1]
        row.branches |= common not in (len(row.token_ids), len(inputs))
        self.path[common:] = range(len(row.token_ids), len(row.token_ids) + len(inputs) - common)
        row.token_ids += inputs[common:]
        row.depths += range(common, len(inputs))
        row.reach += [0] * (len(inputs) - common)
        for place in self.path:
            row.reach[place] = len(row.token_ids)
        self.last = inputs
        first = max(1, len(text) - count)
        return [self._number(row, (self.path[depth - 1], text[depth])) for depth in range(first, len(text))]

    def _is_worth_it(self, common: int, length: int) -> bool:
        """Whether a text of ``length`` goes into the last row, with whose last text it has ``common`` tokens."""
        here = len(self.rows[-1].token_ids)
        if common in (here, length):  # no branch: one goes on where the other ends
            return True
        fits = here + length - common <= MAX_BRANCHED_TOKENS
        return self.branches and fits and common * PAIRS_PER_TOKEN > (length - common) * (here - common)

    def _number(self, row: Row, pair: tuple[int, int]) -> int:
        if pair not in self.numbers:
            self.numbers[pair] = self.pairs
            self.pairs += 1
            row.asked.append(pair)
        return self.numbers[pair]


def _common(one: Tokens, other: Tokens) -> int:
    """Count the tokens with which both begin."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def plan_hidden(requests: Sequence[Request], context_window: int) -> Plan:
    """Lay out what a model reads that sees both sides: a row for each token of a continuation, which is hidden there.

    It is asked for at the position before it (`stlm.evaluation.pseudo_likelihood`). What is longer than the window
    loses its beginning; of a continuation that fills it, all but the first token counts.
    """
    rows: list[Row] = []
    answers: list[list[int]] = []
    known: dict[tuple[Tokens, int], list[int]] = {}
    wholes = [(*request.context, *request.continuation) for request in requests]
    for whole, request in zip(wholes, requests, strict=True):
        text = whole[-context_window:]
        first = max(1, len(text) - len(request.continuation))
        if (text, first) not in known:
            known[text, first] = list(range(len(rows), len(rows) + len(text) - first))
            token_ids, places, ends = list(text), list(range(len(text))), [len(text)] * len(text)
            rows += [
                Row(token_ids, places, ends, asked=[(place - 1, text[place])], hidden=place)
                for place in range(first, len(text))
            ]
        answers.append(known[text, first])
    return Plan(rows, answers, [len(whole) > context_window for whole in wholes])
