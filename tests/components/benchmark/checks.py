"""What must be true of a shipped set and of its card; each check gives a line for each thing that is not so."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from itertools import combinations
from typing import Any

import attrs

from tests.components.benchmark.cues import TOLERANCE, chance, cues, question_of, rows_of, words

Row = dict[str, Any]

FEWEST_ROWS = 250
FEWEST_EASY_ROWS = 150
ALIKE = 0.75  # of the words of two questions, so many are in both: one is taken for the other said again
ABOUT = {"topic": str, "difficulty": str}
FORMS: dict[str, dict[str, type]] = {
    "question": {"id": str, "question": str, "choices": list, "gold": int, **ABOUT},
    "context": {"id": str, "context": str, "endings": list, "gold": int, **ABOUT},
    "sentence": {"id": str, "sentence": str, "option1": str, "option2": str, "answer": str, **ABOUT},
}
DIFFICULTIES = ("easy", "medium")


@attrs.frozen
class Shipped:
    """A set: its rows and its card."""

    rows: Sequence[Row]
    card: str

    @classmethod
    def read(cls, name: str) -> "Shipped":
        """Read what is shipped by that name."""
        card = resources.files("stlm.components.benchmark") / "shipped" / f"{name}.md"
        return cls(rows_of(name), card.read_text(encoding="utf-8"))


def choices_of(row: Row) -> list[str]:
    """Give a row's choices, in its order."""
    return list(question_of(row).choices)


def groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Give the rows that belong together: twins, or all that have the same choices."""
    found = defaultdict(list)
    for row in rows:
        found[row["id"][:-1] if "sentence" in row else tuple(sorted(choices_of(row)))].append(row)
    return list(found.values())


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    """Give every run of that many words."""
    all_words = words(text)
    return {tuple(all_words[i : i + length]) for i in range(len(all_words) - length + 1)}


def form(shipped: Shipped) -> Iterator[str]:
    """A row has the keys of its set, in their order and of their types, and none is empty."""
    keys = next(keys for first, keys in FORMS.items() if first in shipped.rows[0])
    for row in shipped.rows:
        if {key: type(value) for key, value in row.items()} != keys or list(row) != list(keys):
            yield f"{row['id']}: {row}"
        elif not all(text.strip() == text != "" for text in _texts(row)):
            yield f"{row['id']}: blanks"
        elif question_of(row).gold not in range(len(choices_of(row))):
            yield f"{row['id']}: no such choice"


def _texts(row: Row) -> Iterator[str]:
    for value in row.values():
        if not isinstance(value, int):
            yield from [value] if isinstance(value, str) else value


def size(shipped: Shipped) -> Iterator[str]:
    """There are rows enough, and easy ones among them."""
    easy = sum(row["difficulty"] == "easy" for row in shipped.rows)
    if len(shipped.rows) < FEWEST_ROWS or easy < FEWEST_EASY_ROWS:
        yield f"{len(shipped.rows)} rows, {easy} of them easy"


def ids(shipped: Shipped) -> Iterator[str]:
    """No two rows have one id."""
    yield from (one for one, n in Counter(row["id"] for row in shipped.rows).items() if n > 1)


def plain_text(shipped: Shipped) -> Iterator[str]:
    """All is ASCII, with straight quotes and single blanks."""
    for row in shipped.rows:
        if not re.fullmatch(r"[ -~]*", json.dumps(row, ensure_ascii=False)) or "  " in json.dumps(row):
            yield row["id"]


def distinct_choices(shipped: Shipped) -> Iterator[str]:
    """The choices of a row are different words, not one in two spellings."""
    for row in shipped.rows:
        if len({tuple(words(choice)) for choice in choices_of(row)}) < len(choices_of(row)):
            yield row["id"]


def distinct_questions(shipped: Shipped) -> Iterator[str]:
    """No question is asked twice, nor, but among rows that belong together, in nearly the same words."""
    asked = [
        (n, row["id"], words(question_of(row).context), {*words(question_of(row).context)})
        for n, rows in enumerate(groups(shipped.rows))
        for row in rows
    ]
    for (group, one, text, first), (other_group, other, other_text, second) in combinations(asked, 2):
        alike = group != other_group and len(first & second) >= ALIKE * len(first | second)
        if alike or text == other_text:
            yield f"{one}, {other}"


def no_cues(shipped: Shipped) -> Iterator[str]:
    """Whoever understands nothing scores what guessing scores, on all rows and on those of each difficulty."""
    for part in (DIFFICULTIES, *((one,) for one in DIFFICULTIES)):
        questions = [question_of(row) for row in shipped.rows if row["difficulty"] in part]
        for way, value in cues(questions).items() if questions else ():
            if abs(value - chance(questions)) > TOLERANCE:
                yield f"{' and '.join(part)}, {way}: {value:.3f}"


def whole_groups(shipped: Shipped) -> Iterator[str]:
    """Rows that share their choices follow each other, and more than one of the choices is right for some row."""
    order = [row["id"] for row in shipped.rows]
    for rows in groups(shipped.rows):
        if order[order.index(rows[0]["id"]) :][: len(rows)] != [row["id"] for row in rows]:
            yield f"{rows[0]['id']}: its group is scattered"
        if len({choices_of(row)[question_of(row).gold] for row in rows}) < 2:
            yield f"{rows[0]['id']}: one choice is always right"


def difficulties(shipped: Shipped) -> Iterator[str]:
    """Rows that belong together are of one difficulty, and that is one of these."""
    for rows in groups(shipped.rows):
        found = {row["difficulty"] for row in rows}
        if len(found) > 1 or not found <= set(DIFFICULTIES):
            yield f"{rows[0]['id']}: {', '.join(sorted(found))}"


def full_groups(shipped: Shipped) -> Iterator[str]:
    """Rows that share their choices are as many as these, each is right once, and the right one once in each place."""
    for rows in groups(shipped.rows):
        choices = choices_of(rows[0])
        if sorted(choices_of(row)[question_of(row).gold] for row in rows) != sorted(choices):
            yield f"{rows[0]['id']}: not each of the choices is right once"
        if sorted(question_of(row).gold for row in rows) != list(range(len(choices))):
            yield f"{rows[0]['id']}: the right choice is not once in each place"


def gap(shipped: Shipped) -> Iterator[str]:
    """A sentence has one gap; both of what may fill it are named before, once, and not after; and something follows."""
    for row in shipped.rows:
        before, *after = row["sentence"].split("_")
        if len(after) != 1 or not words(after[0]):
            yield f"{row['id']}: the gap"
            continue
        for option in (row["option1"], row["option2"]):
            counts = [len(re.findall(rf"\b{re.escape(option)}\b", part)) for part in (before, after[0])]
            if counts != [1, 0]:
                yield f"{row['id']}: {option}"


def twins(shipped: Shipped) -> Iterator[str]:
    """Two rows are one sentence up to the gap, and differ after it in at most two neighboring words and the answer."""
    for rows in groups(shipped.rows):
        if [row["id"][-1] for row in rows] != ["a", "b"]:
            yield f"{rows[0]['id']}: no twin"
            continue
        (before, after), (other_before, other_after) = (row["sentence"].split("_")[:2] for row in rows)
        same = [rows[0][key] == rows[1][key] for key in ("option1", "option2", "topic")]
        places = _differing(after.split(), other_after.split())
        if before != other_before or not all(same) or rows[0]["answer"] == rows[1]["answer"] or not 1 <= places <= 2:
            yield f"{rows[0]['id']}, {rows[1]['id']}"


def _differing(first: list[str], second: list[str]) -> int:
    """Count the words between those with which both begin and those with which both end."""
    while first and second and first[0] == second[0]:
        first, second = first[1:], second[1:]
    while first and second and first[-1] == second[-1]:
        first, second = first[:-1], second[:-1]
    return max(len(first), len(second))


def card_counts(shipped: Shipped) -> Iterator[str]:
    """The card says how many rows there are, how many belong together, and how many of each topic and difficulty."""
    together = len(groups(shipped.rows))
    counted = {rf"(?m)^{len(shipped.rows)} ", rf"\b{together} (sets|groups|pairs)\b"}
    counted |= {
        rf"\b{re.escape(of)}( \|)? {n}\b"
        for key in ABOUT
        for of, n in Counter(row[key] for row in shipped.rows).items()
    }
    yield from sorted(pattern for pattern in counted if not re.search(pattern, shipped.card))


def card_cues(shipped: Shipped) -> Iterator[str]:
    """The card has a table of what each way of choosing scores: the least, and the most of the places."""
    measured = cues([question_of(row) for row in shipped.rows])
    places = {f"{value:.3f}" for way, value in measured.items() if way.startswith("choice ")}
    expected = {way: f"{value:.3f}" for way, value in measured.items() if not way.startswith("choice ")}
    expected["each place"] = " to ".join(sorted({min(places), max(places)}))
    table = re.search(r"^\| longest \|.*\n\|[-| ]+\|\n\|.*$", shipped.card, flags=re.MULTILINE)
    head, _, values = table.group().split("\n") if table else ("", "", "")
    said = dict(zip(_cells(head), _cells(values), strict=True))
    yield from (
        f"{way}: {said.get(way)}, measured {value}" for way, value in expected.items() if said.get(way) != value
    )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def card_examples(shipped: Shipped) -> Iterator[str]:
    """The rows that the card shows are rows of the set."""
    shown = re.findall(r"^\{.*\}$", shipped.card, flags=re.MULTILINE)
    yield from (line for line in shown or ["none"] if line == "none" or json.loads(line) not in shipped.rows)


Check = Callable[[Shipped], Iterator[str]]
EVERY: tuple[Check, ...] = (
    form,
    size,
    ids,
    plain_text,
    distinct_choices,
    distinct_questions,
    no_cues,
    whole_groups,
    difficulties,
    card_counts,
    card_cues,
    card_examples,
)
CHECKS: dict[str, tuple[Check, ...]] = {
    "stlm_eval_arc_easy": (*EVERY, full_groups),
    "stlm_eval_hellaswag": (*EVERY, full_groups),
    "stlm_eval_truthful_qa": EVERY,
    "stlm_eval_winogrande": (*EVERY, full_groups, gap, twins),
}
