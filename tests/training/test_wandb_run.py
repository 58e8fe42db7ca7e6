"""A run as wandb is told of it, through its own library: read back from the files that it writes when it is offline."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stlm.experiments.train import train
from stlm.registry import load_spec
from stlm.spec import UsageError
from stlm.training.wandb_file import BLOCK, records_in, steps_in
from stlm.training.wandb_run import check_trackers
from tests.conftest import TINY

pytest.importorskip("wandb", reason="wandb is not installed")

LOGGED = "general.logging.wandb_log=true"
LONG = (
    "trainer.max_iters=3000",
    "trainer.decay_lr=false",
    "trainer.eval_interval=40",
    "trainer.checkpoint_interval=10",
    LOGGED,
)
OFFLINE = "wandb/offline-run-*/run-*.wandb"
SHORTER = ("--set", "trainer.max_iters={}", "--allow-changed", "trainer.max_iters")


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start ``stlm train`` with a home folder in which there is no login, and nobody to ask for one."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    with open(folder / "stdout", "wb") as out, open(folder / "err", "wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "stlm", "train", *arguments],
            cwd=folder,
            env={**clean, "HOME": str(folder / "home"), **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )


def until(happened: Callable[[], Any], process: subprocess.Popen[bytes], errors: Path) -> Any:
    """Wait for something to happen while a process is at work."""
    for _ in range(9000):
        if found := happened():
            return found
        assert process.poll() is None, errors.read_text()
        time.sleep(0.02)
    raise AssertionError(errors.read_text())


def values(items: Any) -> dict[str, Any]:
    """The values of a line, of a config or of a summary, by their keys."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def by_step(lines: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Lay lines of metrics.jsonl together, as wandb does those of one step."""
    steps: dict[int, dict[str, Any]] = {}
    for line in lines:
        numbers = {f"{line['split']}/{name}": v for name, v in line.items() if name not in ("step", "split")}
        steps.setdefault(line["step"], {}).update(numbers)
    return steps


