"""The registered loss never holds all logits, in any way of asking for it."""

from types import SimpleNamespace

import pytest
import torch

from stlm.data.serving.batch import Batch
from stlm.nn import IGNORE, LMHead, RMSNorm
from stlm.registry import make_component
from tests.benchmarks.loss_memory import LiveBytes, all_logits, any_head, registered

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


@pytest.mark.parametrize("loss", [registered, any_head])
def test_peak_memory_falls_by_the_logits_or_more(loss):
    whole, chunked = peak(all_logits), peak(loss)
    assert whole > 2 * LOGITS  # the logits, and what their softmax keeps: else nothing was counted
    assert whole - chunked >= LOGITS


@pytest.mark.parametrize("loss", [registered, any_head])
def test_without_gradients_a_chunk_is_all_there_is(loss):
    assert peak(loss, gradients=False) < LOGITS


def test_what_is_ignored_is_ignored_by_the_component():
    loss = make_component("loss", "cross_entropy").build(None)
    torch.manual_seed(0)
    states, targets = torch.randn(2, 3, 4), torch.tensor([[1, IGNORE, 2], [IGNORE, IGNORE, 0]])
    head = SimpleNamespace(weight=torch.randn(5, 4), bias=torch.randn(5), project=None)
    total, count = loss(states, head, Batch(targets, targets))
    logits = states @ head.weight.t() + head.bias
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    assert count == 3
    torch.testing.assert_close(total, expected)
