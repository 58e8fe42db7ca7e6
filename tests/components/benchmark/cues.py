"""What the choices of a shipped set give away to one who understands nothing.

    python tests/components/benchmark/cues.py [NAME ...]

Prints, for each set, what is scored by taking the longest choice, the shortest, the one that shares most words with
the context, the likeliest by the frequencies of words, and the first, the second and so on. Ties are shared out. All of
them should be within `TOLERANCE` of chance.
"""

import argparse
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import Any

import attrs

TOLERANCE = 0.05
SETS = ("stlm_eval_arc_easy", "stlm_eval_hellaswag", "stlm_eval_truthful_qa", "stlm_eval_winogrande")


@attrs.frozen
class Question:
    """A row, as one sees it who compares its choices: the words before them, and all that is a choice's own."""

    context: str
    choices: tuple[str, ...]
    gold: int


def rows_of(name: str) -> list[dict[str, Any]]:
    """Read the rows of a shipped set."""
    file = resources.files("stlm.components.benchmark") / "shipped" / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def question_of(row: dict[str, Any]) -> Question:
    """Take a row of any of the sets apart."""
    if "sentence" in row:
        before, after = row["sentence"].split("_")
        return Question(before + after, (row["option1"], row["option2"]), int(row["answer"]) - 1)
    context = row.get("question") or row["context"]
    return Question(context, tuple(row.get("choices") or row["endings"]), row["gold"])


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return re.findall(r"[a-z0-9']+", text.lower())


def score(questions: Sequence[Question], value: Callable[[Question, str], float]) -> float:
    """Return what is scored by taking the choice of the highest value; of equals, each with the same chance."""
    total = 0.0
    for question in questions:
        values = [value(question, choice) for choice in question.choices]
        best = [i for i, one in enumerate(values) if one == max(values)]
        total += (question.gold in best) / len(best)
    return total / len(questions)


def unigram(texts: Iterable[str]) -> Callable[[str], float]:
    """Return the log-probability of a word by how often it occurs in ``texts``, each count raised by one."""
    counts = Counter(word for text in texts for word in words(text))
    total = sum(counts.values()) + len(counts) + 1
    return lambda word: math.log((counts[word] + 1) / total)


def cues(questions: Sequence[Question]) -> dict[str, float]:
    """Return what each way of choosing scores."""
    known = unigram(text for q in questions for text in (q.context, *q.choices))

    def shared(question: Question, choice: str) -> float:
        return len(set(words(choice)) & set(words(question.context)))

    def mean(question: Question, choice: str) -> float:
        return sum(map(known, words(choice))) / max(len(words(choice)), 1)

    found = {
        "longest": score(questions, lambda _, choice: len(choice)),
        "shortest": score(questions, lambda _, choice: -len(choice)),
        "most words": score(questions, lambda _, choice: len(words(choice))),
        "most overlap": score(questions, shared),
        "least overlap": score(questions, lambda q, choice: -shared(q, choice)),
        "unigram, sum": score(questions, lambda _, choice: sum(map(known, words(choice)))),
        "unigram, mean": score(questions, mean),
    }
    for place in range(max(len(q.choices) for q in questions)):
        found[f"choice {place + 1}"] = sum(q.gold == place for q in questions) / len(questions)
    return found


def chance(questions: Sequence[Question]) -> float:
    """Return what guessing scores."""
    return sum(1 / len(q.choices) for q in questions) / len(questions)


def main() -> None:
    """Print what every way of choosing scores on each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=SETS)
    for name in parser.parse_args().names:
        questions = [question_of(row) for row in rows_of(name)]
        by_chance = chance(questions)
        print(f"{name}: {len(questions)} rows, chance {by_chance:.3f}")
        for way, value in cues(questions).items():
            print(f"  {way:<15} {value:.3f}{'' if abs(value - by_chance) <= TOLERANCE else '  <- too far'}")


if __name__ == "__main__":
    main()
