"""What each of several processes sees of every optimizer, given a spec for each.

By fsdp each is stopped after the third step, with a checkpoint, and goes on
from there. By ddp, where gradients are views of what is sent, those take three steps that do more than read them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stlm.compiler import compile
from stlm.compiler.processes import Processes
from stlm.data.preparation.prepare import prepare
from stlm.nn.sharded import part_held_here
from stlm.registry import hook
from stlm.registry.loading import parse_spec
from stlm.spec import Spec
from stlm.testing import tell
from stlm.training import loop
from stlm.training.checkpoint import latest_checkpoint
from stlm.training.folder import RunFolder

STOP, STEPS = 3, 6
REPLICATED = ("muon", "schedule_free")


class Watch:
    """Notes the losses, and stops the run after a step."""

    def __init__(self, stop: int) -> None:
        self.stop, self.losses = stop, []

    @hook
    def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
        self.losses.append(metrics["loss"])
        run.stop = run.step == self.stop


def course(spec: Spec, root: Path, processes: Processes, parallel: str, stop: int) -> tuple[list[float], Any]:
    """Train in a folder to a step, from its latest checkpoint where there is one; return the losses and the state."""
    spec = parse_spec(spec.dump(), [f"trainer.parallel={parallel}"])
    program = compile(spec, "cpu", processes=processes)
    folder = RunFolder(root, spec.general.paths)
    for place in (folder.checkpoints, folder.evals):
        place.mkdir(parents=True, exist_ok=True)
    checkpoint = latest_checkpoint(folder.checkpoints)
    run = spec.trainer.build(program, folder=folder, data=prepare(spec, program.tokenizer), checkpoint=checkpoint)
    watch = Watch(stop)
    run.plugins.register(watch)
    return watch.losses, loop.train(run)


def elements_held(run: Any) -> tuple[int, int]:
    """Count the elements of parameters, and of tensors as large as those in their state, that are held here."""
    parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
    states = [
        v for p in parameters for v in run.optimizer.state[p].values() if torch.is_tensor(v) and v.shape == p.shape
    ]
    return tuple(sum(part_held_here(t).numel() for t in tensors) for tensors in (parameters, states))


def all_that_is_seen(specs: Mapping[str, Spec], processes: Processes) -> dict[str, Any]:
    """Return the losses of each optimizer by ddp and by fsdp, and what its state takes here by the latter."""
    seen = {}
    for name, spec in specs.items():
        by_ddp, by_fsdp = (Path(spec.general.paths.output_dir) / f"{name}-{way}" for way in ("ddp", "fsdp"))
        ddp = course(spec, by_ddp, processes, "ddp", STOP)[0] if name in REPLICATED else None
        first, _ = course(spec, by_fsdp, processes, "fsdp", STOP)
        second, run = course(spec, by_fsdp, processes, "fsdp", STEPS)
        seen[name] = {"ddp": ddp, "fsdp": first + second, "held": elements_held(run)}
    return seen


if __name__ == "__main__":
    tell(all_that_is_seen)
