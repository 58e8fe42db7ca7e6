"""The registered loss never holds all logits, in any way of asking for it."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stlm.data.serving.batch import Batch
from stlm.nn import IGNORE, LMHead, RMSNorm
from stlm.registry import make_component
from stlm.training.losses import NextTokenCrossEntropy
from tests.benchmarks.loss_memory import LiveBytes, OnlyProject, all_logits, any_head, masked, registered

ROWS, WIDTH, VOCAB = 2048, 8, 4096
LOGITS = ROWS * VOCAB * 4


def peak(loss, *, gradients: bool = True) -> int:
    """Tensors alive at once in a forward and backward pass of head and loss, in bytes."""
    torch.manual_seed(0)
    head = LMHead(WIDTH, VOCAB, norm=RMSNorm(WIDTH, eps=1e-5))
    states = torch.randn(2, ROWS // 2, WIDTH, requires_grad=gradients)
    batch = Batch(torch.zeros(2, ROWS // 2, dtype=torch.long), torch.randint(VOCAB, (2, ROWS // 2)))
    with LiveBytes() as live, torch.set_grad_enabled(gradients):
        total, _ = loss(states, head, batch)
        if gradients:
            total.backward()
    return live.peak


@pytest.mark.parametrize("loss", [registered, any_head, masked])
def test_peak_memory_falls_by_the_logits_or_more(loss):
    whole, chunked = peak(all_logits), peak(loss)
    assert whole > 2 * LOGITS  # the logits, and what their softmax keeps: else nothing was counted
    assert whole - chunked >= LOGITS


@pytest.mark.parametrize("loss", [registered, any_head, masked])
def test_without_gradients_a_chunk_is_all_there_is(loss):
    assert peak(loss, gradients=False) < LOGITS


@pytest.mark.parametrize(("on", "few"), [("completion", True), ("all", False)])
def test_only_completions_are_few_rows_of_a_batch(on, few):
    """Elsewhere than on the CPU, rows are left out only where the loss knows beforehand that many can be."""
    assert make_component("loss", "cross_entropy").build(SimpleNamespace(loss_on=on)).few_rows is few


def test_masked_tokens_are_few_rows_of_a_batch():
    assert make_component("loss", "next_token_mlm").build(None).few_rows is True


class Widest(TorchDispatchMode):
    """See how many rows of logits each operation makes at most."""

    rows = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        if isinstance(made, torch.Tensor) and made.ndim == 2 and made.shape[1] == 11:
            self.rows = max(self.rows, made.shape[0])
        return made


@pytest.mark.parametrize("kind", [LMHead, lambda *size, **more: OnlyProject(LMHead(*size, **more))])
@pytest.mark.parametrize("gradients", [True, False])
def test_no_more_rows_of_logits_are_held_than_the_loss_was_told(kind, gradients):
    """Nothing else here is 11 wide but the head's weights, transposed, of 3 rows."""
    head, targets = kind(3, 11, norm=RMSNorm(3, eps=1e-5)), torch.arange(10).view(2, 5)
    states = torch.randn(2, 5, 3, requires_grad=gradients)
    with Widest() as widest, torch.set_grad_enabled(gradients):
        total, _ = NextTokenCrossEntropy(4)(states, head, Batch(targets, targets))
        if gradients:
            total.backward()
    assert widest.rows == 4


class Counting:
    """A head that takes note of how many rows it is asked to map."""

    def __init__(self, head):
        self.head, self.rows = head, 0

    def project(self, rows):
        self.rows += len(rows)
        return self.head.project(rows)


@pytest.mark.parametrize("name", ["cross_entropy", "next_token_mlm"])
def test_only_rows_with_a_target_meet_the_head(name):
    head = LMHead(8, 11, norm=RMSNorm(8, eps=1e-5))
    targets = torch.full((4, 300), IGNORE)
    targets[0, ::10] = 3
    with torch.no_grad():
        counting = Counting(head)
        total, count = make_component("loss", name).build(None)(
            torch.randn(4, 300, 8), counting, Batch(targets, targets)
        )
    assert (counting.rows, int(count)) == (30, 30)
    assert total > 0


def test_a_linear_head_and_any_other_agree_where_few_rows_count():
    loss, head = make_component("loss", "next_token_mlm").build(None), LMHead(8, 11, norm=RMSNorm(8, eps=1e-5))
    states, targets = torch.randn(4, 300, 8), torch.full((4, 300), IGNORE)
    targets[:, 5] = 2
    for one, other in zip(*(loss(states, h, Batch(targets, targets)) for h in (head, OnlyProject(head))), strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_ignored_is_ignored_by_the_component():
    loss = make_component("loss", "cross_entropy").build(None)
    torch.manual_seed(0)
    states, targets = torch.randn(2, 3, 4), torch.tensor([[1, IGNORE, 2], [IGNORE, IGNORE, 0]])
    head = LMHead(4, 5, norm=RMSNorm(4, eps=1e-5), bias=True)
    total, count = loss(states, head, Batch(targets, targets))
    logits = states @ head.weight.t() + head.bias
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    assert count == 3
    torch.testing.assert_close(total, expected)
