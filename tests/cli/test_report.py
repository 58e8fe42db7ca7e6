"""``stlm report``: where the page goes, and what is said of what is no run."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from stlm.experiments.train import train
from stlm.spec import Spec
from tests.conftest import Project

Make = Callable[..., Project]


@pytest.fixture
def run(tiny_spec: Callable[..., Spec]) -> Path:
    """The folder of a trained run, whose report was taken away."""
    folder = train(tiny_spec("general.logging.wandb_run_name=tiny")).folder
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


def test_a_checkpoint_is_told_from_a_run(project: Make, run: Path) -> None:
    done = project().run("report", str(run / "checkpoints" / "step-8"))
    assert done.status == 2
    assert "give the run's folder" in done.err


def test_a_place_that_cannot_be_written_is_a_failure(project: Make, run: Path) -> None:
    done = project().run("report", str(run), "--output", "no/such/folder/page.html")
    assert done.status == 1
    assert done.err.splitlines() == ["error: cannot write `no/such/folder/page.html`: No such file or directory"]
