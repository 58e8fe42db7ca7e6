"""Gated linear attention against its equations, token by token in float64, and the way to flash-linear-attention."""

from collections.abc import Callable

import pytest
import torch
from stlm_attention.nn import fla
from stlm_attention.nn.gated_linear import GatedLinearAttention
from stlm_attention.nn.recurrence import Borders, recur
from torch import Tensor, nn

import stlm
from stlm.nn import Context, NoPositions, RMSNorm, Rotary, cost
from stlm.spec import SpecError

HIDDEN, HEADS, KEY, VALUE, RANK, TEMPERATURE, EPS = 24, 2, 6, 12, 4, 4.0, 1e-5


def made(chunk_size: int = 8) -> GatedLinearAttention:
    torch.manual_seed(0)
    attn = GatedLinearAttention(
        HIDDEN,
        num_heads=HEADS,
        key_head_dim=KEY,
        value_head_dim=VALUE,
        decay_rank=RANK,
        decay_temperature=TEMPERATURE,
        chunk_size=chunk_size,
        norm=nn.Identity(),
        head_norm=RMSNorm(VALUE, eps=EPS),
    )
    nn.init.normal_(attn.decay_up.weight, std=3.0)  # decays from none to nearly all
    nn.init.uniform_(attn.head_norm.weight, 0.5, 1.5)
    return attn


def context_of(seq: int, segments: Tensor | None = None, encoding: nn.Module | None = None) -> Context:
    places = torch.arange(seq).unsqueeze(0)
    return Context(torch.zeros(2, seq, dtype=torch.long), places, segments, encoding or NoPositions())


def by_its_equations(attn: GatedLinearAttention, x: Tensor, segments: Tensor | None) -> Tensor:
    """The layer of the paper's section 4.4, from each token to the next."""
    sizes = [HEADS * KEY, HEADS * KEY, HEADS * VALUE, HEADS * VALUE]
    w_q, w_k, w_v, w_r = attn.qkvr.weight.split(sizes)
    results, state = [], None
    for t in range(x.shape[1]):
        now = x[:, t]
        q, k = ((now @ w.T).view(-1, HEADS, KEY, 1) for w in (w_q, w_k))
        v = (now @ w_v.T).view(-1, HEADS, 1, VALUE)
        logits = now @ attn.decay_down.weight.T @ attn.decay_up.weight.T + attn.decay_up.bias
        decay = torch.sigmoid(logits).pow(1 / TEMPERATURE).view(-1, HEADS, KEY, 1)
        goes_on = 1.0 if segments is None or t == 0 else (segments[:, t] == segments[:, t - 1]).view(-1, 1, 1, 1)
        state = k * v if state is None else decay * state * goes_on + k * v
        y = (q * state).sum(dim=2) / KEY**0.5
        y = y / (y.square().mean(dim=-1, keepdim=True) + EPS).sqrt() * attn.head_norm.weight
        gate = now @ w_r.T
        results.append((y.flatten(1) * gate * torch.sigmoid(gate)) @ attn.out_proj.weight.T)
    return torch.stack(results, dim=1)


