"""What the tests of several processes run in each of them: `torchrun … ranks.py ACT SPEC FOLDER`."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from stlm.compiler import compile
from stlm.compiler.processes import Processes
from stlm.data.preparation.prepare import prepare
from stlm.registry import hook
from stlm.registry.loading import load_spec, parse_spec
from stlm.spec import Spec, WorkError
from stlm.training import loop
from stlm.training.checkpoint import Checkpoint, read_checkpoint
from stlm.training.checkpoint.parts import named_parameters
from stlm.training.checkpoint.saver import Saver
from stlm.training.flatten import flatten, named_optimizer_state
from stlm.training.folder import RunFolder
from stlm.training.saving import Checkpoints
from stlm.training.state import TrainingState
from stlm.training.tensor_files import save_tensors
from stlm.training.weights import distinct_state

LAYOUTS = ("ddp", "fsdp")


class Nested(Optimizer):
    """An optimizer of somebody's, whose state is neither flat nor all of the parameters' shapes."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1, "betas": (0.9, 0.99)})
        self.state["rounds"] = {"done": 0}

    def step(self, closure: Any = None) -> None:
        self.state["rounds"]["done"] += 1
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            if not state:
                state.update(moments=(torch.zeros_like(p), [torch.ones_like(p)]), rows=p.detach().new_zeros(3))
            moments, (squares,) = state["moments"]
            moments.add_(p.detach(), alpha=0.5)
            squares.mul_(moments)
            state["rows"].add_(1.0)


def build(
    spec: Spec, root: Path, processes: Processes, checkpoint: Checkpoint | None = None, nested: bool = False
) -> TrainingState:
    """Build the state of a run in ``root``, by the optimizer of the spec, or the nested one."""
    program = compile(spec, "cpu", processes=processes)
    folder, data = RunFolder(root, spec.general.paths), prepare(spec, program.tokenizer)
    patched = type(spec.trainer.optimizer)
    plain = patched.build
    if nested:
        patched.build = lambda self, trainer, network, device: Nested(network.parameters())
    try:
        return spec.trainer.build(program, folder=folder, data=data, checkpoint=checkpoint)
    finally:
        patched.build = plain


def whole_state(run: TrainingState) -> tuple[dict[str, Tensor], Any]:
    """Return all tensors of model and optimizer as one process would have them, and the rest of its state."""
    tensors: dict[str, Tensor] = {}
    named = named_optimizer_state(run.optimizer.state_dict(), list(named_parameters(run)))
    rest = flatten(named, "optimizer", tensors)
    tensors |= {f"model.{name}": tensor for name, tensor in distinct_state(run.model)[0].items()}
    return {n: t.full_tensor() if hasattr(t, "full_tensor") else t.clone() for n, t in sorted(tensors.items())}, rest


def leave(run: TrainingState, path: Path) -> None:
    """Write the whole state of a run, for whoever compares."""
    tensors, rest = whole_state(run)
    if run.processes.is_main:
        save_tensors(tensors, path, {"rest": json.dumps(rest)})
    run.processes.wait()


def save(run: TrainingState) -> Path:
    saver = Saver(run.processes)
    saver.start(run)
    folder = saver.wait()
    saver.close()
    return folder


def cases(spec: Spec, processes: Processes) -> Iterator[tuple[str, Spec, bool]]:
    """Yield each way to train: its name, its spec, and whether by the nested optimizer."""
    for layout in LAYOUTS if processes.count > 1 else ("one",):
        changed = parse_spec(spec.dump(), [f"trainer.parallel={'auto' if layout == 'one' else layout}"])
        yield layout, changed, False
        if layout != "ddp":
            yield f"{layout}-nested", changed, True


def save_all(spec: Spec, root: Path, processes: Processes) -> None:
    """Save after two steps in each layout, and beside it what was true then, and a step later."""
    for name, of_layout, nested in cases(spec, processes):
        run = build(of_layout, root / name, processes, nested=nested)
        run.model.train()
        for _ in range(2):
            loop.take_step(run)
        save(run)
        leave(run, root / name / "truth.safetensors")
        loop.take_step(run)
        leave(run, root / name / "truth-a-step-later.safetensors")


def load_all(spec: Spec, root: Path, processes: Processes) -> None:
    """Load what each number of processes saved in each layout, and go on; leave what was read and what became of it."""
    for name, of_layout, nested in cases(spec, processes):
        for source in sorted(root.iterdir()):
            if source.name.endswith("nested") == nested:
                found = read_checkpoint(source / "checkpoints" / "step-2")
                run = build(of_layout, root / "unused", processes, found, nested=nested)
                assert run.step == 2
                leave(run, source / f"read-by-{name}.safetensors")
                run.model.train()
                loop.take_step(run)
                leave(run, source / f"a-step-later-by-{name}.safetensors")


class SmallDisk:
    """A plugin by which the last process of a run can write no more than small files, in some steps."""

    def __init__(self, processes: Processes, steps: set[int]) -> None:
        self.is_small, self.steps = processes.rank == processes.count - 1, steps
        self.saved: list[int] = []

    @hook(tryfirst=True)
    def step_ends(self, run: TrainingState) -> None:
        (checkpoints,) = (plugin for plugin in run.plugins.get_plugins() if isinstance(plugin, Checkpoints))
        while (
            checkpoints.saver._writing and not checkpoints.saver.is_done()
        ):  # the disk that a checkpoint began with is the one that it ends with
            time.sleep(0.01)
        most = 2000 if self.is_small and run.step in self.steps else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    @hook
    def checkpoint_saved(self, run: TrainingState, folder: Path) -> None:
        self.saved.append(int(folder.name.removeprefix("step-")))


def train_on_a_small_disk(spec: Spec, root: Path, processes: Processes) -> None:
    """Train with a disk that is full in the middle and at the end, for one process; leave what each process saw."""
    of_layout = parse_spec(spec.dump(), ["trainer.parallel=fsdp", "trainer.checkpoint_interval=3"])
    run = build(of_layout, root / "small", processes)
    run.folder.evals.mkdir(parents=True, exist_ok=True)
    sys.dont_write_bytecode = True  # half a file of it would stay
    disk = SmallDisk(processes, {3, 4, 5, 8})
    run.plugins.register(disk)
    try:
        loop.train(run)
    except WorkError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        seen = {"step": run.step, "saved": disk.saved, "error": str(error)}
        (root / f"seen-{processes.rank}.json").write_text(json.dumps(seen))


ACTS = {"save": save_all, "load": load_all, "small-disk": train_on_a_small_disk}

if __name__ == "__main__":
    _, acts, spec_file, root = sys.argv
    these = Processes.of_environment()
    with these.joined(torch.device("cpu")):
        for act in acts.split(","):
            ACTS[act](load_spec(spec_file), Path(root), these)
