"""The loop. All that is not needed to change the weights reaches it through hooks."""

import contextlib
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch
from torch.linalg import vector_norm
from torch.nn.utils import clip_grads_with_norm_

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.serving.prefetch import Prefetched
from stlm.nn.modes import autocast
from stlm.nn.sharded import part_held_here
from stlm.spec.seeds import derive_seed
from stlm.training.failures import NotFiniteError, failure, lost_connection, stopped
from stlm.training.interrupts import interruptible
from stlm.training.losses import prepare_batch
from stlm.training.randomness import generators_kept, seed_generators
from stlm.training.state import TrainingState

ADDED = "added_loss/"
"""What stands before the name of a loss that a component adds, where it is logged."""


def train(run: TrainingState) -> TrainingState:
    """Take optimizer steps until the run is finished; return the same state.

    The random state of the process is what it was before, whatever happens within.
    """
    with interruptible(run), prefetching(run), generators_kept(run.device):
        try:
            take_steps(run)
        except NotFiniteError as error:  # by now the checkpoint that was being written stands
            raise stopped(run, error) from None
        except RuntimeError as error:
            told = lost_connection(run, error)
            if told is None:
                raise
            raise told from error
    return run


def take_steps(run: TrainingState) -> None:
    """Take all steps; the hooks are told of the end whatever it is."""
    try:
        run.model.train()
        run.hooks.training_starts(run=run)
        while goes_on(run):
            metrics = take_step(run)
            run.hooks.step_ends(run=run, metrics=metrics)
    except BaseException:
        run.failed = True
        raise
    finally:
        run.hooks.training_ends(run=run)


def goes_on(run: TrainingState) -> bool:
    """Whether there is another step; on this all processes agree, whichever of them was asked to stop."""
    run.agree()
    return not run.finished


def take_step(run: TrainingState) -> dict[str, float]:
    """Take one optimizer step and return its numbers.

    The loss of the step is the mean over the tokens that count in all its micro-batches together, on all processes:
    each adds the *sum* of its losses, divided by the number of tokens of the whole step, so that a micro-batch with few
    targets weighs as little as it would within one large batch. Losses that parts of the network add are means over a
    micro-batch's tokens and are weighted by its share of them; ``loss`` is without them. A parameter group may have an
    ``lr_scale``.
    """
    start = time.perf_counter()
    seed_generators(run.spec.general.seed, "step", run.step)
    rate = run.schedule(run.step)
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
    batches = [next_batch(run, micro) for micro in run.share.micro_batches]
    counts = [int((batch.targets != IGNORE).sum()) for batch in batches]
    counted = int(run.processes.sum([sum(counts)])[0])
    sums: dict[str, torch.Tensor] = {}
    for micro, batch, count in zip(run.share.micro_batches, batches, counts, strict=True):
        with accumulating(run, micro):
            for name, value in backward(run, micro, batch.to(run.device), count, max(counted, 1)).items():
                sums[name] = sums.get(name, 0.0) + value
    numbers = dict(zip(sums, run.processes.sum([float(value) for value in sums.values()]), strict=True))
    loss = numbers.pop("loss") / max(counted, 1)
    if not math.isfinite(loss):
        raise failure(run, f"the loss is {loss}")
    grad_norm = clip(run)
    if not math.isfinite(grad_norm):
        raise failure(run, f"the norm of the gradient is {grad_norm}, at a loss of {loss:.4f}")
    run.recent_grad_norms.append(grad_norm)
    seed_generators(run.spec.general.seed, "update", run.step)  # replicas drew apart for their micro-batches
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.step += 1
    run.tokens_seen += counted
    seconds = time.perf_counter() - start
    own = {"loss": loss, "lr": rate, "grad_norm": grad_norm, "tokens": run.tokens_seen, "seconds": seconds}
    return {**own, **numbers}


@contextlib.contextmanager
def prefetching(run: TrainingState) -> Iterator[None]:
    """Make batches ready while the device computes, where that is another than makes them.

    Not of a loader with a state of its own, which would be ahead of the step when a checkpoint is written.
    """
    has_state = any(hasattr(part, "state_dict") for part in (run.loader, getattr(run.loader, "sampling", None)))
    if run.device.type != "cuda" or has_state:
        yield
        return
    plain = run.loader
    with Prefetched(plain, run.share.micro_batches, pinned=True) as run.loader:
        try:
            yield
        finally:
            run.loader = plain


def next_batch(run: TrainingState, micro: int) -> Batch:
    """Return this process's rows of micro-batch ``micro`` of the step to come; on the CPU, and always the same.

    The loss prepares the whole of it, so that what it draws does not depend on who shares the rows.
    """
    batch = run.loader.batch(run.step, micro)
    batch = prepare_batch(run.loss, batch, run.program.tokenizer, run.spec.general.seed, "loss", run.step, micro)
    return batch if run.share.rows == slice(0, len(batch.token_ids)) else batch.rows(run.share.rows)


def accumulating(run: TrainingState, micro: int) -> AbstractContextManager[None]:
    """Let replicas keep their gradients to themselves until the last micro-batch of the step."""
    waits = getattr(run.objective, "no_sync", None)
    return waits() if waits is not None and micro != run.share.micro_batches[-1] else contextlib.nullcontext()


def backward(run: TrainingState, micro: int, batch: Batch, count: int, total: int) -> dict[str, torch.Tensor]:
    """Add a micro-batch's part of the step's gradient; return the sum of its losses, and its part of each added one.

    Processes average their gradients, so what each minimizes is its part times their number.
    """
    apart = [run.share.rows.start] if run.share.rows.start else []
    torch.manual_seed(derive_seed(run.spec.general.seed, "dropout", run.step, micro, *apart))
    with autocast(run.device, run.precision):
        loss_sum, losses = run.objective(batch)
        added = {f"{ADDED}{name}": value * (count / total) for name, value in losses.items()}
        objective = loss_sum / total
        for value in added.values():
            objective = objective + value
        if run.processes.count > 1:
            objective = objective * run.processes.count
    objective.backward()
    return {"loss": loss_sum.detach(), **{name: value.detach() for name, value in added.items()}}


def clip(run: TrainingState) -> float:
    """Scale the gradient down to the optimizer's ``grad_clip``, where it has one above 0; return the norm before."""
    gradients = [p.grad for p in run.model.parameters() if p.grad is not None]
    squares = float(sum(sum_of_squares(part_held_here(gradient)) for gradient in gradients))
    if run.program.parallel == "fsdp":
        squares = run.processes.sum([squares])[0]
    norm, most = math.sqrt(squares), getattr(run.trainer.optimizer, "grad_clip", 0.0)
    if most and math.isfinite(norm):
        clip_grads_with_norm_(run.model.parameters(), most, torch.tensor(norm, device=run.device))
    return norm


def sum_of_squares(gradient: torch.Tensor) -> torch.Tensor:
    """Return the sum of squares of a gradient, float64.

    Rows are added up in 64 bits: in 32, the norm of a large gradient depends on how it is cut into parts, and all in 64
    takes ten times as long.
    """
    rows = vector_norm(gradient, dim=-1) if gradient.dim() > 1 else gradient
    return rows.to(torch.float64).square().sum()
