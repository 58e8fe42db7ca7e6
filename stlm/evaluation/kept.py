"""What was measured of a step of a run, kept in its folder: parts that are measured later join those that are there."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stlm.data.storage import locked, read_json, reported_as, write_file, write_json
from stlm.evaluation.finite import for_json
from stlm.evaluation.passages import SHIPPED
from stlm.spec.errors import WorkError

_PARTS = ("benchmarks", "absent", "dataset_loss", "text_modeling", "text_modeling_other")


def keep_results(
    file: Path, results: dict[str, Any], rows: Iterable[dict[str, Any]] = (), *, by_hand: bool = True
) -> None:
    """Put results into a file, beside what it holds (`merged`), and their rows into ``step-N.rows.jsonl`` beside it.

    First the rows are stored: where the results are, the evaluation is whole. Raises `WorkError`; then the results are
    as they were. A file that cannot be read is such a failure; training replaces it.

    A number that is not finite, which a hook may have added, becomes null. A file that is begun ``by_hand`` says so,
    until training adds what it measures (`TrainingState.owes_evaluation`).
    """
    with reported_as(f"cannot write `{file}`"):
        file.parent.mkdir(parents=True, exist_ok=True)
    with locked(file.parent / ".lock"):
        before = read_json(file)
        is_whole = _is_whole(before)
        if not is_whole and file.exists() and by_hand:
            raise WorkError(
                f"`{file}` does not hold the results of an evaluation, and what it holds is not thrown away"
            )
        joined = merged(before if is_whole else {}, results)
        joined.pop("by_hand", None)
        if by_hand and (not is_whole or before.get("by_hand")):
            joined["by_hand"] = True
        scores = results.get("benchmarks", {})
        new = {name for name, said in joined.get("benchmarks", {}).items() if said is scores.get(name)}
        _keep_rows(file.with_suffix(".rows.jsonl"), new, rows)
        write_json(file, for_json(joined))


def _is_whole(stored: Any) -> bool:
    """Whether what a file holds has the form of results, as far as they are joined with others."""
    if not isinstance(stored, dict):
        return False
    parts = {name: stored.get(name, {}) for name in _PARTS}
    if not all(isinstance(part, dict) for part in parts.values()):
        return False
    scores, others = parts["benchmarks"].values(), parts["text_modeling_other"].values()
    within = [*scores, *others, parts["text_modeling"].get("held_out", {})]
    return all(isinstance(one, dict) for one in within) and all(
        type(one.get("num_samples", 0)) is int for one in scores
    )


def _keep_rows(file: Path, new: set[str], rows: Iterable[dict[str, Any]]) -> None:
    """Put the rows of ``new`` scores in the place of those of the same benchmarks; all other lines of a file stay."""
    asked = [row for row in rows if row["benchmark"] in new]
    replaced = {row["benchmark"] for row in asked}
    if asked:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise WorkError(f"`{file}` is no file that rows could be kept in")
        there = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        kept = [line for line in there if line.endswith(b"\n") and _benchmark_of(line) not in replaced]
        write_file(file, b"".join(kept) + json_lines(asked))


def json_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """Return rows as a file of JSON lines; half a surrogate becomes JSON's own word for it."""
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    return text.encode("utf-8", "backslashreplace")


def _benchmark_of(line: bytes) -> str | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    name = row.get("benchmark") if isinstance(row, dict) else None
    return name if isinstance(name, str) else None


def merged(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Join two results of one step: a part that was measured anew is the new one, all others stay.

    Of two scores of a benchmark the one of more rows stays, the new one of equals. Passages are told apart by their
    name: ``text_modeling`` are those of stlm where they were measured, else the first ones, and all others stand by
    their names in ``text_modeling_other``. What is absent is what the new ones lack, and neither has.
    """
    benchmarks = dict(before.get("benchmarks", {}))
    for name, scores in new.get("benchmarks", {}).items():
        if scores["num_samples"] >= benchmarks.get(name, {}).get("num_samples", 0):
            benchmarks[name] = scores
    texts = _texts(before, new)
    joined = {**before, **new, **({"benchmarks": benchmarks} if benchmarks else {}), **texts}
    has = {*benchmarks, *(name for name in joined if name != "text_modeling")}
    has |= {"text_modeling"} if "bits_per_byte" in joined.get("text_modeling", {}) else set()
    absent = {name: why for name, why in new.get("absent", {}).items() if name not in has}
    return {key: value for key, value in joined.items() if key != "absent"} | ({"absent": absent} if absent else {})


def _texts(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Join what was measured of texts: passages by their names, and held-out text for itself."""
    passages: dict[str, dict[str, Any]] = {}
    held_out: dict[str, Any] = {}
    for results in (before, new):
        text = results.get("text_modeling", {})
        held_out |= {key: value for key, value in text.items() if key == "held_out"}
        own = {key: value for key, value in text.items() if key != "held_out"}
        passages |= ({str(own.get("passages", "")): own} if own else {}) | results.get("text_modeling_other", {})
    first = SHIPPED if SHIPPED in passages else next(iter(passages), None)
    text = ({} if first is None else passages.pop(first)) | held_out
    return ({"text_modeling": text} if text else {}) | ({"text_modeling_other": passages} if passages else {})
