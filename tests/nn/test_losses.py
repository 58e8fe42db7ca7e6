"""Cross-entropy in chunks is cross-entropy."""

import pytest
import torch
import torch.nn.functional as F

from stlm.nn import IGNORE, chunked_cross_entropy, counted_rows, linear_cross_entropy


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(11, (10,), generator=generator)
    targets[[2, 9]] = IGNORE
    shapes = ((10, 6), (11, 6), (11,))
    return targets, [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]


def _reference(targets, tensors):
    loss = F.cross_entropy(F.linear(*tensors), targets, ignore_index=IGNORE, reduction="sum")
    return loss, torch.autograd.grad(loss / 3, tensors)


@pytest.mark.parametrize("chunk_size", [1, 4, 10, 64])
@pytest.mark.parametrize("way", ["general", "linear"])
def test_chunks_give_the_loss_and_gradients_of_the_whole(problem, way, chunk_size):
    targets, (states, weight, bias) = problem
    expected, gradients = _reference(targets, (states, weight, bias))
    if way == "general":
        loss, count = chunked_cross_entropy(states, targets, lambda rows: F.linear(rows, weight, bias), chunk_size)
    else:
        loss, count = linear_cross_entropy(states, targets, weight, bias, chunk_size)
    assert count == 8
    torch.testing.assert_close(loss, expected)
    for got, wanted in zip(torch.autograd.grad(loss / 3, (states, weight, bias)), gradients, strict=True):
        torch.testing.assert_close(got, wanted)


def test_without_gradients_both_ways_agree(problem):
    targets, (states, weight, _) = problem
    with torch.no_grad():
        general, _ = chunked_cross_entropy(states, targets, lambda rows: F.linear(rows, weight), 4)
        linear, _ = linear_cross_entropy(states, targets, weight, None, 4)
    assert general == linear


def test_a_frozen_head_passes_gradients_on(problem):
    targets, (states, weight, _) = problem
    loss, _ = linear_cross_entropy(states, targets, weight.detach(), None, 4)
    (wanted,) = torch.autograd.grad(F.cross_entropy(states @ weight.t(), targets, reduction="sum"), states)
    torch.testing.assert_close(torch.autograd.grad(loss, states)[0], wanted)


def test_rows_that_do_not_count_may_be_all(problem):
    targets, (states, weight, bias) = problem
    loss, count = linear_cross_entropy(states, torch.full_like(targets, IGNORE), weight, bias, 4)
    loss.backward()
    assert (loss, count) == (0, 0)
    assert not weight.grad.any()


def test_asking_twice_for_the_gradient_is_refused(problem):
    targets, (states, weight, _) = problem
    loss, _ = linear_cross_entropy(states, targets, weight)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="for one use only"):
        loss.backward()


def test_under_autocast_the_loss_is_summed_in_float32(problem):
    targets, (states, weight, bias) = problem
    expected, gradients = _reference(targets, (states, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = linear_cross_entropy(states, targets, weight, bias, 4)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.02, atol=0)
    for got, wanted in zip(torch.autograd.grad(loss / 3, (states, weight, bias)), gradients, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0.05, atol=0.02)


def test_logits_never_exist_for_more_rows_than_a_chunk():
    sizes = []

    def project(rows):
        sizes.append(len(rows))
        return rows

    states = torch.randn(10, 5, requires_grad=True)
    loss, _ = chunked_cross_entropy(states, torch.zeros(10, dtype=torch.long), project, 4)
    loss.backward()
    assert sorted(sizes) == [2, 2, 4, 4, 4, 4]


@pytest.mark.parametrize("chunk_size", [3, 64])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("way", ["general", "linear"])
def test_in_bfloat16_chunks_are_as_near_to_the_truth_as_the_whole(problem, way, biased, chunk_size):
    """The softmax is taken in fp32. The truth is fp32 throughout; a gradient may be off by twice what the plain way is
    off by, and by a rounding of bf16.
    """
    targets, exact = problem
    exact = exact[: 2 + biased]
    _, truth = _reference(targets, exact)
    halves = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    _, plain = _reference(targets, halves)
    softmax_exact = F.cross_entropy(F.linear(*halves).float(), targets, ignore_index=IGNORE, reduction="sum")
    if way == "general":
        loss, count = chunked_cross_entropy(halves[0], targets, lambda rows: F.linear(rows, *halves[1:]), chunk_size)
    else:
        loss, count = linear_cross_entropy(halves[0], targets, *halves[1:], chunk_size=chunk_size)
    assert (loss.dtype, count) == (torch.float32, 8)
    torch.testing.assert_close(loss, softmax_exact, rtol=1e-4, atol=0)
    for got, by_plain, wanted in zip(torch.autograd.grad(loss / 3, halves), plain, truth, strict=True):
        assert got.dtype == torch.bfloat16
        allowed = 2 * (by_plain.float() - wanted).abs().max() + wanted.abs().max() / 2**8
        assert (got.float() - wanted).abs().max() <= allowed


@pytest.mark.parametrize("counted", [0, 1, 7, 100])
@pytest.mark.parametrize("way", ["general", "linear"])
def test_without_the_rows_that_do_not_count_loss_and_gradients_are_the_same(way, counted):
    generator = torch.Generator().manual_seed(0)
    shapes = ((100, 6), (11, 6), (11,))
    tensors = [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
    states, weight, bias = tensors
    targets = torch.randint(11, (100,), generator=generator)
    targets[torch.randperm(100, generator=generator)[counted:]] = IGNORE

    def loss_of(rows, wanted):
        if way == "linear":
            return linear_cross_entropy(rows, wanted, weight, bias, 16)
        return chunked_cross_entropy(rows, wanted, lambda some: F.linear(some, weight, bias), 16)

    rows, wanted = counted_rows(states, targets)
    assert (len(rows), len(wanted)) == (counted, counted)
    assert torch.equal(wanted, targets[targets != IGNORE])
    whole, part = loss_of(states, targets), loss_of(rows, wanted)
    assert part[1] == whole[1] == counted
    torch.testing.assert_close(part[0], whole[0], rtol=1e-6, atol=1e-6)  # the sum is in float32
    for one, other in zip(torch.autograd.grad(part[0], tensors), torch.autograd.grad(whole[0], tensors), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_where_all_rows_count_none_is_copied():
    states, targets = torch.randn(5, 3), torch.zeros(5, dtype=torch.long)
    assert counted_rows(states, targets)[0] is states
