"""The loop. All that is not needed to change the weights reaches it through hooks."""

import contextlib
import math
import time
from collections.abc import Iterator

import torch
from torch.nn.utils import clip_grad_norm_

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.serving.prefetch import Prefetched
from stlm.nn.modes import autocast
from stlm.nn.random import derive_seed
from stlm.spec.errors import WorkError
from stlm.training.interrupts import interruptible
from stlm.training.losses import prepare_batch
from stlm.training.state import TrainingState


def train(run: TrainingState) -> TrainingState:
    """Take optimizer steps until the run is finished; return the same state.

    The random state of the process is what it was before, whatever happens within.
    """
    devices = [run.device] if run.device.type == "cuda" else []
    with interruptible(run), prefetching(run), torch.random.fork_rng(devices):
        try:
            run.model.train()
            run.hooks.training_starts(run=run)
            while not run.finished:
                metrics = take_step(run)
                run.hooks.step_ends(run=run, metrics=metrics)
        except BaseException:
            run.failed = True
            raise
        finally:
            run.hooks.training_ends(run=run)
    return run


def take_step(run: TrainingState) -> dict[str, float]:
    """Take one optimizer step and return its numbers.

    The loss of the step is the mean over the tokens that count in all its micro-batches together: each adds the *sum*
    of its losses, divided by the number of tokens of the whole step, so that a micro-batch with few targets weighs as
    little as it would within one large batch. Losses that parts of the network add are means over a micro-batch's
    tokens and are weighted by its share of them; ``loss`` is without them. A parameter group may have an ``lr_scale``.
    """
    start = time.perf_counter()
    rate = run.schedule(run.step)
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
    batches = [next_batch(run, micro) for micro in range(run.trainer.gradient_accumulation_steps)]
    counts = [int((batch.targets != IGNORE).sum()) for batch in batches]
    total = max(sum(counts), 1)
    loss_sum = torch.zeros((), device=run.device)
    added: dict[str, torch.Tensor] = {}
    for micro, (batch, count) in enumerate(zip(batches, counts, strict=True)):
        micro_sum, auxiliary = backward(run, micro, batch.to(run.device), count, total)
        loss_sum += micro_sum
        for name, value in auxiliary.items():
            added[name] = added.get(name, 0.0) + value
    loss = float(loss_sum) / total
    if not math.isfinite(loss):
        raise failure(run, f"the loss is {loss}")
    grad_norm = float(clip(run))
    if not math.isfinite(grad_norm):
        raise failure(run, f"the norm of the gradient is {grad_norm}, at a loss of {loss:.4f}")
    run.recent_grad_norms.append(grad_norm)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.step += 1
    run.tokens_seen += sum(counts)
    seconds = time.perf_counter() - start
    numbers = {"loss": loss, "lr": rate, "grad_norm": grad_norm, "tokens": run.tokens_seen, "seconds": seconds}
    return {**numbers, **{f"added_loss/{name}": float(value) for name, value in added.items()}}


@contextlib.contextmanager
def prefetching(run: TrainingState) -> Iterator[None]:
    """Make batches ready while the device computes, where that is another than makes them."""
    if run.device.type != "cuda":
        yield
        return
    plain = run.loader
    with Prefetched(plain, run.trainer.gradient_accumulation_steps, pinned=True) as run.loader:
        try:
            yield
        finally:
            run.loader = plain


def next_batch(run: TrainingState, micro: int) -> Batch:
    """Return micro-batch ``micro`` of the step to come, as the loss wants it; on the CPU, and always the same."""
    batch = run.loader.batch(run.step, micro)
    return prepare_batch(run.loss, batch, run.program.tokenizer, run.spec.general.seed, "loss", run.step, micro)


def backward(
    run: TrainingState, micro: int, batch: Batch, count: int, total: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Add a micro-batch's part of the step's gradient; return the sum of its losses, and its part of each added one."""
    torch.manual_seed(derive_seed(run.spec.general.seed, "dropout", run.step, micro))
    with autocast(run.device, run.precision):
        where = {"positions": batch.positions, "segments": batch.segments}
        states, context = run.model.token_states(batch.token_ids, **where)
        loss_sum, _ = run.loss(states, run.model.head, batch)
        added = {name: value * (count / total) for name, value in context.losses.items()}
        objective = loss_sum / total
        for value in added.values():
            objective = objective + value
    objective.backward()
    return loss_sum.detach(), {name: value.detach() for name, value in added.items()}


def clip(run: TrainingState) -> torch.Tensor:
    """Scale the gradient down to the optimizer's ``grad_clip``, where it has one above 0; return the norm before."""
    most = getattr(run.trainer.optimizer, "grad_clip", 0.0)
    return clip_grad_norm_(run.model.parameters(), most or math.inf)  # an infinite bound scales by exactly 1


def failure(run: TrainingState, what: str) -> WorkError:
    """Say what is not finite, where in the data it happened, and what there is to go back to."""
    trainer = run.trainer
    samples = trainer.batch_size * trainer.gradient_accumulation_steps
    first, last = run.step * samples, (run.step + 1) * samples - 1
    norms = ", ".join(f"{norm:.3g}" for norm in run.recent_grad_norms) or "none"
    pointer = run.folder.checkpoints / "latest"
    latest = pointer.with_name(pointer.read_text().strip()) if pointer.exists() else None
    kept = f"the last good checkpoint is {latest}" if latest else "there is no checkpoint yet"
    return WorkError(
        f"step {run.step + 1}: {what}. Its batch is samples {first} to {last} of the data's order; norms of the "
        f"gradients before it: {norms}; {kept}. A lower `lr`, a longer `warmup_iters`, a smaller `grad_clip` or "
        "`precision: fp32` may help"
    )