@pytest.fixture(scope="module")
def life(tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The life of a run: wandb's own process is killed, training goes on, is killed too, and goes on to its end."""
    folder = tmp_path_factory.mktemp("wandb")
    (folder / "spec.yaml").write_text(TINY.format(text=tiny_text, out="out-runs", data=folder / "data"))
    settings = [word for setting in LONG for word in ("--set", setting)]
    process = start(folder, "spec.yaml", *settings, WANDB_MODE="offline")

    def logged(step: int) -> Path | None:
        for file in folder.glob("out-runs/*/metrics.jsonl"):
            lines = file.read_text().splitlines()
            return file.parent if len(lines) > 1 and json.loads(lines[-2])["step"] >= step else None
        return None

    def core() -> int | None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return next((int(c) for c in children if "wandb-core" in Path(f"/proc/{c}/comm").read_text()), None)

    try:
        run = until(lambda: logged(20), process, folder / "err")
        until(lambda: any(file.stat().st_size > BLOCK for file in run.glob(OFFLINE)), process, folder / "err")
        os.kill(until(core, process, folder / "err"), signal.SIGKILL)
        died_at = json.loads((run / "metrics.jsonl").read_text().splitlines()[-2])["step"]
        until(lambda: logged(died_at + 5), process, folder / "err")
    finally:
        process.kill()
        process.wait()
    told = (folder / "err").read_text()
    goal = died_at + 30
    process = start(folder, str(run), "--json", *(word.format(goal) for word in SHORTER), WANDB_MODE="offline")
    assert process.wait(120) == 0, (folder / "err").read_text()
    files = sorted(run.glob(OFFLINE))
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return SimpleNamespace(
        folder=folder,
        run=run,
        goal=goal,
        told=told,
        out=(folder / "stdout").read_text(),
        metrics=metrics,
        sessions=[list(records_in(file)) for file in files],
        files=files,
    )


def of_kind(session: list[Any], kind: str) -> list[Any]:
    return [getattr(record, kind) for record in session if record.WhichOneof("record_type") == kind]


def test_both_sessions_are_one_run_of_the_project(life):
    told = [of_kind(session, "run")[0] for session in life.sessions]
    known = json.loads((life.run / "wandb.json").read_text())["id"]
    assert [run.run_id for run in told] == [known, known]
    assert {run.project for run in told} == {"SuperTinyLanguageModels"}
    assert {run.display_name for run in told} == {life.run.name}


def test_the_config_is_the_whole_resolved_spec(life):
    config = values(of_kind(life.sessions[-1], "run")[0].config.update)
    del config["_wandb"]
    assert config == load_spec(life.run / "spec.yaml").to_plain()
    assert config["trainer"]["max_iters"] == life.goal


def test_every_line_of_the_metrics_is_logged_once_at_its_step(life):
    """Those that died with wandb's process as well; the steps done again are those that wandb had, or not."""
    rows = [values(history.item) for session in life.sessions for history in of_kind(session, "history")]
    steps = [row.pop("_step") for row in rows]
    assert steps == list(range(1, life.goal + 1))
    exact = ("train/loss", "val/loss", "val/text_modeling/bits_per_byte", "train/lr", "train/tokens")
    for step, row in zip(steps, rows, strict=True):
        line = by_step(life.metrics)[step]
        assert {name for name in row if not name.startswith("_")} == set(line)
        assert {name: row[name] for name in exact if name in row} == {n: line[n] for n in exact if n in line}


def test_the_run_is_summed_up_at_its_end(life):
    summary = {}
    for one in of_kind(life.sessions[-1], "summary"):
        summary.update(values(one.update))
    assert (summary["steps"], summary["interrupted"]) == (life.goal, False)
    assert summary["val/loss"] == life.metrics[-1]["loss"]
    assert [one.exit_code for one in of_kind(life.sessions[-1], "exit")] == [0]


def test_a_run_outlives_wandb_and_says_so_once(life):
    assert life.told.count("wandb failed (") == 1


def test_stdout_is_the_commands_own_and_the_files_are_in_the_runs_folder(life):
    assert json.loads(life.out)["steps"] == life.goal
    assert not (life.folder / "wandb").exists()
    assert not (life.folder / "home" / ".config").exists()
    assert not (life.folder / "home" / ".netrc").exists()


def test_the_steps_of_a_file_are_read_as_far_as_it_is_whole(life, tmp_path):
    whole = life.files[-1].read_bytes()
    steps = list(steps_in(life.files[-1]))
    assert steps[-1] == life.goal
    torn = tmp_path / "torn.wandb"
    torn.write_bytes(whole[: len(whole) // 2])
    some = list(steps_in(torn))
    assert some == steps[: len(some)]
    assert 0 < len(some) < len(steps)


@pytest.fixture
def spec_file(tiny_spec: Callable[..., Any], tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(tiny_spec(LOGGED, f"general.paths.data_dir={tmp_path / 'data'}").dump())
    return tmp_path / "spec.yaml"


@pytest.mark.parametrize(
    ("environment", "status", "words"),
    [
        ({}, 2, "there is no login for "),
        ({"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "a" * 40}, 1, "cannot log in at http://127.0.0.1:9"),
    ],
    ids=["no login", "no network"],
)
def test_without_login_or_network_one_line_says_so_before_any_work(spec_file, environment, status, words):
    process = start(spec_file.parent, str(spec_file), **environment)
    assert process.wait(60) == status
    (line,) = (spec_file.parent / "err").read_text().splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert "WANDB_MODE=offline" in line
    assert (spec_file.parent / "stdout").read_text() == ""
    assert not (spec_file.parent / "data").exists()


def test_where_wandb_is_not_installed_it_is_said_how_to_before_any_work(tiny_spec, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"pip install 'stlm\[wandb\]'"):
        train(tiny_spec(LOGGED))
    assert not (tmp_path / "out").exists()


def test_it_is_imported_only_where_it_is_asked_for_and_by_the_main_process(tiny_spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert train(tiny_spec("trainer.max_iters=2")).step == 2
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    check_trackers(tiny_spec(LOGGED))
