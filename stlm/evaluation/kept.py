"""What was measured of a step of a run, kept in its folder: parts that are measured later join those that are there."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stlm.data.storage import locked, read_json, reported_as, write_file, write_json
from stlm.spec.errors import WorkError


def keep_results(file: Path, results: dict[str, Any], rows: Iterable[dict[str, Any]] = ()) -> None:
    """Put results into a file, beside what it holds (`merged`), and their rows into ``step-N.rows.jsonl`` beside it.

    Raises `WorkError`; then the files are as they were.
    """
    with reported_as(f"cannot write `{file}`"):
        file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.parent / ".lock"):
        before = read_json(file)
        if not isinstance(before, dict) and file.exists():
            raise WorkError(f"`{file}` cannot be read as a JSON mapping, and what it holds is not thrown away")
        joined = merged(before or {}, results)
        scores = results.get("benchmarks", {})
        new = {name for name, said in joined.get("benchmarks", {}).items() if said is scores.get(name)}
        _keep_rows(file.with_suffix(".rows.jsonl"), new, rows)
        write_json(file, joined)


def _keep_rows(file: Path, new: set[str], rows: Iterable[dict[str, Any]]) -> None:
    """Put rows in the place of those of the same benchmarks; all other lines of a file stay as they are."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows if row["benchmark"] in new]
    if lines:
        there = file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] if file.exists() else []
        kept = [line for line in there if _benchmark_of(line) not in new]
        text = "".join(f"{line}\n" for line in (*kept, *lines))
        write_file(file, text.encode("utf-8", "backslashreplace"))


def _benchmark_of(line: str) -> str | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row.get("benchmark") if isinstance(row, dict) else None


def merged(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Join two results of one step: a part that was measured anew is the new one, all others stay.

    Of two scores of a benchmark the one of more rows stays, the new one of equals. Nothing is absent that one of the
    two has.
    """
    benchmarks = dict(before.get("benchmarks", {}))
    for name, scores in new.get("benchmarks", {}).items():
        if scores["num_samples"] >= benchmarks.get(name, {}).get("num_samples", 0):
            benchmarks[name] = scores
    joined = {**before, **new} | ({"benchmarks": benchmarks} if benchmarks else {})
    absent = {**before.get("absent", {}), **new.get("absent", {})}
    still = {name: why for name, why in absent.items() if name not in benchmarks and name not in joined}
    return {key: value for key, value in joined.items() if key != "absent"} | ({"absent": still} if still else {})
