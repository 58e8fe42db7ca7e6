"""What a run says that cannot go on: for real, on the command line."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from stlm.training.failures import advice

PLUGIN = '''\
from stlm.registry import component, hook, option


@component("hook", "poison")
class Poison:
    """Spoils a weight after a step, as a bad update does."""

    poison_at: int = option(default=7, doc="The step.")

    @hook
    def step_ends(self, run):
        if run.step == self.poison_at:
            next(run.model.parameters()).data[0] = float("nan")
'''
METADATA = "Metadata-Version: 2.1\nName: poison\nVersion: 1\n"
STEP, PER_STEP = 8, 4


def test_a_loss_that_is_not_finite_ends_the_run_and_says_where_and_what_is_left(project, tiny_spec):
    spec = tiny_spec("trainer.max_iters=20").dump().replace("hooks: []", "hooks: [poison]")
    installed = {
        "poison.py": PLUGIN,
        "poison-1.dist-info/METADATA": METADATA,
        "poison-1.dist-info/entry_points.txt": "[stlm]\nhook.poison = poison:Poison\n",
    }
    here = project({"spec.yaml": spec, **installed})
    ended = here.start("train", "spec.yaml")
    (folder,) = (here.folder / "out").iterdir()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    norms = [line["grad_norm"] for line in lines if line["split"] == "train"]
    message = ended.err.splitlines()[-1]
    assert (ended.status, ended.out) == (1, "")
    assert message.startswith(f"error: step {STEP}: the loss is nan")
    assert f"samples {(STEP - 1) * PER_STEP} to {STEP * PER_STEP - 1} of the data's order" in message
    assert ", ".join(f"{norm:.3g}" for norm in norms[-5:]) in message
    assert len(norms) == STEP - 1
    checkpoint = Path(re.search(r"the last good checkpoint is (\S+?)\. ", message)[1])
    assert checkpoint.parent == folder / "checkpoints"
    assert checkpoint.name in ("step-3", "step-6")  # which may still have been on its way to the disk
    assert (checkpoint / "state.json").exists()
    goes_on = here.start("train", str(folder), "--set", "general.poison_at=0", "--allow-changed", "general.poison_at")
    assert goes_on.status == 0, goes_on.err


@pytest.mark.parametrize(
    ("said", "advised"),
    [
        (("trainer.optimizer.grad_clip=0",), "or a `grad_clip` (it is off)"),
        (("trainer.optimizer.grad_clip=0.5",), "or a smaller `grad_clip` than 0.5"),
        (("trainer.precision=bf16",), ", a smaller `grad_clip` than 1 or `precision: fp32`"),
    ],
)
def test_what_is_so_already_is_not_advised(tiny_spec, said, advised):
    spec = tiny_spec(*said)
    precision = "fp32" if spec.trainer.precision == "auto" else spec.trainer.precision
    ways = advice(SimpleNamespace(trainer=spec.trainer, precision=precision))
    assert ways.startswith("A lower `lr`, a longer `warmup_iters`")
    assert ways.endswith(advised)
