"""Rows of benchmarks, published on a hub of this machine as their repositories have them: Parquet and a card."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.interchange.hub import Hub

Rows = list[dict[str, Any]]
Table = Mapping[tuple[str | None, str], Rows]
"""Rows by configuration and split."""


def publish(hub: Hub, folder: Path, name: str, table: Table) -> str:
    """Publish a data set, and return its commit. The name of the only configuration may be None."""
    import pyarrow
    from pyarrow.parquet import write_table

    card = ["---", "configs:"]
    for config in dict.fromkeys(config for config, _ in table):
        card += [f"- config_name: {config or 'default'}", "  data_files:"]
        for split, rows in ((split, rows) for (of, split), rows in table.items() if of == config):
            file = folder / (config or "data") / f"{split}-00000-of-00001.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_table(pyarrow.Table.from_pylist(rows), file)
            card += [f"  - split: {split}", f"    path: {config or 'data'}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))
    return hub.add(f"datasets/{name}", folder)


def numbered(rows: Rows, count: int) -> Iterator[dict[str, Any]]:
    """Give ``count`` rows that are told apart by a number in their texts, made of a few."""
    for number in range(count):
        yield {
            key: f"{value} {number}" if key in ("question", "goal", "article", "premise", "sentence_good") else value
            for key, value in rows[number % len(rows)].items()
        }
