"""Whatever the files of a run hold, there is a page, its figures are JSON, and what was passed over is said."""

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.compiler import compile
from stlm.data.telling import duration
from stlm.experiments.report import write_report
from stlm.experiments.report.page import page
from stlm.experiments.report.record import read_record
from stlm.experiments.report.summary import moment
from stlm.spec import Spec
from tests.experiments.report.conftest import Folder
from tests.experiments.report.html_page import Page

HUGE = 10**400
"""A number that is no float, as a flipped bit or a repeated key makes one."""
TEXT = "evals/step-100.json"
ROWS = "evals/step-100.rows.jsonl"


def shortly(value: Any) -> str:
    """Name the case of a value by its first signs."""
    return str(value)[:12]


def figures_of(source: str) -> Any:
    """Return the figures of a page, which must be JSON as browsers know it, without words such as NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    _, _, behind = source.partition('<script type="application/json" id="figures">')
    return json.loads(behind.partition("</script>")[0], parse_constant=refuse)


def page_of(folder: Folder) -> Page:
    """Make the page, and look at its figures."""
    source = write_report(folder.root).read_text(encoding="utf-8")
    assert figures_of(source)["charts"]
    return Page(source)


def notes_of(folder: Folder) -> str:
    """Return what the page says that it could not read, which is what the record says."""
    said = page_of(folder).said("")
    assert "What could not be read" in said
    return "\n".join(read_record(folder.root).notes)


@pytest.mark.parametrize("value", [HUGE, -1, 2**60, 1.5, "3", True, None], ids=shortly)
def test_a_line_of_no_step_is_counted(folder: Folder, value: Any) -> None:
    folder.metrics([{"step": 1, "split": "train", "loss": 2.5}])
    line = json.dumps({"step": value, "split": "train", "loss": 2.0})
    with (folder.root / "metrics.jsonl").open("a") as file:
        file.write(f"{line}\n")
    assert notes_of(folder) == "`metrics.jsonl`: 1 damaged line passed over"
    assert read_record(folder.root).step == 100


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, HUGE) for key in ("loss", "lr", "grad_norm", "tokens", "tokens_per_second", "mfu")),
        ("loss", "x"),
        ("loss", 1e308),
        ("loss", [1.0]),
        ("loss", True),
        ("loss", math.inf),
        ("tokens", 1e308),
        ("tokens", -1e308),
        ("tokens_per_second", 5e-324),
        ("tokens_per_second", -1.0),
    ],
    ids=shortly,
)
def test_a_number_that_cannot_be_right_is_a_gap_and_named(folder: Folder, key: str, value: Any) -> None:
    lines = [{"step": step, "split": "train", **folder.numbers(step)} for step in (1, 2, 3)]
    folder.metrics([lines[0], {**lines[1], key: value}, {**lines[2], key: value}])
    assert f"`metrics.jsonl`: passed over what cannot be right: `{key}` (2×)" in notes_of(folder)
    assert [key in line for line in read_record(folder.root).train] == [True, False, False]


def test_a_number_of_held_out_data_that_cannot_be_right_is_named(folder: Folder) -> None:
    folder.write("metrics.jsonl", json.dumps({"step": 4, "split": "val", "loss": HUGE, "unigram_loss": -1}) + "\n")
    assert "`loss`, `unigram_loss`" in notes_of(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("acc", value) for value in (HUGE, 1e308, 1.5, -0.5, "x", [0.5], math.nan)),
        *((key, HUGE) for key in ("acc_norm", "acc_centered", "acc_text", "chance")),
        *((key, 1e308) for key in ("stderr", "acc_centered_stderr", "acc_text_stderr")),
    ],
    ids=shortly,
)
def test_a_score_that_cannot_be_right_is_named(folder: Folder, key: str, value: Any) -> None:
    arc = {"acc": 0.5, "acc_norm": 0.5, "stderr": 0.1, "chance": 0.25, "num_samples": 9, key: value}
    folder.evaluation(100, benchmarks={"arc": arc})
    assert f"`step-100.json`: passed over what cannot be right: `benchmarks.arc.{key}`" in notes_of(folder)


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"benchmarks": ["x"]}, "benchmarks"),
        ({"benchmarks": {"arc": 7}}, "benchmarks.arc"),
        ({"benchmarks": {"arc": {"acc": 0.5, "num_samples": HUGE}}}, "benchmarks.arc.num_samples"),
        ({"benchmarks": {"arc": {"acc": 0.5, "by_group": {"loss": HUGE}}}}, "benchmarks.arc.by_group.loss"),
        ({"absent": ["arc"]}, "absent"),
        ({"text_modeling": 1.5}, "text_modeling"),
        ({"text_modeling": {"bits_per_byte": HUGE}}, "text_modeling.bits_per_byte"),
        ({"text_modeling": {"by_topic": {"x": {"bits_per_byte": "x"}}}}, "text_modeling.by_topic.x.bits_per_byte"),
        ({"text_modeling_other": {"x": {"byte_accuracy": 2}}}, "text_modeling_other.x.byte_accuracy"),
    ],
)
def test_a_part_of_an_evaluation_that_cannot_be_right_is_named(
    folder: Folder, part: dict[str, Any], place: str
) -> None:
    folder.evaluation(100, **part)
    assert notes_of(folder) == f"`step-100.json`: passed over what cannot be right: `{place}`"


def test_of_much_damage_a_few_parts_are_named(folder: Folder) -> None:
    folder.evaluation(100, benchmarks={f"b{n}": 7 for n in range(9)})
    assert notes_of(folder).endswith("`benchmarks.b3` and 5 more")


def test_a_benchmark_that_says_why_it_has_no_score_is_no_damage(folder: Folder) -> None:
    folder.evaluation(100, benchmarks={"arc": "no reach"}, absent={"piqa": "no reach", "siqa": {"why": "none"}})
    assert read_record(folder.root).notes == ()


def test_samples_that_cannot_be_right_are_named(folder: Folder) -> None:
    folder.write("evals/step-50.samples.json", {"samples": [{"prompt": "a", "text": 7}, "x", {"text": "y"}]})
    folder.write("evals/step-100.samples.json", {"samples": "x"})
    assert notes_of(folder).splitlines() == [
        "`step-50.samples.json`: passed over what cannot be right: `samples.0.text`, `samples.1`",
        "`step-100.samples.json`: passed over what cannot be right: `samples`",
    ]


@pytest.mark.parametrize("score", [HUGE, -1e308, "x", True, math.inf], ids=shortly)
def test_a_row_whose_likelihood_cannot_be_right_is_counted(folder: Folder, score: Any) -> None:
    folder.rows(100, [folder.row("arc", 1, [-1.0, score]), folder.row("arc", 2, [-9.0, -1.0])])
    assert "1 row without likelihoods" in notes_of(folder)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_moment_outside_all_years_stays_as_it_is(folder: Folder, text: str) -> None:
    assert moment(text) == text
    folder.lock(started=text)
    assert text in page_of(folder).text


def test_parts_of_a_lock_that_cannot_be_right_are_named(folder: Folder) -> None:
    folder.lock(command="x", plugins=["x"], processes=HUGE, directory=7)
    places = ", ".join(f"`sessions.0.{key}`" for key in ("directory", "plugins", "processes", "command"))
    assert f"`lock.json`: passed over what cannot be right: {places}" in notes_of(folder)


@pytest.mark.parametrize("directory", ["/" + "x" * 5000, "\0", "\ud800"])
def test_a_directory_that_no_disk_can_have_is_one_that_is_gone(folder: Folder, directory: str) -> None:
    folder.lock(directory=directory)
    assert "stlm train again.yaml --locked" in page_of(folder).said("repeat")


@pytest.mark.parametrize("name", ["lock.json", "metrics.jsonl", TEXT, "evals/step-100.samples.json", ROWS])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_named_and_not_waited_for(folder: Folder, name: str, make: Callable[[Path], None]) -> None:
    path = folder.root / name
    path.unlink()
    make(path)
    assert path.name in notes_of(folder)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path), lambda path: path.symlink_to("gone"), Path.touch])
def test_a_folder_of_evaluations_that_is_none_is_named(folder: Folder, make: Callable[[Path], None]) -> None:
    (folder.root / "evals").rename(folder.root / "elsewhere")
    make(folder.root / "evals")
    assert "`evals` cannot be read: " in notes_of(folder)


def test_an_evaluation_of_no_step_that_can_be_is_named(folder: Folder) -> None:
    for ending in ("json", "samples.json", "rows.jsonl"):
        folder.write(f"evals/step-{'9' * 200}.{ending}", {})
    assert notes_of(folder).count("of no step that can be") == 3


@pytest.mark.parametrize("name", ["lock.json", "metrics.jsonl", TEXT, "evals/step-100.samples.json", ROWS])
def test_a_document_of_very_many_levels_is_damaged(folder: Folder, name: str) -> None:
    path = folder.root / name
    document = json.loads(path.read_text().splitlines()[0] if name.endswith("l") else path.read_text())
    written = json.dumps({**document, "row": "DEEP", "digest": "DEEP"})
    folder.write(name, written.replace('"DEEP"', "[" * 600 + "]" * 600) + "\n")
    assert path.name in notes_of(folder)


@pytest.mark.parametrize("seconds", [4e9, 1e300, math.inf])
def test_a_time_that_nobody_waits_for_is_told_in_words(seconds: float) -> None:
    assert duration(seconds) == "over 100 years"


numbers = st.integers() | st.floats() | st.sampled_from([HUGE, -HUGE, 1e308, -1e308, 5e-324, 1e38, 2**53, 0, -1])
scalars = st.none() | st.booleans() | numbers | st.text(max_size=5)
values = st.recursive(
    scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3), part, max_size=3)
)
"""Any JSON, and numbers that are at the edges of what can be counted with."""


def parts_of(document: Any) -> dict[Any, Any]:
    """Return the parts of a mapping or a list by where they are; anything else has none."""
    listed = dict(enumerate(document)) if isinstance(document, list) else {}
    return document if isinstance(document, dict) else listed


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where a value can be put into a document."""
    yield path
    for key, part in parts_of(document).items():
        yield from places(part, (*path, key))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Put a value into a document, unless its place went with an earlier one."""
    if not path:
        return value
    if path[0] not in parts_of(document):
        return document
    copy = document.copy()
    copy[path[0]] = replaced(document[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize("name", ["lock.json", "metrics.jsonl", TEXT, "evals/step-100.samples.json", ROWS])
def test_whatever_stands_in_a_file_there_is_a_page(folder: Folder, tiny_spec: Callable[..., Spec], name: str) -> None:
    report = compile(tiny_spec("trainer.max_iters=100"), trained=True).report
    in_lines = name.endswith("l")
    written = (folder.root / name).read_text()
    whole = [json.loads(line) for line in written.splitlines()[-4:]] if in_lines else json.loads(written)
    at = sorted(places(whole), key=str)

    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.tuples(st.sampled_from(at), values), min_size=1, max_size=3))
    def check(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
        document: Any = whole
        for path, value in changes:
            document = replaced(document, path, value)
        lines = [document] if not in_lines or not isinstance(document, list) else document
        folder.write(name, "".join(f"{json.dumps(line)}\n" for line in lines))
        figures_of(page(read_record(folder.root), report))

    check()
