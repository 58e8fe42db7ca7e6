"""Rows of the public benchmarks as their authors' repositories have them, for a hub on this machine.

A folder of JSON lines holds real rows: a file a benchmark, of BLiMP a file a paradigm. What such a folder lacks is made
up in the schema of the original: other splits repeat some rows, paradigms without a file borrow those of others, the
facts of OpenBookQA are sentences of no meaning, and an article of RACE gets problems of other articles before its own.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Splits = dict[str, list[Row]]
Repository = dict[str, Splits]
"""The rows by configuration and split."""

_OTHERS = 6
"""Rows of each split that is only there because a library wants it."""


def read_rows(folder: Path, name: str) -> list[Row]:
    """Read a file of JSON lines; ends the program with one line where it is not there."""
    file = folder / f"{name}.jsonl"
    if not file.is_file():
        raise SystemExit(f"error: there is no `{file}`; `--folder` takes the folder of such files, `--only` benchmarks")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def repositories(
    folder: Path, limit: int, paradigms: tuple[str, ...], benchmarks: Sequence[str]
) -> dict[str, Repository]:
    """Make the data sets of ``benchmarks``, of ``limit`` rows at most (0: all), by their names on the hub.

    No other file is read than theirs.
    """

    def rows(name: str) -> list[Row]:
        found = read_rows(folder, name)
        return found[:limit] if limit else found

    def race() -> list[Row]:
        return _race(rows("race_high_or_middle"))

    made: dict[str, tuple[str, Callable[[], Repository]]] = {
        "winogrande": ("allenai/winogrande", lambda: {"winogrande_xl": _splits("validation", rows("winogrande"))}),
        "hellaswag": ("Rowan/hellaswag", lambda: {"default": _splits("validation", _hellaswag(rows("hellaswag")))}),
        "arc_easy": ("allenai/ai2_arc", lambda: {"ARC-Easy": _splits("test", rows("arc_easy"))}),
        "mmlu": ("cais/mmlu", lambda: _mmlu(rows("mmlu"))),
        "blimp": ("nyu-mll/blimp", lambda: _blimp(folder, limit, paradigms)),
        "truthful_qa": ("truthfulqa/truthful_qa", lambda: {"multiple_choice": {"validation": rows("truthful_qa")}}),
        "piqa": ("baber/piqa", lambda: {"default": _splits("validation", rows("piqa"))}),
        "race_high": ("EleutherAI/race", lambda: {"high": _splits("test", _by_article(race()))}),
        "race_middle": ("ehovy/race", lambda: {"middle": _splits("test", race())}),
        "boolq": ("aps/super_glue", lambda: {"boolq": _splits("validation", _boolq(rows("boolq")))}),
        "copa": ("aps/super_glue", lambda: {"copa": _splits("validation", rows("copa"))}),
        "openbook_qa_closed": ("allenai/openbookqa", lambda: {"main": _splits("test", rows("openbookqa"))}),
        "openbook_qa_open": (
            "allenai/openbookqa",
            lambda: {"additional": _splits("test", [_with_fact(row) for row in rows("openbookqa")])},
        ),
        "commonsense_qa": ("tau/commonsense_qa", lambda: {"default": _splits("validation", rows("commonsense_qa"))}),
    }
    wanted: dict[str, Repository] = {}
    for benchmark in benchmarks:
        name, make = made[benchmark]
        wanted.setdefault(name, {}).update(make())
    return wanted


CLASSES = {
    "cais/mmlu": {"answer": ["A", "B", "C", "D"]},
    "aps/super_glue": {"label": ["0", "1"]},
}
"""Columns that hold the number of a class."""


def publish(hub: Any, root: Path, all_of_them: dict[str, Repository]) -> None:
    """Write the data sets as Parquet files, with the head of a README that says which file is what."""
    from datasets import ClassLabel, Dataset

    for name, configs in all_of_them.items():
        folder, listed = root / name, []
        for config, splits in configs.items():
            listed.append({"config_name": config, "data_files": []})
            for split, rows in splits.items():
                table = Dataset.from_list(rows)
                for column, classes in CLASSES.get(name, {}).items():
                    table = table.cast_column(column, ClassLabel(names=classes))
                file = f"{config}/{split}-00000-of-00001.parquet"
                (folder / config).mkdir(parents=True, exist_ok=True)
                table.to_parquet(folder / file)
                listed[-1]["data_files"].append({"split": split, "path": file})
        head = json.dumps({"configs": listed})  # which is YAML too
        (folder / "README.md").write_text(f"---\n{head}\n---\n", encoding="utf-8")
        hub.add(f"datasets/{name}", folder)


def _splits(asked: str, rows: list[Row]) -> Splits:
    return {split: rows if split == asked else rows[:_OTHERS] for split in ("train", "validation", "test")}


def _hellaswag(rows: list[Row]) -> list[Row]:
    return [{**row, "label": str(row["label"]), "source_id": row.get("source_id", "")} for row in rows]


def _boolq(rows: list[Row]) -> list[Row]:
    return [
        {"question": row["question"], "passage": row["passage"], "idx": index, "label": int(row["answer"])}
        for index, row in enumerate(rows)
    ]


def _with_fact(row: Row) -> Row:
    words = sorted({word for text in row["choices"]["text"] for word in text.lower().split()})
    more = {"humanScore": 1.0, "clarity": 2.0, "turkIdAnonymized": "0"}
    return {**row, "fact1": f"a book may say something of {' and '.join(words)}", **more}


def _mmlu(rows: list[Row]) -> Repository:
    """Give all subjects together, and each by itself."""
    by_subject = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["subject"]):
        by_subject[row["subject"]].append(row)
    everything = [row for some in by_subject.values() for row in some]
    splits = {"all": everything, **by_subject}
    return {config: {"test": some, "validation": some[:5], "dev": some[:5]} for config, some in splits.items()}


def _blimp(folder: Path, limit: int, paradigms: tuple[str, ...]) -> Repository:
    real = {
        name: read_rows(folder, f"blimp_{name}") for name in paradigms if (folder / f"blimp_{name}.jsonl").is_file()
    }
    if not real:
        read_rows(folder, f"blimp_{paradigms[0]}")  # which says what is missing
    borrowed = [row for some in zip(*real.values(), strict=False) for row in some]
    made = {}
    for number, name in enumerate(paradigms):
        some = real.get(name) or [borrowed[(number + step * 97) % len(borrowed)] for step in range(_OTHERS)]
        made[name] = {"train": [_pair(index, name, row) for index, row in enumerate(some[: limit or None])]}
    return made


def _pair(index: int, paradigm: str, row: Row) -> Row:
    texts = {key: row[key] for key in ("sentence_good", "sentence_bad", "field", "linguistics_term")}
    methods = ("simple_LM_method", "one_prefix_method", "two_prefix_method", "lexically_identical")
    return {**texts, "UID": paradigm, **{key: row[key] for key in methods}, "pair_id": index}


def _race(rows: list[Row]) -> list[Row]:
    columns = ("example_id", "article", "answer", "question", "options")
    return [{key: row[key] for key in columns} for row in rows]


def _by_article(rows: list[Row]) -> list[Row]:
    """Put none to three problems of other articles before an article's own, for the folder has one of each."""
    problems = [{key: row[key] for key in ("question", "answer", "options")} for row in rows]
    return [
        {"article": row["article"], "problems": repr([*problems[index + 1 : index + 1 + index % 4], problems[index]])}
        for index, row in enumerate(rows)
    ]
