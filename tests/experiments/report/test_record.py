"""Files that are absent or damaged: passed over, and said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stlm.experiments.report import write_report
from stlm.experiments.report.record import read_record
from stlm.spec import Spec, UsageError
from tests.experiments.report.conftest import Folder
from tests.experiments.report.html_page import Page

FILES = ("spec.yaml", "source.yaml", "lock.json", "metrics.jsonl", "evals")


def test_a_whole_run_has_nothing_to_note(folder: Folder) -> None:
    record = read_record(folder.root)
    assert record.notes == ()
    assert (len(record.train), len(record.held_out), len(record.evaluations), len(record.samples)) == (100, 2, 2, 2)
    assert (record.step, record.rows_step, [w.num_rows for w in record.rows]) == (100, 100, [2])


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_absent_leaves_a_page_of_the_others(folder: Folder, name: str) -> None:
    path = folder.root / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = Page.read(write_report(folder.root))
    if name in ("spec.yaml", "lock.json", "metrics.jsonl"):
        assert f"{name} is not there" in page.said("")
    assert ("curves" in page.sections) == (name != "metrics.jsonl")
    assert ("parameters" in page.sections) == (name != "spec.yaml")
    assert ("scores" in page.sections) == ("samples" in page.sections) == (name != "evals")


@pytest.mark.parametrize("name", ["spec.yaml", "lock.json", "metrics.jsonl", "evals/step-100.json"])
@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", "\x00\xff", "[" * 100_000])
def test_a_damaged_file_is_noted_and_passed_over(folder: Folder, name: str, content: str) -> None:
    folder.write(name, content)
    record = read_record(folder.root)
    page = Page.read(write_report(folder.root))
    if content or name != "metrics.jsonl":
        assert [note for note in record.notes if name.rpartition("/")[2] in note]
        assert "What could not be read" in page.said("")


def test_damaged_lines_are_counted_and_the_others_stand(folder: Folder) -> None:
    folder.metrics([{"step": 1, "split": "train", "loss": None}, {"step": 2, "split": "train", "loss": 2.5}], '{"ste')
    folder.rows(100, [7, {"benchmark": "arc"}, folder.row("arc", 4, [-3.0, -1.0])], '{"row"')
    record = read_record(folder.root)
    assert record.notes == (
        "`metrics.jsonl`: 1 damaged line passed over",
        "`step-100.rows.jsonl`: 3 rows without likelihoods passed over",
    )
    assert [row.index for worst in record.rows for row in worst.rows] == ["4"]
    assert Page.read(write_report(folder.root)).figures["loss"]["data"][0]["y"] == [None, 2.5]


def test_a_run_that_was_killed_before_its_first_line_has_a_page(folder: Folder) -> None:
    (folder.root / "metrics.jsonl").unlink()
    shutil.rmtree(folder.root / "evals")
    page = Page.read(write_report(folder.root))
    assert "0 of 100 steps done" in page.text
    assert list(page.figures) == ["parameters-by-module"]


def test_a_spec_of_a_plugin_that_is_gone_leaves_the_numbers(folder: Folder) -> None:
    text = (folder.root / "spec.yaml").read_text()
    folder.write("spec.yaml", text.replace("generic", "gone_generic", 1))
    page = Page.read(write_report(folder.root))
    assert "spec.yaml cannot be read here" in page.said("")
    assert "gone_generic" in page.said("repeat")
    assert page.figures["loss"]["x"][0]["step"][-1] == 100
    assert "flops" not in page.figures["loss"]["x"][0]


def test_evaluations_are_found_where_the_spec_puts_them(
    folder: Folder, tiny_spec: Callable[..., Spec], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder.root / "evals").rename(elsewhere / "toy")
    folder.write("spec.yaml", tiny_spec("trainer.max_iters=100", f"general.paths.eval_dir={elsewhere}").dump())
    assert len(read_record(folder.root).evaluations) == 2


def test_a_step_that_was_written_twice_counts_once(folder: Folder) -> None:
    lines = [{"step": step, "split": "train", "loss": float(loss)} for step, loss in ((2, 5), (1, 9), (2, 4))]
    folder.write("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert [(line["step"], line["loss"]) for line in read_record(folder.root).train] == [(1, 9.0), (2, 4.0)]


@pytest.mark.parametrize(("files", "said"), [(None, "not there"), ((), "not a run's"), (("state.json",), "checkpoint")])
def test_what_is_no_run_is_refused(tmp_path: Path, files: tuple[str, ...] | None, said: str) -> None:
    folder = tmp_path / "no-run"
    if files is not None:
        folder.mkdir()
    for name in files or ():
        (folder / name).write_text("{}")
        (folder / "spec.yaml").write_text("a: 1")
    with pytest.raises(UsageError, match=said):
        write_report(folder)
    assert not (folder / "report.html").exists()
