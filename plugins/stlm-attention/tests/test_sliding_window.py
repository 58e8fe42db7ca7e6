"""Sliding windows against transformers' Mistral, and each way of computing them against the plain one."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from stlm_attention.nn.rolling import RollingCache
from stlm_attention.nn.sliding_window import SlidingWindowAttention, attend_nearby
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import stlm
from stlm.nn import Context, Rotary, cost
from stlm.spec import SpecError

mistral = pytest.importorskip("transformers.models.mistral.modeling_mistral", reason="needs transformers")
masking = pytest.importorskip("transformers.masking_utils", reason="needs transformers")

HIDDEN = 48


def made(window: int, q_heads: int = 4, kv_heads: int = 2) -> SlidingWindowAttention:
    return SlidingWindowAttention(
        HIDDEN,
        window=window,
        num_q_heads=q_heads,
        num_kv_heads=kv_heads,
        head_dim=8,
        causal=True,
        norm=nn.Identity(),
    )


def context_of(seq: int, segments: Tensor | None = None, batch: int = 2) -> Context:
    return Context(torch.zeros(batch, seq, dtype=torch.long), torch.arange(seq).unsqueeze(0), segments, Rotary())


def theirs(config: Any, x: Tensor) -> tuple[Any, Tensor]:
    """Mistral's attention, and what it makes of x with the mask that its own library makes."""
    torch.manual_seed(0)
    reference, positions = mistral.MistralAttention(config, 0), torch.arange(x.shape[1]).unsqueeze(0)
    place = torch.arange(x.shape[1])
    seen = masking.sliding_window_causal_mask_function(config.sliding_window)(0, 0, place.unsqueeze(1), place)
    mask = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
    rotated = mistral.MistralRotaryEmbedding(config)(x, positions)
    return reference, reference(x, position_embeddings=rotated, attention_mask=mask)[0]


@pytest.mark.parametrize("seq", [1, 7, 16, 17, 43])
@pytest.mark.parametrize(("q_heads", "kv_heads"), [(4, 2), (3, 3)])
def test_outputs_and_gradients_are_those_of_mistral(q_heads, kv_heads, seq):
    """A window of 8: a text within it, one up to twice as long, and longer ones, which are cut into blocks."""
    config = mistral.MistralConfig(
        hidden_size=HIDDEN,
        num_attention_heads=q_heads,
        num_key_value_heads=kv_heads,
        head_dim=8,
        sliding_window=8,
        attn_implementation="eager",
    )
    x = torch.randn(2, seq, HIDDEN, generator=torch.Generator().manual_seed(1), requires_grad=True)
    reference, expected = theirs(config, x)
    attn = made(8, q_heads, kv_heads)
    projections = (reference.q_proj, reference.k_proj, reference.v_proj)
    with torch.no_grad():
        attn.qkv.weight.copy_(torch.cat([p.weight for p in projections]))
        attn.out_proj.weight.copy_(reference.o_proj.weight)
    weigh = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (d_expected,) = torch.autograd.grad((expected * weigh).sum(), x, retain_graph=True)
    (expected * weigh).sum().backward(inputs=list(reference.parameters()))
    given = attn(x, context_of(seq))
    x.grad = None
    (given * weigh).sum().backward()
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad, d_expected, rtol=1e-5, atol=1e-5)
    d_qkv = torch.cat([p.weight.grad for p in projections])
    torch.testing.assert_close(attn.qkv.weight.grad, d_qkv, rtol=1e-4, atol=1e-4)


def plain(q: Tensor, k: Tensor, v: Tensor, window: int, segments: Tensor | None) -> Tensor:
    """Attention written out, with the whole table of scores."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    place = torch.arange(q.shape[2])
    behind = place.unsqueeze(1) - place
    seen = (behind >= 0) & (behind < window)
    if segments is not None:
        seen = seen & (segments.unsqueeze(2) == segments.unsqueeze(1)).unsqueeze(1)
    scores = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).masked_fill(~seen, -torch.inf)
    return scores.softmax(dim=-1) @ v


@pytest.mark.parametrize("with_segments", [False, True])
@pytest.mark.parametrize(("seq", "window"), [(9, 16), (20, 16), (33, 16), (40, 16), (64, 16), (23, 1)])
def test_blocks_are_what_the_whole_table_gives(seq, window, with_segments):
    generator = torch.Generator().manual_seed(seq)
    q, k, v = (
        torch.randn(2, h, seq, 8, generator=generator, dtype=torch.float64, requires_grad=True) for h in (4, 2, 2)
    )
    segments = None
    if with_segments:
        segments = torch.randint(4, (2, seq), generator=generator).sort(dim=1).values - 1
    given = attend_nearby(q, k, v, window=window, segments=segments, context=context_of(seq, segments))
    expected = plain(q, k, v, window, segments)
    torch.testing.assert_close(given, expected, rtol=1e-10, atol=1e-10)
    weigh = torch.randn(given.shape, generator=generator, dtype=torch.float64)
    gradients = [torch.autograd.grad((y * weigh).sum(), (q, k, v)) for y in (given, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


class Largest(TorchDispatchMode):
    """Knows the number of elements of the largest tensor that was made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [leaf for leaf in torch.utils._pytree.tree_leaves(out) if isinstance(leaf, Tensor)]
        self.elements = max(self.elements, *(t.numel() for t in made), 0) if made else self.elements
        return out


