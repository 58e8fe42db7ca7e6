"""Linear attention against the same weights of every pair written out, in float64."""

import pytest
import torch
import torch.nn.functional as F
from stlm_attention.nn.linear import LinearAttention, feature_map
from torch import Tensor, nn

from stlm.nn import Context, NoPositions, Rotary, cost
from stlm.spec import SpecError

HIDDEN, HEADS, WIDTH = 24, 3, 8


def made(chunk_size: int = 8, bias: bool = False) -> LinearAttention:
    torch.manual_seed(0)
    return LinearAttention(
        HIDDEN, num_heads=HEADS, head_dim=WIDTH, chunk_size=chunk_size, norm=nn.Identity(), bias=bias
    )


def context_of(seq: int, encoding: nn.Module, segments: Tensor | None = None) -> Context:
    return Context(torch.zeros(2, seq, dtype=torch.long), torch.arange(seq).unsqueeze(0), segments, encoding)


def pair_by_pair(attn: LinearAttention, x: Tensor, encoding: nn.Module, segments: Tensor | None) -> Tensor:
    """Weights φ(q_i)·φ(k_j), rotated in the numerator alone, for each j ≤ i of the text of i."""
    seq = x.shape[1]
    q, k, v = attn.qkv(x).unflatten(-1, (3, HEADS, WIDTH)).permute(2, 0, 3, 1, 4)
    q, k = F.elu(q) + 1, F.elu(k) + 1
    rotated = context_of(seq, encoding).encode_qk(q, k)
    seen = torch.ones(seq, seq, dtype=torch.bool).tril()
    if segments is not None:
        seen = seen & (segments.unsqueeze(2) == segments.unsqueeze(1)).unsqueeze(1)
    weights, all_weights = ((a @ b.transpose(2, 3)).masked_fill(~seen, 0) for a, b in (rotated, (q, k)))
    y = weights @ v / all_weights.sum(dim=-1, keepdim=True)
    return attn.out_proj(y.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("encoding", [NoPositions(), Rotary()], ids=["none", "rope"])
@pytest.mark.parametrize("with_segments", [False, True])
@pytest.mark.parametrize(("seq", "chunk_size"), [(1, 8), (21, 8), (21, 64)])
def test_outputs_and_gradients_are_those_of_every_pair(seq, chunk_size, with_segments, encoding):
    attn, reference = made(chunk_size, bias=True), made(chunk_size, bias=True).double()
    x = torch.randn(2, seq, HIDDEN, generator=torch.Generator().manual_seed(1))
    segments = (torch.arange(seq) >= seq // 3).long().expand(2, seq) if with_segments else None
    given = attn(x, context_of(seq, encoding, segments))
    expected = pair_by_pair(reference, x.double(), encoding, segments)
    torch.testing.assert_close(given.double(), expected, rtol=1e-5, atol=1e-6)
    weigh = torch.randn(given.shape, generator=torch.Generator().manual_seed(2))
    (given * weigh).sum().backward()
    (expected * weigh).sum().backward()
    for own, other in zip(attn.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own.grad.double(), other.grad, rtol=1e-4, atol=1e-5)


def test_a_small_denominator_is_what_it_is():
    """φ of -8 is 3e-4, so that a product of eight pairs is about 1e-6; what is divided by it is as small."""
    attn, reference = made(bias=True), made(bias=True).double()
    for layer in (attn, reference):
        nn.init.constant_(layer.qkv.bias[: 2 * HEADS * WIDTH].detach(), -8.0)
    x = torch.randn(2, 12, HIDDEN, generator=torch.Generator().manual_seed(1))
    expected = pair_by_pair(reference, x.double(), NoPositions(), None)
    torch.testing.assert_close(attn(x, context_of(12, NoPositions())).double(), expected, rtol=1e-4, atol=1e-5)


def test_the_feature_map_is_elu_plus_one_also_where_float32_has_no_digits_left():
    x = torch.linspace(-60, 20, 81, requires_grad=True)
    exact = x.detach().double().requires_grad_()
    expected = torch.where(exact > 0, exact + 1, exact.exp())
    torch.testing.assert_close(expected, F.elu(exact) + 1)
    torch.testing.assert_close(feature_map(x).double(), expected, rtol=1e-5, atol=0)
    gradients = [torch.autograd.grad(y.sum(), t)[0].double() for y, t in ((feature_map(x), x), (expected, exact))]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=0)
    assert (F.elu(x)[:40] + 1 == 0).all()  # what is avoided: -60 to -21


@pytest.mark.parametrize("encoding", [NoPositions(), Rotary()], ids=["none", "rope"])
@pytest.mark.parametrize("kept_apart", ["nothing", "padding", "documents"])
def test_going_on_with_a_state_gives_what_one_pass_gives(encoding, kept_apart):
    """Padding stands before one text and not the other, as in generation from several prompts."""
    attn, x = made(), torch.randn(2, 20, HIDDEN, generator=torch.Generator().manual_seed(0))
    places = torch.arange(20)
    segments = {
        "nothing": None,
        "padding": torch.where(places < torch.tensor([[3], [0]]), -1, 0),
        "documents": ((places >= 6).long() + (places >= 13)).expand(2, 20),
    }[kept_apart]
    with torch.no_grad():
        whole = attn(x, context_of(20, encoding, segments))
        for sizes in ([1] * 20, [2, 9, 1, 8], [20]):
            state, parts, start = attn.init_state(2, 20, x.device, x.dtype), [], 0
            for part in x.split(sizes, dim=1):
                places = torch.arange(start, start + part.shape[1])
                own = None if segments is None else segments[:, places]
                parts.append(attn(part, Context(part[..., 0].long(), places.unsqueeze(0), own, encoding), state))
                start += part.shape[1]
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_its_state_does_not_grow_and_is_float32_in_a_network_of_bfloat16():
    attn = made().to(torch.bfloat16)
    state = attn.init_state(2, 10**9, torch.device("cpu"), torch.bfloat16)
    x = torch.randn(2, 5, HIDDEN).to(torch.bfloat16)
    assert attn(x, context_of(5, NoPositions()), state).dtype == torch.bfloat16
    assert (state.sums.shape, state.sums.dtype) == ((2, HEADS, WIDTH, WIDTH + 1), torch.float32)


@pytest.mark.parametrize("seq", [4, 8, 64])
def test_operations_by_hand(seq):
    """Projections; in a chunk half of the pairs, scored and summed; a state written and read."""
    projections = 2 * 4 * HIDDEN * HIDDEN
    pairs = HEADS * min(seq, 8) / 2 * 2 * (WIDTH + WIDTH + 1)
    state = HEADS * 2 * 2 * WIDTH * (WIDTH + 1)
    assert cost.flops_per_token(made(), seq) == projections + pairs + state


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("encoding", ["sincos", "rope"])
def test_what_is_kept_is_foretold(shipped, share_foretold, encoding, precision):
    """To two hundredths: in so small a network the tables of cosines and sines, which are not foretold, are one."""
    spec = shipped("linear.yaml", f"model.positional_encoding_type={encoding}")
    assert share_foretold(spec, precision) == pytest.approx(1, rel=0.02)


def test_its_spec_trains_and_a_run_that_stops_goes_on_bit_for_bit(learns_and_goes_on):
    learns_and_goes_on("linear.yaml")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.attn.num_heads=3", "`hidden_dim` 32 cannot be split evenly among `num_heads` 3"),
        ("model.attn.chunk_size=24", "`chunk_size` is 24, and must be a power of 2, such as 16"),
    ],
)
def test_a_mistake_is_told_in_a_line(shipped, change, says):
    with pytest.raises(SpecError) as caught:
        shipped("linear.yaml", change)
    (found,) = caught.value.diagnostics
    assert says in found.message
