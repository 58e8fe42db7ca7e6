"""The recurrence in chunks against the same one, token by token, in float64."""

import pytest
import torch
from stlm_attention.nn.recurrence import Borders, recur
from torch import Tensor

BATCH, HEADS, KEY, VALUE = 2, 3, 6, 5


def step_by_step(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None, segments: Tensor | None, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """S ← diag(exp(g)) S + k vᵀ, y = Sᵀ q, from nothing at the first token of each text; all float64."""
    q, k, v = q.double(), k.double(), v.double()
    sums = torch.zeros(BATCH, HEADS, KEY, VALUE, dtype=torch.float64) if state is None else state.double()
    results = []
    for t in range(q.shape[2]):
        if log_decay is not None:
            sums = sums * log_decay[:, :, t].double().exp().unsqueeze(-1)
        if segments is not None and t > 0:
            sums = sums * (segments[:, t] == segments[:, t - 1]).view(-1, 1, 1, 1)
        sums = sums + k[:, :, t].unsqueeze(-1) * v[:, :, t].unsqueeze(-2)
        results.append((sums * q[:, :, t].unsqueeze(-1)).sum(dim=-2))
    return torch.stack(results, dim=2), sums


def drawn(seq: int, strength: float | None, seed: int = 0) -> list[Tensor]:
    """q, k, v, and log decays down to -strength a token."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(BATCH, HEADS, seq, width) for width in (KEY, KEY, VALUE)]
    tensors = [torch.randn(*shape, generator=generator) for shape in shapes]
    if strength is not None:
        tensors.append(-strength * torch.rand(BATCH, HEADS, seq, KEY, generator=generator))
    return [tensor.requires_grad_() for tensor in tensors]


def near(given: Tensor, expected: Tensor, tolerance: float) -> None:
    """Within a share of the largest: a sum is as exact as its largest term."""
    torch.testing.assert_close(given.double(), expected, rtol=0, atol=tolerance * expected.detach().abs().max().item())


@pytest.mark.parametrize("with_segments", [False, True])
@pytest.mark.parametrize("strength", [None, 0.05, 1.0, 30.0])
@pytest.mark.parametrize(("seq", "chunk"), [(1, 16), (5, 1), (16, 16), (37, 8), (64, 64), (50, 128)])
def test_results_states_and_gradients_are_those_of_the_recurrence(seq, chunk, strength, with_segments):
    """Up to 64 tokens of 30 each: a split at the beginning of a chunk would ask for e^1900.

    Sums of so many logarithms are known to 1900 · 2^-24 = 1e-4, which is what is asked of the strongest decay.
    """
    inputs = drawn(seq, strength)
    generator = torch.Generator().manual_seed(1)
    state = torch.randn(BATCH, HEADS, KEY, VALUE, generator=generator, requires_grad=True)
    segments = torch.randint(4, (BATCH, seq), generator=generator).sort(dim=1).values if with_segments else None
    borders = None if segments is None else Borders.of(segments, None, chunk)
    decay = inputs[3] if strength is not None else None
    given = recur(*inputs[:3], decay, state=state, borders=borders, chunk_size=chunk)
    expected = step_by_step(*inputs[:3], decay, segments, state)
    weights = [torch.randn(y.shape, generator=generator, dtype=torch.float64) for y in expected]
    tolerance = 1e-4 if strength == 30.0 else 5e-6
    gradients = []
    for results in (given, expected):
        total = sum((y.double() * w).sum() for y, w in zip(results, weights, strict=True))
        gradients.append(torch.autograd.grad(total, (*inputs, state)))
    for one, other in zip((*given, *gradients[0]), (*expected, *gradients[1]), strict=True):
        near(one, other.double(), tolerance)


def test_the_split_of_a_chunk_does_not_overflow():
    """A thousand e-folds a token leave each token by itself: y_t = (q_t · k_t) v_t, with gradients."""
    q, k, v, decay = drawn(32, 1.0)
    strong = (decay.detach() * 0 - 1000).requires_grad_()
    y, _ = recur(q, k, v, strong, chunk_size=32)
    torch.testing.assert_close(y, (q * k).sum(dim=-1, keepdim=True) * v)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(y.sum(), (q, k, v, strong)))


@pytest.mark.parametrize("strength", [None, 1.0, 30.0])
def test_no_result_depends_on_what_follows_or_on_another_text(strength):
    """Exactly: a gradient of 0, and none that is not a number. Texts begin within a chunk, and where one begins."""
    inputs = drawn(24, strength)
    segments = torch.bucketize(torch.arange(24), torch.tensor([10, 16]), right=True).expand(BATCH, 24)
    borders = Borders.of(segments, None, 8)
    y, _ = recur(*inputs, borders=borders, chunk_size=8)
    for t in (0, 7, 9, 10, 15, 16, 23):
        begin = max(place for place in (0, 10, 16) if place <= t)
        k, v, *decay = (
            gradient.abs().sum(dim=(0, 1, 3))
            for gradient in torch.autograd.grad(y[:, :, t].sum(), inputs[1:], retain_graph=True)
        )
        within = torch.tensor([begin <= place <= t for place in range(24)])
        if strength != 30.0:  # which leaves nothing of a token that is far away
            assert torch.equal(k > 0, within)
            assert torch.equal(v > 0, within)
        for gradient in (k, v, *decay):
            assert (gradient[~within] == 0).all()
        if decay and begin > 0:
            assert decay[0][begin] == 0, "what the first token of a text lets fade is another text"


def test_strong_decays_of_a_text_change_no_bit_of_the_next():
    inputs = drawn(24, 1.0)
    borders = Borders.of((torch.arange(24) >= 10).long().expand(BATCH, 24), None, 16)
    results = []
    for strength in (0.0, 1.0, 1000.0, 1e30):
        decay = inputs[3].detach().clone()
        decay[:, :, :11] *= strength  # that of the tenth acts on the text before
        y, state = recur(*inputs[:3], decay, borders=borders, chunk_size=16)
        results.append((y[:, :, 10:], state))
    assert all(torch.equal(y, results[0][0]) and torch.equal(state, results[0][1]) for y, state in results[1:])


@pytest.mark.parametrize("strength", [None, 1.0])
def test_a_state_goes_on_within_its_text_and_no_further(strength):
    """In pieces of any size, with texts that end within a piece and between two."""
    inputs = drawn(30, strength)
    segments = torch.tensor([[0] * 4 + [1] * 9 + [2] * 17, [0] * 20 + [7] * 10])
    whole, last = recur(*inputs, borders=Borders.of(segments, None, 8), chunk_size=8)
    for sizes in ([4, 9, 17], [1] * 30, [10, 3, 1, 16], [25, 5]):
        state, before, parts = None, None, []
        for *tensors, own in zip(*(x.split(sizes, dim=2) for x in inputs), segments.split(sizes, dim=1), strict=True):
            part, state = recur(*tensors, state=state, borders=Borders.of(own, before, 8), chunk_size=8)
            parts.append(part)
            before = own[:, -1:]
        torch.testing.assert_close(torch.cat(parts, dim=2), whole, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(state, last, rtol=1e-4, atol=1e-5)


def test_a_segment_that_comes_back_is_another_text():
    """What lies between two runs of one segment cannot be taken out of a sum, so both begin from nothing."""
    inputs = drawn(6, 1.0)
    runs = Borders.of(torch.tensor([[0, 0, 1, 1, 0, 0]] * BATCH), None, 2)
    texts = Borders.of(torch.tensor([[0, 0, 1, 1, 2, 2]] * BATCH), None, 2)
    given, expected = (recur(*inputs, borders=borders, chunk_size=2)[0] for borders in (runs, texts))
    assert torch.equal(given, expected)


@pytest.mark.parametrize("strength", [None, 1.0, 30.0])
@pytest.mark.parametrize("before", [None, 0, 1])
def test_a_single_token_is_a_step_of_the_recurrence(strength, before):
    """As generation takes them, without gradients: at the beginning, within a text, and where another begins."""
    inputs = drawn(1, strength)
    decay = inputs[3] if strength is not None else None
    state = (
        None if before is None else torch.randn(BATCH, HEADS, KEY, VALUE, generator=torch.Generator().manual_seed(1))
    )
    borders = None if before is None else Borders.of(torch.zeros(BATCH, 1), torch.full((BATCH, 1), before), 8)
    with torch.no_grad():
        given = recur(*inputs[:3], decay, state=state, borders=borders, chunk_size=8)
        expected = step_by_step(*inputs[:3], decay, None, None if before == 1 else state)
    for one, other in zip(given, expected, strict=True):
        near(one, other, 5e-6)