@pytest.mark.parametrize("with_segments", [False, True])
def test_memory_grows_with_the_text_not_with_its_square(with_segments):
    def largest(seq: int) -> int:
        segments = torch.zeros(2, seq, dtype=torch.long) if with_segments else None
        q, k, v = torch.randn(3, 2, 2, seq, 8)
        with Largest() as seen:
            attend_nearby(q, k, v, window=16, segments=segments, context=context_of(seq, segments))
        return seen.elements

    assert largest(1024) == pytest.approx(2 * largest(512), rel=0.05)


def pieces(sizes: list[int]) -> Iterator[slice]:
    start = 0
    for size in sizes:
        yield slice(start, start + size)
        start += size


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("sizes", [[1] * 24, [24], [20, 4], [3, 1, 1, 9, 1, 6, 3], [7, 17], [5, 5, 5, 5, 1, 1, 1, 1]])
def test_going_on_with_a_rolling_cache_gives_what_one_pass_gives(sizes, padded):
    """With a window of 5; where padded, one text begins at place 3 and the other at place 0."""
    attn, x = made(5), torch.randn(2, 24, HIDDEN, generator=torch.Generator().manual_seed(0))
    segments = torch.where(torch.arange(24) < torch.tensor([[3], [0]]), -1, 0) if padded else None
    positions = torch.arange(24).unsqueeze(0)
    with torch.no_grad():
        whole = attn(x, context_of(24, segments))
        state = attn.init_state(2, 24, x.device, x.dtype)
        parts = []
        for piece in pieces(sizes):
            own = None if segments is None else segments[:, piece]
            part = x[:, piece]
            parts.append(attn(part, Context(part[..., 0].long(), positions[:, piece], own, Rotary()), state))
    assert state.keys.shape[2] == state.values.shape[2] == 5
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-6)


def test_a_cache_takes_no_more_tokens_than_it_was_made_for():
    cache = RollingCache(1, 1, 6, 4, torch.device("cpu"), torch.float32, window=4)
    k = torch.zeros(1, 1, 4, 4)
    cache.append(k, k, None)
    with pytest.raises(ValueError, match="a cache of 6 tokens cannot take 4 more after 4"):
        cache.append(k, k, None)


@pytest.mark.parametrize(("seq", "window"), [(4, 8), (8, 8), (32, 8), (64, 8)])
def test_operations_are_those_of_the_pairs_in_the_window(seq, window):
    """A pair costs 4·head_dim a head; the diagonal counts half, as it does for a plain causal mask."""
    pairs = sum(min(place + 1, window) for place in range(seq))
    halved = pairs - seq / 2 if seq <= window else pairs - window / 2
    projections = 2 * HIDDEN * 8 * (4 + 2 * 2 + 4)
    assert cost.flops_per_token(made(window), seq) * seq == seq * projections + 4 * 8 * 4 * halved


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("window", [4, 64])
@pytest.mark.parametrize(("encoding", "within"), [("sincos", 0.01), ("rope", 0.02)])
def test_what_is_kept_is_foretold(shipped, share_foretold, window, precision, encoding, within):
    """With and without blocks; tables of cosines and sines are left out, as everywhere."""
    spec = shipped("sliding_window.yaml", f"model.attn.window={window}", f"model.positional_encoding_type={encoding}")
    assert share_foretold(spec, precision) == pytest.approx(1, rel=within)


def test_its_spec_trains_and_a_run_that_stops_goes_on_bit_for_bit(learns_and_goes_on):
    learns_and_goes_on("sliding_window.yaml")


def test_a_window_of_nothing_is_refused(shipped):
    with pytest.raises(SpecError) as caught:
        shipped("sliding_window.yaml", "model.attn.window=0")
    (found,) = caught.value.diagnostics
    assert found.key == "model.attn.window"


def test_a_window_that_holds_all_is_causal_attention(shipped):
    wide = stlm.compile(shipped("sliding_window.yaml", "model.attn.window=64"), "cpu").model
    causal = "model.attn={attn_type: causal, num_kv_heads: 1, num_q_heads: 2}"
    other = stlm.compile(shipped("sliding_window.yaml", causal), "cpu").model
    ids = torch.randint(512, (2, 64), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(wide(ids), other(ids), rtol=0, atol=1e-6)