@pytest.mark.parametrize("with_segments", [False, True])
@pytest.mark.parametrize(("seq", "chunk_size"), [(1, 8), (21, 8), (21, 64)])
def test_outputs_and_gradients_are_those_of_the_equations(seq, chunk_size, with_segments):
    attn, reference = made(chunk_size), made(chunk_size).double()
    x = torch.randn(2, seq, HIDDEN, generator=torch.Generator().manual_seed(1))
    segments = (torch.arange(seq) >= seq // 3).long().expand(2, seq) if with_segments else None
    given = attn(x, context_of(seq, segments))
    expected = by_its_equations(reference, x.double(), segments)
    torch.testing.assert_close(given.double(), expected, rtol=1e-4, atol=1e-5)
    weigh = torch.randn(given.shape, generator=torch.Generator().manual_seed(2))
    (given * weigh).sum().backward()
    (expected * weigh).sum().backward()
    for (name, own), other in zip(attn.named_parameters(), reference.parameters(), strict=True):
        if seq > 1 or not name.startswith("decay"):  # of a single token nothing decays
            torch.testing.assert_close(own.grad.double(), other.grad, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("encoding", [NoPositions(), Rotary()], ids=["none", "rope"])
def test_going_on_with_a_state_gives_what_one_pass_gives(encoding):
    attn, x = made(), torch.randn(2, 20, HIDDEN, generator=torch.Generator().manual_seed(0))
    segments = torch.where(torch.arange(20) < torch.tensor([[3], [0]]), -1, 0)
    with torch.no_grad():
        whole = attn(x, context_of(20, segments, encoding))
        for sizes in ([1] * 20, [2, 9, 1, 8], [20]):
            state, parts, start = attn.init_state(2, 20, x.device, torch.bfloat16), [], 0
            for part in x.split(sizes, dim=1):
                places = torch.arange(start, start + part.shape[1])
                context = Context(part[..., 0].long(), places.unsqueeze(0), segments[:, places], encoding)
                parts.append(attn(part, context, state))
                start += part.shape[1]
            assert (state.sums.shape, state.sums.dtype) == ((2, HEADS, KEY, VALUE), torch.float32)
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


def chunk_gla(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float, cu_seqlens: Tensor | None = None
) -> tuple[Tensor, None]:
    """What `fla.ops.gla.chunk_gla` says it computes: (batch, seq, heads, width), natural logarithms of decays."""
    batch, seq = q.shape[:2]
    assert cu_seqlens is None or (batch == 1 and cu_seqlens[-1] == seq)
    begins = set() if cu_seqlens is None else set(cu_seqlens.tolist())
    y, state = [], torch.zeros(batch, HEADS, KEY, VALUE, dtype=q.dtype)
    for t in range(seq):
        state = state * 0 if t in begins else state * g[:, t].exp().unsqueeze(-1)
        state = state + k[:, t].unsqueeze(-1) * v[:, t].unsqueeze(-2)
        y.append((scale * q[:, t].unsqueeze(-1) * state).sum(dim=-2))
    return torch.stack(y, dim=1), None


@pytest.mark.parametrize("with_segments", [False, True])
def test_the_kernel_for_cuda_is_told_the_same(with_segments):
    """Its layout, and its borders of texts, one of which a row ends with and the next begins with."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, HEADS, 13, width, generator=generator) for width in (KEY, KEY, VALUE))
    log_decay = -torch.rand(2, HEADS, 13, KEY, generator=generator)
    segments = torch.tensor([[0] * 4 + [1] * 9, [1] * 5 + [2] * 8]) if with_segments else None
    borders = None if segments is None else Borders.of(segments, None, 8)
    expected, _ = recur(q, k, v, log_decay, borders=borders, chunk_size=8)
    torch.testing.assert_close(fla.attend(chunk_gla, q, k, v, log_decay, segments), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seq", [4, 8, 64])
def test_operations_by_hand(seq):
    """Projections; in a chunk half of the pairs, scored and summed; a state written and read."""
    keys, values = HEADS * KEY, HEADS * VALUE
    projections = 2 * (HIDDEN * (2 * keys + 2 * values) + HIDDEN * RANK + RANK * keys + values * HIDDEN)
    pairs = HEADS * min(seq, 8) / 2 * 2 * (KEY + VALUE)
    state = HEADS * 2 * 2 * KEY * VALUE
    assert cost.flops_per_token(made(), seq) == projections + pairs + state


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("encoding", ["none", "rope"])
def test_what_is_kept_is_foretold(shipped, share_foretold, encoding, precision):
    """To two hundredths: under bf16 a rotated k is not kept beside its float32 form, but counted."""
    spec = shipped("gated_linear.yaml", f"model.positional_encoding_type={encoding}")
    assert share_foretold(spec, precision) == pytest.approx(1, rel=0.02)


def test_its_spec_trains_and_a_run_that_stops_goes_on_bit_for_bit(learns_and_goes_on):
    learns_and_goes_on("gated_linear.yaml")


def test_documents_that_share_a_window_are_what_they_are_alone(shipped: Callable[..., stlm.Spec]):
    model = stlm.compile(shipped("gated_linear.yaml"), "cpu").model.eval()
    ids = torch.randint(512, (2, 64), generator=torch.Generator().manual_seed(0))
    segments = torch.bucketize(torch.arange(64), torch.tensor([5, 21, 22, 50]), right=True).expand(2, 64)
    with torch.no_grad():
        together = model(ids, segments=segments)
        alone = [model(part) for part in ids.split([5, 16, 1, 28, 14], dim=1)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.attn.num_heads=32", "`hidden_dim` 32 cannot be divided by 64, for `num_heads` 32"),
        ("model.attn.chunk_size=3", "`chunk_size` is 3, and must be a power of 2, such as 2"),
    ],
)
def test_a_mistake_is_told_in_a_line(shipped, change, says):
    with pytest.raises(SpecError) as caught:
        shipped("gated_linear.yaml", change)
    (found,) = caught.value.diagnostics
    assert says in found.message
