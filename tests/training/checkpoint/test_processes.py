"""Checkpoints that several processes write and read together, which are started for real."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from stlm.compiler.processes import Processes
from stlm.testing import torchrun
from stlm.training.checkpoint import latest_checkpoint
from tests.training.checkpoint import ranks

UNEVEN = ("model.ffn.ffn_dim=33",)


@pytest.fixture
def spec_file(tiny_spec, tmp_path):
    def write(*overrides):
        (tmp_path / "spec.yaml").write_text(tiny_spec(*UNEVEN, *overrides).dump())
        return tmp_path / "spec.yaml"

    return write


def same(left: Path, right: Path) -> None:
    one, other = load_file(left), load_file(right)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one)
    with safe_open(left, "pt") as first, safe_open(right, "pt") as second:
        assert first.metadata()["rest"] == second.metadata()["rest"]


def test_what_any_number_of_processes_saved_any_number_loads_bit_for_bit(tiny_spec, spec_file, tmp_path):
    root, spec, file = tmp_path / "runs", tiny_spec(*UNEVEN), spec_file()
    ranks.save_all(spec, root, Processes())
    torchrun(ranks.__name__, "save,load", file, root)
    ranks.load_all(spec, root, Processes())
    for source in ("one", "ddp", "fsdp", "one-nested", "fsdp-nested"):
        nested = source.endswith("nested")
        readers = {path.stem: path for path in (root / source).glob("read-by-*")}
        ways = ("one-nested", "fsdp-nested") if nested else ("one", "ddp", "fsdp")
        assert readers.keys() == {f"read-by-{way}" for way in ways}
        for path in readers.values():
            same(path, root / source / "truth.safetensors")
        later = root / source / f"a-step-later-by-{source}.safetensors"
        same(later, root / source / "truth-a-step-later.safetensors")
    shards = {f"{kind}-0000{n}-of-00002.safetensors" for kind in ("model", "optimizer") for n in (1, 2)}
    single = {"model.safetensors", "optimizer.safetensors"}
    for source, files in (("one", single), ("ddp", single), ("fsdp", shards), ("fsdp-nested", shards)):
        assert {path.name for path in (root / source / "checkpoints" / "step-2").glob("*.safetensors")} == files
    (root / "fsdp" / "checkpoints" / "step-2" / "optimizer-00002-of-00002.safetensors").unlink()
    assert latest_checkpoint(root / "fsdp" / "checkpoints") is None


@pytest.mark.parametrize("count", [1, 2])
def test_a_full_disk_does_not_end_a_run_but_is_told_and_tried_again(spec_file, tmp_path, count):
    """With two processes, the disk of one is full, and both learn of it."""
    said = torchrun(ranks.__name__, "small-disk", spec_file(), tmp_path, count=count)
    checkpoints = tmp_path / "small" / "checkpoints"
    full = f"was not written: cannot write `{checkpoints}/step-%d`: File too large"
    assert said.count("the checkpoint of step 3 " + full % 3 + "; the run goes on, and tries again at step 6\n") == 1
    seen = [json.loads((tmp_path / f"seen-{rank}.json").read_text()) for rank in range(count)]
    error = f"the run's last checkpoint {full % 8}; the last good one is {checkpoints}/step-6"
    assert seen == [{"step": 8, "saved": [6], "error": error}] * count
    assert sorted(path.name for path in checkpoints.iterdir()) == ["latest", "step-6"]
