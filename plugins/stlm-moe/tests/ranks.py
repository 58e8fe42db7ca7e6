"""Small runs for the tests, of one process or of several: `torchrun … ranks.py SPEC FOLDER` takes both courses."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from stlm.compiler import compile
from stlm.compiler.processes import Processes
from stlm.data.preparation.prepare import prepare
from stlm.registry.loading import load_spec, parse_spec
from stlm.spec import Spec
from stlm.training.loop import take_step
from stlm.training.state import TrainingState

PARALLEL = ("ddp", "fsdp")


def start(spec: Spec, *overrides: str, processes: Processes | None = None) -> TrainingState:
    """Build a run that writes nothing, ready for its first step."""
    changed = parse_spec(spec.dump(), overrides)
    program = compile(changed, "cpu", processes=processes or Processes())
    run: TrainingState = changed.trainer.build(program, folder=None, data=prepare(changed, program.tokenizer))
    run.model.train()
    return run


def course(run: TrainingState, steps: int = 3) -> list[dict[str, float]]:
    """Take some steps as the loop does; give their numbers, those of the mixture's hook too, without the clock's."""
    numbers = []
    for _ in range(steps):
        metrics = take_step(run)
        for plugin in run.program.plugins:
            if hasattr(plugin, "step_ends"):
                plugin.step_ends(run, metrics)
        numbers.append({key: number for key, number in metrics.items() if key != "seconds"})
    return numbers


def main() -> None:
    """Leave what this process saw under each way to train together."""
    _, spec_file, folder = sys.argv
    these = Processes.of_environment()
    with these.joined(torch.device("cpu")):
        spec = load_spec(spec_file)
        seen: dict[str, Any] = {
            way: course(start(spec, f"trainer.parallel={way}", processes=these)) for way in PARALLEL
        }
    (Path(folder) / f"{these.rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
