"""The report of a program as tables that a person enjoys reading."""

import re
from itertools import groupby

from rich.console import Console
from rich.table import Table

from stlm.cli.arguments import put, to_stdout
from stlm.compiler.report import Report, human, human_bytes

_NUMBER = re.compile(r"\.(\d+)(?=\.|$)")


def print_report(report: Report) -> None:
    """Print a report to stdout."""
    console = Console(highlight=False)
    console.width = max(console.width, 80)  # narrower than that, numbers would be cut
    with to_stdout(), console.capture() as page:  # rich writes there even so
        console.print(f"[bold]{report.run_name}[/]  [dim]{report.digest[:19]}[/]\n")
        console.print(_parameters(report))
        console.print()
        console.print(_costs(report))
        console.print()
        _exports(report, console)
    put(page.get(), nl=False)


def _parameters(report: Report) -> Table:
    counts = report.parameters
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("parameters")
    table.add_column("each", justify="right")
    table.add_column("count", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    for path, times, each in collapsed(counts.by_module):
        count = times * each
        share = count / counts.total if counts.total else 0.0
        repeated = f"{times} × {each:,}" if times > 1 else ""
        table.add_row(path, repeated, f"{count:,}", f"{share:6.1%}", f"[cyan]{'█' * round(share * 20)}[/]")
    table.add_section()
    table.add_row("[bold]total[/]", "", f"[bold]{counts.total:,}[/]", "", human(counts.total))
    if counts.trainable != counts.total:
        table.add_row("trainable", "", f"{counts.trainable:,}", "", human(counts.trainable))
    if counts.active != counts.total:
        table.add_row("active a token", "", f"{counts.active:,}", "", human(counts.active))
    table.add_row("without embeddings", "", f"{counts.non_embedding:,}", "", human(counts.non_embedding))
    return table


def collapsed(by_module: dict[str, int]) -> list[tuple[str, int, int]]:
    """Join modules that differ only in a layer's number: (path, how many, parameters of each)."""
    rows: dict[tuple[str, int], list[int]] = {}
    for path, count in by_module.items():
        numbers = [int(n) for n in _NUMBER.findall(path)]
        rows.setdefault((_NUMBER.sub(".*", path), count), []).append(numbers[0] if numbers else -1)
    return [(_ranged(path, numbers), len(numbers), count) for (path, count), numbers in rows.items()]


def _ranged(path: str, numbers: list[int]) -> str:
    """Write the numbers that a star stands for: ``blocks.0-11.attn``."""
    spans = []
    for _, run in groupby(enumerate(sorted(set(numbers))), lambda pair: pair[1] - pair[0]):
        members = [n for _, n in run]
        spans.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return path.replace(".*", "." + ",".join(spans), 1)


def _costs(report: Report) -> Table:
    memory, flops, tokens = report.memory, report.flops_per_token, report.tokens
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("[dim]FLOPs a token[/]", f"{human(flops['forward'])} forward, {human(flops['training'])} in training")
    parts = ", ".join(
        f"{name} {human_bytes(size)}"
        for name, size in (
            ("weights", memory.weights),
            ("gradients", memory.gradients),
            ("optimizer", memory.optimizer),
            ("activations", memory.activations),
        )
        if size
    )
    table.add_row("[dim]memory[/]", f"{human_bytes(memory.total)}: {parts}")
    if tokens["total"]:
        whole = f"{human(tokens['total'])} in the whole run, for {human(tokens['total'] * flops['training'])} FLOPs"
        table.add_row("[dim]tokens[/]", f"{tokens['per_step']:,} a step, {whole}")
    assumed = ", ".join(f"{k} {v}" for k, v in report.assumes.items())
    table.add_row("[dim]assuming[/]", assumed)
    return table


def _exports(report: Report, console: Console) -> None:
    exports = report.exports
    if exports.architecture:
        console.print(f"exports as [bold]{exports.architecture}[/]")
    elif exports.nearest:
        console.print(f"exports as nothing; in the way of {exports.nearest}:")
        for blocker in exports.blockers:
            where = f"line {blocker.line}, " if blocker.line else ""
            console.print(f"  {where}`{blocker.key}`: {blocker.message}", markup=False)
    for reason in exports.unasked:
        console.print(reason, markup=False)
