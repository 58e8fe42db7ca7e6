"""What the tests of a package begin with: the package as pip would install it, its specs, and short runs of them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stlm.testing.installed import installed_from
from stlm.testing.runs import losses

if TYPE_CHECKING:
    from stlm.experiments.run import Run
    from stlm.spec import Spec

A_FEW_STEPS = (
    *("trainer.max_iters=4", "trainer.batch_size=4", "trainer.warmup_iters=1", "trainer.log_interval=1"),
    *("trainer.checkpoint_interval=2", "trainer.keep_checkpoints=9", "trainer.eval_interval=4"),
    *("trainer.eval.dataset_loss_eval_iters=1", "trainer.eval.text_modeling_eval=false"),
)
"""Overrides that make a run of a spec short, with the checkpoints that `goes_on` needs."""


def package_fixtures(folder: Path) -> tuple[Any, Any]:
    """Make two fixtures for the ``conftest.py`` of the package in ``folder``.

    ``package, shipped = package_fixtures(Path(__file__).parents[1])``: the first makes its entry points known for all
    tests, unless pip has done that already. ``shipped(name, *overrides)`` resolves the spec of the file ``name`` in
    ``folder``, for the CPU; its runs go to the test's own folder, and its tokens to one for all tests.
    """
    import pytest

    from stlm.registry.loading import load_spec

    @pytest.fixture(scope="session", autouse=True)
    def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with installed_from(folder, tmp_path_factory.mktemp("site")):
            yield

    @pytest.fixture
    def shipped(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., "Spec"]:
        paths = {"output_dir": tmp_path / "out", "data_dir": tmp_path_factory.getbasetemp() / "stlm-data"}

        def make(name: str, *overrides: str) -> "Spec":
            said = [f"general.paths.{key}={path}" for key, path in paths.items()]
            return load_spec(folder / name, ["general.device=cpu", *said, *overrides])

        return make

    return package, shipped


def trained_by_command(spec: "Spec", *, nproc: int | None = None, timeout: float = 240) -> "Run":
    """Train a spec by ``stlm train``, on as many processes as ``nproc`` says, and open the run."""
    from stlm.experiments.run import load_run

    file = Path(spec.general.paths.output_dir) / "trained_by_command.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(spec.dump(), encoding="utf-8")
    command = [sys.executable, "-m", "stlm", "train", str(file), "--json"]
    command += [] if nproc is None else ["--nproc", str(nproc)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return load_run(json.loads(done.stdout)["run"])


def goes_on(run: "Run") -> None:
    """Take a run's last checkpoint away, as if it had been killed, and go on from the one before.

    It must take the same steps, and end in the same weights and the same state of the optimizer, to the last bit. And
    what it generates, it must generate without a state as well.
    """
    import torch
    from safetensors.torch import load_file

    import stlm
    from stlm.training.checkpoint import latest_checkpoint

    assert run.checkpoint is not None, f"{run.folder} has no checkpoint"
    ended = run.checkpoint.folder
    steps, stored = losses(run), {name: load_file(ended / name) for name in ("model.safetensors", _OPTIMIZER)}
    shutil.rmtree(ended)
    before = latest_checkpoint(ended.parent)
    assert before is not None, f"{run.folder} has one checkpoint, and two are needed: see `A_FEW_STEPS`"
    again = stlm.train(run.spec, resume=run.folder)
    assert losses(again) == steps
    for name, tensors in stored.items():
        same = load_file(ended / name)
        assert tensors.keys() == same.keys()
        assert [key for key, tensor in tensors.items() if not torch.equal(tensor, same[key])] == []
    how: dict[str, Any] = {"max_new_tokens": 12, "temperature": 0}
    assert again.generate("The ", **how) == again.generate("The ", **how, cached=False)


_OPTIMIZER = "optimizer.safetensors"
