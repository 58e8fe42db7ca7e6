"""Multiple choice: the choice that the model holds for the likeliest continuation of the context is its answer."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from stlm.evaluation.items import Item
from stlm.evaluation.likelihood import Scored, score_requests
from stlm.evaluation.pseudo_likelihood import METHOD
from stlm.evaluation.requests import encode_pairs
from stlm.evaluation.scores import Answer, scores_of
from stlm.evaluation.subject import Subject

MOST_SHOWN = 600
"""Characters of a context that its record has, which are the last."""


def score_items(
    subject: Subject, items: Sequence[Item], *, by_group: bool = False, told: Callable[[float], None] | None = None
) -> tuple[dict[str, Any], list[Answer]]:
    """Return a benchmark's scores (see `scores_of`), and the answer to each item.

    ``method`` says where the log-likelihoods are others than those of reading from left to right. ``told`` is given the
    share of the work that is done.
    """
    forms = [form for item in items for form in (item, item.text) if form is not None]
    requests = encode_pairs(subject.tokenizer, [pair for form in forms for pair in form.pairs], subject.opening)
    scored = iter(score_requests(subject, requests, with_greedy=False, told=told))
    answers = [_answer(item, scored) for item in items]
    scores = scores_of(items, answers, by_group=by_group)
    return scores | ({"method": METHOD} if subject.sees_answers else {}), answers


def _answer(item: Item, scored: Iterator[Scored]) -> Answer:
    own = list(islice(scored, len(item.choices)))
    text = None if item.text is None else list(islice(scored, len(item.text.choices)))
    cut = any(one.cut for one in (*own, *(text or ())))
    return Answer(_values(own), None if text is None else _values(text), cut)


def _values(scored: Sequence[Scored]) -> list[float]:
    return [one.log_likelihood for one in scored]


def record_of(benchmark: str, item: Item, answer: Answer) -> dict[str, Any]:
    """Return what a person or a program may want to know of one row.

    A long context lost its beginning, and ``context_cut`` says so: where each choice has its own, of each.
    """
    shared = isinstance(item.context, str)
    contexts = (item.context,) if isinstance(item.context, str) else item.context
    shown, cut = [context[-MOST_SHOWN:] for context in contexts], [len(context) > MOST_SHOWN for context in contexts]
    record: dict[str, Any] = {"benchmark": benchmark, "row": item.row, "gold": item.gold}
    record["log_likelihoods"] = answer.log_likelihoods
    if answer.of_text is not None and item.text is not None:
        record |= {"log_likelihoods_text": answer.of_text, "choices_text": list(item.text.choices)}
    record |= {"context": shown[0] if shared else shown, "choices": list(item.choices)}
    return record | ({"context_cut": cut[0] if shared else cut} if any(cut) else {})
