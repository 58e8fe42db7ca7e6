"""Whether stlm's own sets tell a trained model from an untrained one of the same make, and how surely.

    python tests/benchmarks/telling_apart.py RUN_OR_FOLDER [--untrained N] [--names NAME ...] [--json FILE]

Scores a run, a checkpoint or a Hugging Face folder on all rows of the four sets, and `N` models of the same spec as
they are before training. For each set, whole and by difficulty, and for each score: what the untrained ones score
(their mean), what the trained one does, and p, the chance of a score like this if training had taught nothing. That is
a paired permutation test with one side: in each set of rows that share their choices, and so depend on each other, any
of the models might as well have been the trained one.

Measured, `acc_centered` on all rows and on the easy ones, with p against three untrained models. First, llama2.c's
stories260K, a Llama of 0.26M parameters trained on TinyStories; then a model of 9.6M (12 layers, 256 wide, 3,072
tokens) after 2.5M tokens of children's stories, a hundredth of what it should have.

    arc_easy     0.332 p 0.0001   easy 0.397 p 0.0002   |   0.299 p 0.033   easy 0.315 p 0.21
    hellaswag    0.378 p 0.0001   easy 0.430 p 0.0001   |   0.302 p 0.022   easy 0.331 p 0.025
    truthful_qa  0.313 p 0.0001   easy 0.396 p 0.0008   |   0.287 p 0.032   easy 0.360 p 0.0016
    winogrande   0.577 p 0.042    easy 0.750 p 0.0003   |   0.548 p 0.085   easy 0.663 p 0.0022

(The second model's plain `acc` on winogrande is 0.524 with p 0.012, on the easy rows 0.587 with p 0.0009.)
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from stlm.compiler import compile
from stlm.evaluation.multiple_choice import score_items
from stlm.evaluation.read_benchmarks import read_items
from stlm.evaluation.scores import right_by_score, sets_of
from stlm.evaluation.subject import Subject
from stlm.experiments.evaluate import load_model
from stlm.registry import make_component
from tests.components.benchmark.cues import SETS

SCORES = ("acc", "acc_norm", "acc_centered")
DRAWS = 20_000
Right = dict[str, np.ndarray]


@attrs.frozen
class Line:
    """One line of the table; ``untrained`` is a mean."""

    benchmark: str
    rows: str
    count: int
    score: str
    untrained: float
    trained: float
    p: float


def p_value(trained: np.ndarray, untrained: np.ndarray, sets: np.ndarray, seed: int = 0) -> float:
    """Return how often the trained model's number of right answers comes of chance, if each set may swap its models.

    Shapes: ``trained`` and ``sets``, the number of the set of each row, (rows,), and ``untrained`` (models, rows). What
    is observed counts as one of the draws, so that the least p is 1 / (`DRAWS` + 1).
    """
    of_sets = np.array([np.bincount(sets, weights=right) for right in (trained, *untrained)])
    drawn = np.random.default_rng(seed).integers(len(of_sets), size=(DRAWS, of_sets.shape[1]))
    sums = np.take_along_axis(of_sets, drawn, axis=0).sum(axis=1)
    return float(((sums >= trained.sum() - 1e-9).sum() + 1) / (DRAWS + 1))


def answered(subject: Subject, items: Sequence[Any]) -> Right:
    """Say which items a model answers right, by each score: (rows,), 1 or 0."""
    _, answers = score_items(subject, items)
    return {name: np.array(right, dtype=float) for name, right in right_by_score(items, answers).items()}


def subjects(path: str, count: int) -> tuple[Subject, list[Subject]]:
    """Load the trained model, and draw the weights of untrained ones, from the seeds 0, 1 and so on."""
    run = load_model(path, device="cpu")
    trained, spec = Subject.of(run.program, run.tokenizer), run.spec
    seeds = [attrs.evolve(spec, general=attrs.evolve(spec.general, seed=seed)) for seed in range(count)]
    return trained, [attrs.evolve(trained, model=compile(one, "cpu").model.eval()) for one in seeds]


def lines(name: str, items: Sequence[Any], trained: Right, untrained: Sequence[Right]) -> Iterator[Line]:
    """Compare on all rows of a set, and on those of each difficulty."""
    numbers = np.zeros(len(items), dtype=int)
    for number, rows in enumerate(sets_of(items) or ()):
        numbers[rows] = number
    groups = np.array([item.group for item in items])
    for rows in ("all", *sorted(set(groups))):
        chosen = groups == rows if rows != "all" else np.ones(len(items), dtype=bool)
        for score in SCORES:
            after, before = trained[score][chosen], np.array([one[score][chosen] for one in untrained])
            p = p_value(after, before, numbers[chosen])
            yield Line(name, rows, int(chosen.sum()), score, float(before.mean()), float(after.mean()), p)


def compared(path: str, count: int, names: Sequence[str]) -> Iterator[Line]:
    """Score every model on every set, and compare."""
    trained, untrained = subjects(path, count)
    for name in names:
        items = read_items(make_component("benchmark", name), 0)
        yield from lines(name, items, answered(trained, items), [answered(one, items) for one in untrained])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="a run, a checkpoint or a Hugging Face folder")
    parser.add_argument("--untrained", type=int, default=3, metavar="N", help="how many untrained models (3)")
    parser.add_argument("--names", nargs="+", default=SETS, metavar="NAME", help="the sets (all four)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the lines there too")
    asked = parser.parse_args()
    print(f"{'benchmark':<24}{'rows':<8}{'':>5}  {'score':<13}{'untrained':>10}{'trained':>9}{'p':>9}")
    told = []
    for line in compared(asked.path, asked.untrained, asked.names):
        told.append(attrs.asdict(line))
        shares = f"{line.untrained:>10.3f}{line.trained:>9.3f}{line.p:>9.5f}"
        print(f"{line.benchmark:<24}{line.rows:<8}{line.count:>5}  {line.score:<13}{shares}", flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
