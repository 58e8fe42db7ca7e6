"""A head is trained on the loss of the logits that it computes, and a loss counts what has a target."""

import pytest
import torch
import torch.nn.functional as F

from stlm.data.serving.batch import IGNORE, Batch
from stlm.nn import Linear, LMHead, RMSNorm, plain_linear_map
from stlm.spec import WorkError
from stlm.training.loop import take_step
from stlm.training.losses import NextTokenCrossEntropy


class CappedHead(LMHead):
    """A head whose logits are at most 5, as Gemma's are at most 30."""

    def project(self, states):
        return 5 * torch.tanh(super().project(states) / 5)


class ScaledHead(CappedHead):
    """One that is linear again, and says so."""

    def project(self, states):
        return 2 * self.linear(states)

    def linear_map(self):
        return 2 * self.weight, None


def adapted(head):
    """Put a layer with something beside its matrix into a head, as adapters do."""

    class Adapted(Linear):
        def forward(self, x):
            return super().forward(x) + x.sum(-1, keepdim=True)

    head.linear = Adapted(6, 11, bias=False)
    return head


def hooked(head):
    head.linear.register_forward_hook(lambda module, inputs, output: output.clamp(-1, 1))
    return head


HEADS = {
    "plain": (LMHead, lambda head: head, True),
    "capped": (CappedHead, lambda head: head, False),
    "linear again": (ScaledHead, lambda head: head, True),
    "adapted": (LMHead, adapted, False),
    "hooked": (LMHead, hooked, False),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_trains_on_the_loss_of_the_logits_that_it_computes(name):
    torch.manual_seed(0)
    states, targets = torch.randn(10, 6, requires_grad=True), torch.randint(11, (10,))
    targets[[2, 9]] = IGNORE
    kind, change, is_linear = HEADS[name]
    head = change(kind(6, 11, norm=RMSNorm(6, eps=1e-5)))
    torch.nn.init.normal_(head.linear.weight, std=3.0)
    assert (plain_linear_map(head) is not None) == is_linear
    loss, _ = NextTokenCrossEntropy()(states, head, Batch(targets, targets))
    expected = F.cross_entropy(head.project(states), targets, ignore_index=IGNORE, reduction="sum")
    torch.testing.assert_close(loss, expected)
    for got, wanted in zip(*(torch.autograd.grad(x, (states, head.weight)) for x in (loss, expected)), strict=True):
        torch.testing.assert_close(got, wanted)


class LeavesOneOut(NextTokenCrossEntropy):
    """A loss that counts otherwise than its batches say."""

    def __call__(self, states, head, batch):
        total, count = super().__call__(states, head, batch)
        return total, count - 1


def test_a_loss_that_counts_otherwise_than_its_batch_is_refused_at_its_first_use(by_hand):
    batch = Batch(torch.zeros(2, 16, dtype=torch.int64), torch.zeros(2, 16, dtype=torch.int64))
    run = by_hand([batch])
    run.objective.loss = LeavesOneOut()
    with pytest.raises(WorkError, match=r"`LeavesOneOut` says that it counted 31 tokens, and 32 targets"):
        take_step(run)
