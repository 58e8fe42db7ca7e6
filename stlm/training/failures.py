"""What a run that cannot go on says of itself."""

import re

from stlm.nn.sharded import part_held_here
from stlm.spec.errors import WorkError
from stlm.training.state import TrainingState


class NotFiniteError(Exception):
    """A number without which training makes no sense is infinite, or none."""


def failure(run: TrainingState, what: str, step: int | None = None) -> NotFiniteError:
    """Say what is not finite, and where in the data it happened: in ``step``, unless it is the one being taken."""
    trainer = run.trainer
    step = run.step + 1 if step is None else step
    samples = trainer.batch_size * trainer.gradient_accumulation_steps
    first, last = (step - 1) * samples, step * samples - 1
    norms = ", ".join(f"{norm:.3g}" for norm in run.recent_grad_norms) or "none"
    return NotFiniteError(
        f"step {step}: {what}. Its batch is samples {first} to {last} of the data's order; norms of the "
        f"gradients before it: {norms}"
    )


def refuse_spoiled_weights(run: TrainingState) -> None:
    """Raise `NotFiniteError`, on all processes, where the update of the step that was done last spoiled a weight.

    The loss of the next step would tell, but what is stored before that must be something to go back to.
    """
    trained = {name: part_held_here(p) for name, p in run.model.named_parameters() if p.requires_grad}
    spoiled = run.processes.any(*(not bool(part.isfinite().all()) for part in trained.values()))
    names = [name for name, is_spoiled in zip(trained, spoiled, strict=True) if is_spoiled]
    if names:
        raise failure(run, f"its update made weights infinite, or no numbers, in `{names[0]}`", run.step)


def stopped(run: TrainingState, why: NotFiniteError) -> WorkError:
    """Make of it what the user is told, once all that was being written is written."""
    error = WorkError(f"{why}; {last_good(run)}. {advice(run)} may help")
    error.told_by_main = True
    return error


def advice(run: TrainingState) -> str:
    """Name what may help, of what is not so already."""
    ways = ["a lower `lr`", "a longer `warmup_iters`"]
    clip = getattr(run.trainer.optimizer, "grad_clip", None)
    if clip is not None:
        ways.append(f"a smaller `grad_clip` than {clip:g}" if clip else "a `grad_clip` (it is off)")
    if run.precision != "fp32":
        ways.append("`precision: fp32`")
    text = f"{', '.join(ways[:-1])} or {ways[-1]}"
    return text[0].upper() + text[1:]


def lost_connection(run: TrainingState, error: RuntimeError) -> WorkError | None:
    """Say what it means that the other processes do not answer; None where the error is another one.

    What has ended one of them, that one has told, or who started them.
    """
    if run.processes.count == 1 or not re.search(r"gloo/|NCCL|onnection (closed|reset)|onitored ?Barrier", str(error)):
        return None
    told = WorkError(f"another of the processes has ended, so that training cannot go on; {last_good(run)}")
    told.told_by_main = True
    return told


def last_good(run: TrainingState) -> str:
    """Say what there is to go back to."""
    pointer = run.folder.checkpoints / "latest"
    if not pointer.exists():
        return "there is no checkpoint yet"
    return f"the last good checkpoint is {pointer.with_name(pointer.read_text().strip())}"
