"""``stlm report``: where the page goes, and what is said of what is no run."""

import contextlib
import html
import re
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stlm.experiments.train import train
from stlm.spec import Spec
from tests.conftest import Project, copied

Make = Callable[..., Project]


@pytest.fixture(scope="module")
def trained(train_once: Callable[..., Path]) -> Path:
    """The folder of a trained run."""
    return train_once("general.logging.wandb_run_name=tiny")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of that folder, without its report."""
    folder = copied(trained, tmp_path)
    (folder / "report.html").unlink()
    return folder


def test_the_page_is_written_into_the_folder_and_named(project: Make, run: Path) -> None:
    done = project().run("report", str(run))
    assert (done.status, done.out, done.err) == (0, f"{run}/report.html\n", "")
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_it_goes_elsewhere_when_told_and_json_names_it(project: Make, run: Path) -> None:
    made = project()
    done = made.run("report", str(run), "--output", "page.html", "--json")
    assert (done.status, done.json) == (0, {"report": "page.html"})
    assert (made.folder / "page.html").exists()
    assert not (run / "report.html").exists()


def test_a_run_of_a_device_that_is_not_here_is_told_of_all_the_same(project: Make, run: Path) -> None:
    (run / "checkpoints" / "latest").unlink()
    spec = (run / "spec.yaml").read_text().replace("device: cpu", "device: cuda")
    (run / "spec.yaml").write_text(spec)
    assert project().run("report", str(run)).status == 0


def test_it_is_shown_in_the_browser_of_the_user(project: Make, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = project({"browser": '#!/bin/sh\necho "$1" > "$(dirname "$0")/shown"\n'})
    program = made.folder / "browser"
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    done = made.start("report", str(run), "--open", BROWSER=f"{program} %s")
    assert done.status == 0
    assert (made.folder / "shown").read_text().strip() == (run / "report.html").as_uri()


@pytest.mark.parametrize("arguments", [("nowhere",), ("folder",), (), ("folder", "folder")])
def test_what_is_no_run_is_a_mistake_in_one_line(project: Make, arguments: tuple[str, ...]) -> None:
    made = project({"folder/notes.txt": "none"})
    done = made.run("report", *arguments)
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert done.err.splitlines()[0].startswith("error: ")
    assert not list(made.folder.rglob("*.html"))


@pytest.mark.parametrize("output", [".", "", "..", "folder"])
def test_a_folder_to_write_to_is_a_mistake_in_one_line(project: Make, run: Path, output: str) -> None:
    made = project({"folder/notes.txt": "none"})
    done = made.run("report", str(run), "--output", output)
    assert (done.status, done.out) == (2, "")
    what = f"error: `{output or '.'}` is a folder; name the file to write the report to, such as `report.html`"
    assert done.err.splitlines() == [what]
    assert not list(made.folder.rglob("*.html"))


def test_the_commands_of_the_page_repeat_the_run(project: Make, tiny_spec: Callable[..., Spec]) -> None:
    made = project()
    with contextlib.chdir(made.folder):
        train(tiny_spec("general.logging.wandb_run_name=tiny", "general.paths.output_dir=my runs"))
    page = (made.folder / "my runs" / "tiny" / "report.html").read_text(encoding="utf-8")
    found = re.search(r"run in <code>([^<]*)</code>:</p>\s*<pre[^>]*><code>([^<]*)</code></pre>", page)
    assert found
    directory, commands = map(html.unescape, found.groups())
    assert Path(directory) == made.folder
    copy, again = commands.splitlines()
    subprocess.run(["sh", "-c", copy], cwd=directory, check=True)
    assert made.run("check", "again.yaml").status == 0
    assert made.run(*shlex.split(again)[1:]).status == 0
    assert (made.folder / "my runs" / "tiny-2" / "report.html").exists()


def test_a_checkpoint_is_told_from_a_run(project: Make, run: Path) -> None:
    done = project().run("report", str(run / "checkpoints" / "step-8"))
    assert done.status == 2
    assert "give the run's folder" in done.err


def test_a_place_that_cannot_be_written_is_a_failure(project: Make, run: Path) -> None:
    done = project().run("report", str(run), "--output", "no/such/folder/page.html")
    assert done.status == 1
    assert done.err.splitlines() == ["error: cannot write `no/such/folder/page.html`: No such file or directory"]


def test_it_does_not_replace_what_belongs_to_the_run(project: Make, run: Path) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    result = project().run("report", str(run), "--output", str(run / "metrics.jsonl"))
    assert result.status == 2
    assert "would replace what belongs to the run itself" in result.err
    assert (run / "metrics.jsonl").read_bytes() == before
