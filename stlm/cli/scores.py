"""The results of an evaluation as tables that a person enjoys reading."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stlm.cli.arguments import put, to_stdout
from stlm.components.benchmark.measures import ACC, BESIDE, FURTHER, MEASURES, Measure

_LEAST_WIDTH = 60
"""Columns of a terminal below which numbers would be cut; narrower than that, lines are broken by the terminal."""


def print_evaluation(results: dict[str, Any]) -> None:
    """Print what ``stlm eval --json`` holds to stdout."""
    console = Console(highlight=False)
    console.width = max(console.width, _LEAST_WIDTH)
    with to_stdout(), console.capture() as page:  # rich writes there even so
        step = f"  [dim]step {results['step']:,}[/]" if results["step"] else ""  # a model that others trained has none
        console.print(f"[bold]{_plain(results['run'])}[/]{step}", soft_wrap=True)
        absent = results.get("absent", {})
        if "benchmarks" in results or absent:
            console.print()
            console.print(_benchmarks(results.get("benchmarks", {}), absent))
        for line in _remarks(results):
            console.print(line, style="dim", markup=False)
        if "text_modeling" in results:
            console.print()
            console.print(_texts(results["text_modeling"]))
        if "dataset_loss" in results:
            console.print()
            console.print(_loss(results["dataset_loss"]))
    put(page.get(), nl=False)


def _benchmarks(benchmarks: dict[str, Any], absent: Iterable[str]) -> Table:
    """Lay out scores, a line a benchmark, and below it one for each further score that it has."""
    table = _table("benchmark")
    for name in (ACC.label, "±", *(measure.label for measure in BESIDE), "chance", "rows"):
        table.add_column(name, justify="right")
    for name, scores in benchmarks.items():
        table.add_row(_plain(name), *_scores(scores, ACC), f"{scores['num_samples']:,}")
        for measure in FURTHER:
            if measure.name in scores:
                table.add_row(f"  {measure.label}", *_scores(scores, measure))
    for name in absent:
        table.add_row(_plain(name), "absent", style="dim")
    return table


def _scores(scores: dict[str, Any], measure: Measure) -> tuple[str, ...]:
    """Say a score, its standard error, those beside it, and chance, with a mark where that may be all it is."""
    beside = [scores.get(other.name) if measure is ACC else None for other in BESIDE]
    shares = [scores[measure.name], scores.get(measure.stderr), *beside, scores.get("chance")]
    *said, chance = map(_percent, shares)
    return *said, f"≈{chance}" if scores.get(measure.at_chance) else chance


def _remarks(results: dict[str, Any]) -> Iterator[str]:
    """Say what a number alone does not: that it may be chance, what was cut, and how it was measured."""
    benchmarks = results.get("benchmarks", {})
    if any(scores.get(measure.at_chance) for scores in benchmarks.values() for measure in MEASURES):
        yield "≈ cannot be told from chance: look at bits per byte"
    cut = {name: scores["truncated"] for name, scores in benchmarks.items() if scores.get("truncated")}
    if cut:
        listed = ", ".join(f"{count:,} of {name}" for name, count in cut.items())
        yield f"cut from the left, for they are longer than the window: {listed}"
    if any("method" in part for part in (*benchmarks.values(), results.get("text_modeling", {}))):
        yield "by pseudo-log-likelihood, for the model sees what follows"
    if "rows_per_second" in results:
        yield f"{results['rows_per_second']:,.1f} rows a second"


def _texts(text: dict[str, Any]) -> Table:
    """Lay out how well text is modelled: all passages, each topic, each difficulty, the run's own."""
    table = _table("text")
    for name in ("bits per byte", "bytes right"):
        table.add_column(name, justify="right")
    if "bits_per_byte" in text:
        table.add_row("[bold]all passages[/]", *_of_text(text))
    for key in ("by_topic", "by_difficulty"):
        if text.get(key):
            table.add_row(f"[dim]{key.replace('_', ' ')}[/]")
        for name, numbers in text.get(key, {}).items():
            table.add_row(f"  {_plain(name.replace('_', ' '))}", *_of_text(numbers))
    if "held_out" in text:
        table.add_row("held-out text", *_of_text(text["held_out"]))
    return table


def _of_text(numbers: dict[str, Any]) -> tuple[str, str]:
    return f"{numbers['bits_per_byte']:.3f}", _percent(numbers["byte_accuracy"])


def _loss(loss: dict[str, Any]) -> str:
    said = [f"held-out loss [bold]{loss['loss']:.4f}[/]", f"perplexity {loss['perplexity']:,.2f}"]
    if "bits_per_byte" in loss:
        said.append(f"{loss['bits_per_byte']:.3f} bits per byte")
    if "unigram_loss" in loss:
        said.append(f"unigram {loss['unigram_loss']:.4f}")
    return ", ".join(said)


def _table(first: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold")
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _plain(text: object) -> str:
    """Show a name as it is, whatever brackets are in it."""
    return escape(str(text))
