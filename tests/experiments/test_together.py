"""Several processes that begin a run together: one looks, and all know."""

import json
from pathlib import Path
from typing import Any

import pytest


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_mistake_that_one_finds_ends_all_with_one_line(project: Any, tiny_spec: Any, run: Any) -> None:
    """The main process alone looks for the run to go on with."""
    made = project({"spec.yaml": tiny_spec("trainer.optimizer.lr=0.02").dump()})
    told = made.start("train", "spec.yaml", "--resume", "--nproc", "2")
    assert told.status == 2
    assert told.err.count("`trainer.optimizer.lr` was 0.01 and is 0.02") == 1
    assert "[process 1]" not in told.err
    assert list((made.folder / "out").iterdir()) == [run.folder]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_all_start_from_the_same_weights_as_one_alone(project: Any, tiny_spec: Any, run: Any, parallel: str) -> None:
    spec = tiny_spec(f"trainer.init_from={run.folder}", f"trainer.parallel={parallel}", "model.ffn.ffn_dropout=0")
    made = project({"spec.yaml": spec.dump()})
    alone = made.run("train", "spec.yaml", "--json").json["run"]
    together = made.start("train", "spec.yaml", "--nproc", "2", "--json")
    assert together.status == 0, together.err
    assert together.json["run"] != alone
    assert losses(Path(together.json["run"])) == pytest.approx(losses(Path(alone)), rel=1e-5)
    assert losses(Path(alone))[0] < losses(run.folder)[0]
