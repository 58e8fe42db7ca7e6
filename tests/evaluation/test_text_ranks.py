"""Texts that two processes measure together, against one that is alone."""

import json
import math
import os
import subprocess
import sys

import pytest

from stlm.compiler.processes import Processes
from stlm.registry.loading import parse_spec
from tests.conftest import TINY
from tests.evaluation import text_ranks


@pytest.fixture(scope="module")
def spec(tiny_text, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks")
    return parse_spec(
        TINY.format(text=tiny_text, out=out, data=tiny_text.parent), ["trainer.eval.dataset_loss_eval_iters=5"]
    )


@pytest.fixture(scope="module")
def alone(spec):
    without = {way: [one for one in said if "parallel" not in one] for way, said in text_ranks.WAYS.items()}
    return {way: text_ranks.measured(spec, Processes(), *said) for way, said in without.items()}


@pytest.fixture(scope="module")
def seen(spec, alone, tmp_path_factory):
    """What each of two processes has measured; they find the tokens that were prepared for one."""
    folder = tmp_path_factory.mktemp("seen")
    (folder / "spec.yaml").write_text(spec.dump())
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = [sys.executable, *torchrun, text_ranks.__file__, str(folder / "spec.yaml"), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("way", text_ranks.WAYS)
def test_two_processes_measure_what_one_does(seen, alone, way):
    assert seen[0][way] == seen[1][way]
    for part in ("held_out", "passages"):
        assert flat(seen[0][way][part]) == pytest.approx(flat(alone[way][part]), rel=1e-5)


@pytest.mark.parametrize("way", ["replicas", "shards"])
def test_each_of_two_processes_does_half_of_the_work(seen, alone, way):
    halves = [math.ceil(passes / 2) for passes in alone[way]["passes"]]
    assert min(alone[way]["passes"]) > 2
    assert [one[way]["passes"] for one in seen] == [halves, halves]


def flat(numbers, path=""):
    inner = [flat(value, f"{path}{name}/") for name, value in numbers.items() if isinstance(value, dict)]
    own = {f"{path}{name}": value for name, value in numbers.items() if isinstance(value, int | float)}
    return {**own, **{name: value for each in inner for name, value in each.items()}}
