"""Small runs for the tests, of one process or of several."""

from stlm.compiler import compile
from stlm.compiler.processes import Processes
from stlm.data.preparation.prepare import prepare
from stlm.registry.loading import parse_spec
from stlm.spec import Spec
from stlm.testing import tell
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


def courses(spec: Spec, processes: Processes) -> dict[str, list[dict[str, float]]]:
    """Take a course by each way to train together."""
    return {way: course(start(spec, f"trainer.parallel={way}", processes=processes)) for way in PARALLEL}


if __name__ == "__main__":
    tell(courses)
