"""Losses that break a promise."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.registry import component
from tests.testing.faults import caught_by

_numbers = itertools.count()


def loss(score: Callable[..., Any]) -> type:
    """A loss that a function is."""

    @component("loss", "broken")
    class Broken:
        """A loss in which something is wrong."""

        def build(self, trainer: Any) -> Any:
            return score

    return Broken


def summed(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Score as the built-in does."""
    counted = batch.targets != IGNORE
    logits = head.project(states[counted]).float()
    return F.cross_entropy(logits, batch.targets[counted], reduction="sum"), counted.sum()


def preparing(prepare: Callable[..., Any], score: Callable[..., Any] = summed) -> type:
    """A loss that makes something else of a batch first."""

    class Preparing:
        def __call__(self, states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
            return score(states, head, batch)

        def prepare(self, batch: Batch, generator: Any, tokenizer: Any) -> Batch:
            return prepare(batch, generator)

    return loss(Preparing())


@caught_by("loss-value", "it counts 1 tokens, and 22 targets are not IGNORE")
def loss_that_is_a_mean_of_one() -> type:
    def mean(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total / count, torch.tensor(1)

    return loss(mean)


@caught_by("loss-gradients", "no gradient reaches the states")
def loss_that_cuts_the_states_off() -> type:
    return loss(lambda states, head, batch: summed(states.detach(), head, batch))


@caught_by("loss-gradients", "along its gradient it rises by")
def loss_whose_gradient_is_of_another_function() -> type:
    def wrong(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total.detach() * 2 - total.detach() * 3 + 2 * total, count  # the value of one, the slope of two

    return loss(wrong)


@caught_by("ignored-targets", "states that are not asked for move it by")
def loss_that_counts_what_is_not_asked() -> type:
    def all_of_them(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total + states[..., 0].sum(), count

    return loss(all_of_them)


@caught_by("loss-prepares", "it changes the `token_ids` that it was given")
def loss_that_masks_in_place() -> type:
    class Masking:
        def __call__(self, states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
            return summed(states, head, batch)

        def prepare(self, batch: Batch, generator: Any, tokenizer: Any) -> Batch:
            batch.token_ids[:, 0] = tokenizer.mask_id
            return batch

    return loss(Masking())


@caught_by("loss-value", "its sum has the shape (22,), and is one number")
def loss_that_is_one_number_a_token() -> type:
    def apart(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        counted = batch.targets != IGNORE
        logits = head.project(states[counted]).float()
        return F.cross_entropy(logits, batch.targets[counted], reduction="none"), counted.sum()

    return loss(apart)


@caught_by("loss-value", "of the same batch it is")
def loss_with_dice() -> type:
    def dicing(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total * (1 + torch.rand(())), count

    return loss(dicing)


@caught_by("ignored-targets", "of no target it is nan of 0")
def loss_that_divides_by_no_token() -> type:
    def mean(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total / count, count

    return loss(mean)


@caught_by("loss-value", "its sum is inf")
def loss_that_is_infinite() -> type:
    def infinite(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total * torch.inf, count

    return loss(infinite)


@caught_by("loss-gradients", "the gradient of the states is not finite")
def loss_with_a_slope_without_end() -> type:
    def steep(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total + (0 * states).square().sum().sqrt(), count

    return loss(steep)


@caught_by("loss-gradients", "a state whose target counts has no gradient")
def loss_that_learns_from_the_second_half() -> type:
    def half(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        return summed(torch.cat((states[:, :8].detach(), states[:, 8:]), dim=1), head, batch)

    return loss(half)


@caught_by("loss-gradients", "no gradient reaches the head's `")
def loss_that_keeps_the_head_as_it_is() -> type:
    def apart(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        counted = batch.targets != IGNORE
        weights = {name: weight.detach() for name, weight in head.named_parameters()}
        logits = torch.func.functional_call(_Projecting(head), {f"head.{k}": w for k, w in weights.items()}, states)
        return F.cross_entropy(logits[counted].float(), batch.targets[counted], reduction="sum"), counted.sum()

    return loss(apart)


class _Projecting(torch.nn.Module):
    """A head whose `project` is its forward pass."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def forward(self, states: Tensor) -> Tensor:
        return self.head.project(states)


@caught_by("loss-prepares", "of the batch that it prepared, it is not finite")
def loss_that_cannot_score_what_it_prepared() -> type:
    def marked(batch: Batch, generator: Any) -> Batch:
        return Batch(batch.token_ids, torch.where(batch.targets == batch.targets[0, 0], 0, batch.targets))

    def score(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total / (batch.targets != 0).all(), count

    return preparing(marked, score)


@caught_by("loss-prepares", "the prepared `token_ids` are (2, 15)")
def loss_that_drops_a_token() -> type:
    return preparing(lambda batch, generator: Batch(batch.token_ids[:, 1:], batch.targets[:, 1:]))


@caught_by("loss-prepares", "from the same seed, the prepared `token_ids` are others")
def loss_that_draws_from_elsewhere() -> type:
    def turned(batch: Batch, generator: Any) -> Batch:
        return Batch(batch.token_ids.roll(next(_numbers), dims=1), batch.targets)

    return preparing(turned)
