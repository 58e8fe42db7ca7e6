"""Samplers, benchmarks and hooks that break a promise."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stlm.components.benchmark.questions import Questions
from stlm.evaluation.items import Item
from stlm.registry import component, non_negative, option, rule
from tests.testing.faults import caught_by

_numbers = itertools.count()


def sampler(draw: Callable[..., Any]) -> type:
    """A sampler that a function of scores, history, generator and temperature is."""

    @component("sampler", "broken")
    class Broken:
        """A sampler in which something is wrong."""

        temperature: float = option(non_negative, default=1.0, doc="Divides the scores; 0 takes the likeliest.")

        def build(self) -> Any:
            return lambda logits, history, generator: draw(logits, generator, self.temperature)

    return Broken


def benchmark(
    draw: Any, gold: int = 0, choices: Callable[[int], Any] = lambda row: (str(row + 1), "no"), whole: Any = None
) -> type:
    """A benchmark of 50 rows, of which a function draws; ``whole`` are those that it gives where all are asked for."""

    @component("benchmark", "broken")
    class Broken:
        """Questions of which something is wrong."""

        def items(self, num_samples: int, seed: int) -> list[Any]:
            rows = range(50)
            few = 0 < num_samples < len(rows)
            drawn = sorted(draw(rows, num_samples, seed)) if few else rows if whole is None else whole(num_samples)
            return [Item(row, f"{row},", choices(row), gold) for row in drawn]

    return Broken


def sampled(rows: Any, count: int, seed: int) -> list[int]:
    """Draw as it should be."""
    return random.Random(seed).sample(rows, count)


@caught_by("questions", "its answer is 2, and its 2 choices are 0 to 1")
def benchmark_whose_answer_is_no_choice() -> type:
    return benchmark(lambda rows, count, seed: random.Random(seed).sample(rows, count), gold=2)


@caught_by("drawn-rows", "another seed draws the same rows")
def benchmark_that_takes_the_first_rows() -> type:
    return benchmark(lambda rows, count, seed: rows[:count])


@caught_by("questions", "5 rows were asked for, and 50 came")
def benchmark_that_always_asks_everything() -> type:
    return benchmark(lambda rows, count, seed: rows)


@caught_by("drawn-rows", "from the same seed, other rows are drawn")
def benchmark_that_draws_anew_each_time() -> type:
    return benchmark(lambda rows, count, seed: random.Random(next(_numbers)).sample(rows, count))


@caught_by("drawn-rows", "a row is drawn twice")
def benchmark_that_draws_with_replacement() -> type:
    return benchmark(lambda rows, count, seed: [seed, seed, *random.Random(seed).sample(rows, count - 2)])


@caught_by("draws-ids", "where scores are `one impossible`, it draws a token that is impossible")
def sampler_that_draws_the_least_likely() -> type:
    return sampler(lambda logits, generator, temperature: logits.argmin(dim=-1))


@caught_by("draws-from-its-generator", "it draws otherwise a second time")
def sampler_that_draws_from_torch() -> type:
    return sampler(lambda logits, generator, temperature: torch.multinomial(logits.softmax(-1), 1).squeeze(1))


@caught_by("temperature-zero", "at temperature 0 it draws")
def sampler_that_is_never_sure() -> type:
    def warm(logits: Tensor, generator: Any, temperature: float) -> Tensor:
        return torch.multinomial((0 * logits).softmax(-1), 1, generator=generator).squeeze(1)

    return sampler(warm)


@caught_by("takes-part", "it implements no moment of a run")
def hook_that_is_never_called() -> type:
    @component("hook", "broken")
    class Broken:
        """A hook in which something is wrong."""

        def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
            metrics["one"] = 1.0

    return Broken


@caught_by("draws-ids", "it changes the scores that it is given")
def sampler_that_writes_into_the_scores() -> type:
    return sampler(lambda logits, generator, temperature: logits.nan_to_num_(neginf=-1e9).argmax(dim=-1))


@caught_by("draws-ids", "it draws (10, 1) torch.int64")
def sampler_that_keeps_an_axis() -> type:
    return sampler(lambda logits, generator, temperature: logits.argmax(dim=-1, keepdim=True))


@caught_by("draws-ids", "it draws id 40 of 40")
def sampler_that_counts_from_one() -> type:
    return sampler(lambda logits, generator, temperature: logits.argmax(dim=-1) + 1)


@caught_by("questions", "it has a single choice, and must have two or more")
def benchmark_of_a_single_choice() -> type:
    return benchmark(sampled, choices=lambda row: (str(row),))


@caught_by("questions", "two choices are the same")
def benchmark_whose_choices_are_one() -> type:
    return benchmark(sampled, choices=lambda row: ("yes", "yes"))


@caught_by("questions", "a choice is empty")
def benchmark_with_an_empty_choice() -> type:
    return benchmark(sampled, choices=lambda row: ("yes", ""))


@caught_by("questions", "its choices must be a tuple of strings")
def benchmark_whose_choices_are_numbers() -> type:
    return benchmark(sampled, choices=lambda row: (1, 2))


def _of_plain_dicts() -> type:
    @component("benchmark", "broken")
    class Broken:
        """Questions of which something is wrong."""

        def items(self, num_samples: int, seed: int) -> list[Any]:
            return [{"row": 0, "context": "1,", "choices": ["2", "3"], "gold": 0}]

    return Broken


@caught_by("questions", "of row ?, it is dict, and must be an `Item`")
def benchmark_of_plain_dicts() -> type:
    return _of_plain_dicts()


@caught_by("drawn-rows", "of row ?, it is dict, and must be an `Item`")
def benchmark_that_draws_plain_dicts() -> type:
    return _of_plain_dicts()


@caught_by("drawn-rows", "of all rows, 100, only 50 differ")
def benchmark_that_asks_everything_twice() -> type:
    return benchmark(sampled, whole=lambda count: [*range(50), *range(50)])


@caught_by("drawn-rows", "an item that was drawn is not among all")
def benchmark_whose_whole_is_a_half() -> type:
    return benchmark(lambda rows, count, seed: sampled(range(25), count, seed), whole=lambda count: range(25, 50))


@caught_by("drawn-rows", "more rows than there are were asked for, and not all came")
def benchmark_that_gives_nothing_where_there_are_too_few() -> type:
    return benchmark(sampled, whole=lambda count: range(50) if count == 0 else [])


@caught_by("questions", "5 rows were asked for, and 25 came")
def benchmark_that_always_asks_a_half() -> type:
    return benchmark(lambda rows, count, seed: random.Random(seed).sample(rows, 25))


@caught_by("drawn-rows", "0 rows were asked for, which means all, and none came")
def benchmark_to_which_0_means_none() -> type:
    return benchmark(sampled, whole=lambda count: [])


def _that_asks_by(items: Callable[[], Any]) -> type:
    @component("benchmark", "broken")
    class Broken:
        """Questions of which something is wrong."""

        def items(self, num_samples: int, seed: int) -> list[Any]:
            return items()

    return Broken


@caught_by("questions", "KeyError: 'answer' (broken_choosing.py:")
def benchmark_that_asks_for_a_column_that_is_not_there() -> type:
    return _that_asks_by(lambda: [{"question": "1,"}["answer"]])


@caught_by("drawn-rows", "IndexError: list index out of range (broken_choosing.py:")
def benchmark_that_asks_for_a_row_that_is_not_there() -> type:
    return _that_asks_by(lambda: [[][0]])


@caught_by("questions", "KeyError: 'answer' (broken_choosing.py:")
def benchmark_whose_question_asks_for_a_column_that_is_not_there() -> type:
    @component("benchmark", "broken")
    class Broken(Questions):
        """Questions of which something is wrong."""

        def rows(self) -> Any:
            return [{"question": f"{row},"} for row in range(50)]

        def question(self, row: Any) -> Any:
            return row["question"], (row["answer"], "no"), 0

    return Broken


@caught_by("temperature-zero", "failed in `is_sharp`: KeyError: 0.0")
def sampler_whose_rule_fails_at_zero() -> type:
    @component("sampler", "broken")
    class Broken:
        """A sampler in which something is wrong."""

        temperature: float = option(non_negative, default=1.0, doc="Divides the scores; 0 takes the likeliest.")

        @rule("temperature")
        def is_sharp(temperature: float) -> str | None:
            """It is as sharp as the table says."""
            return {1.0: None}[temperature]

        def build(self) -> Any:
            return lambda logits, history, generator: logits.argmax(dim=-1)

    return Broken
