"""What a loss must do: a finite sum over the targets that count, differentiable, and blind to what is not asked."""

from typing import Any

import torch

from stlm.data.serving.batch import IGNORE, Batch
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.subject import Subject
from stlm.testing.tensors import furthest, token_ids
from stlm.training.losses import prepare_batch


def parts(subject: Subject) -> tuple[Any, Any, Any]:
    """Its loss, the network whose states it is of, and the tokenizer."""
    program = subject.compiled()
    return subject.component.build(subject.spec.trainer), program.model.eval(), program.tokenizer


def batch(ignored: int = 5) -> Batch:
    """Tokens in two rows, the last few targets of each not asked for."""
    ids = token_ids(seq=17)
    targets = ids[:, 1:].clone()
    targets[:, len(targets[0]) - ignored :] = IGNORE
    return Batch(ids[:, :-1].contiguous(), targets)


@check("loss-value", "loss")
def loss_value(subject: Subject) -> None:
    """It gives a finite sum and the number of targets that are not IGNORE, the same for the same batch."""
    loss, model, _ = parts(subject)
    given = batch()
    states, _ = model.token_states(given.token_ids)
    total, weight = loss(states, model.head, given)
    there = int((given.targets != IGNORE).sum())
    hold(int(weight) == there, f"it counts {int(weight)} tokens, and {there} targets are not IGNORE")
    hold(total.shape == (), f"its sum has the shape {tuple(total.shape)}, and is one number")
    hold(total.isfinite(), f"its sum is {float(total.detach())}")
    again, _ = loss(states, model.head, batch())
    hold(torch.equal(total, again), f"of the same batch it is {float(total.detach())}, then {float(again.detach())}")


@check("loss-gradients", "loss")
def loss_gradients(subject: Subject) -> None:
    """Its gradient reaches each state that counts and what the head projects with, and is that of differences."""
    loss, model, _ = parts(subject)
    given = batch()
    states = model.token_states(given.token_ids)[0].detach().requires_grad_()  # the head's table may be the embedder's
    used = torch.autograd.grad(model.head.project(states).sum(), [*model.head.parameters()], allow_unused=True)
    loss(states, model.head, given)[0].backward()
    hold(states.grad is not None, "no gradient reaches the states")
    assert states.grad is not None
    hold(states.grad.isfinite().all(), "the gradient of the states is not finite")
    hold(states.grad[:, :11].any(dim=-1).all(), "a state whose target counts has no gradient")
    for (name, parameter), gradient in zip(model.head.named_parameters(), used, strict=True):
        reached = parameter.grad is not None and parameter.grad.any()
        hold(gradient is None or reached, f"no gradient reaches the head's `{name}`")
    slope = float(states.grad.norm())
    step = 1e-2 * states.grad / slope
    with torch.no_grad():
        ahead, behind = (float(loss(states + sign * step, model.head, given)[0]) for sign in (1, -1))
    measured = (ahead - behind) / 2e-2
    off = abs(measured - slope) / slope
    hold(off < 0.05, f"along its gradient it rises by {measured:.4g}, and the gradient says {slope:.4g}")


@check("ignored-targets", "loss")
def ignored_targets(subject: Subject) -> None:
    """What stands where the target is IGNORE does not count; where nothing is asked, it is 0 of 0 tokens."""
    loss, model, _ = parts(subject)
    given = batch()
    states, _ = model.token_states(given.token_ids)
    total, _ = loss(states, model.head, given)
    other = torch.where((given.targets == IGNORE)[..., None], 1.0, states)
    moved = furthest(loss(other, model.head, given)[0], total)
    hold(moved <= 1e-4 * max(1.0, abs(float(total.detach()))), f"states that are not asked for move it by {moved:.2g}")
    nothing, weight = loss(states, model.head, batch(ignored=16))
    hold(
        (float(nothing.detach()), int(weight)) == (0.0, 0),
        f"of no target it is {float(nothing.detach())} of {int(weight)}",
    )


@check("loss-prepares", "loss")
def loss_prepares(subject: Subject) -> None:
    """What it makes of a batch is a function of the seed and can be scored; the batch that it was given stays."""
    loss, model, tokenizer = parts(subject)
    if not hasattr(loss, "prepare"):
        no_promise("it has no `prepare`: it takes batches as they are")
    given, before = batch(0), batch(0)
    one, same = (prepare_batch(loss, given, tokenizer, 0, "test") for _ in range(2))
    for name in ("token_ids", "targets"):
        made, again = getattr(one, name), getattr(same, name)
        hold(made.shape == given.targets.shape, f"the prepared `{name}` are {tuple(made.shape)}")
        hold(torch.equal(made, again), f"from the same seed, the prepared `{name}` are others")
        hold(torch.equal(getattr(given, name), getattr(before, name)), f"it changes the `{name}` that it was given")
    states, _ = model.token_states(one.token_ids)
    hold(loss(states, model.head, one)[0].isfinite(), "of the batch that it prepared, it is not finite")
