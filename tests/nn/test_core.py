"""The core works over any attention and feed-forward modules, and shares what it is told to share."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from stlm.nn import Context, TransformerCore, cost


class _Mixer(nn.Module):
    """An attention of someone else's: it moves each token one place on, and keeps no state."""

    def __init__(self) -> None:
        super().__init__()
        self.out_proj = nn.Linear(4, 4)

    def forward(self, x, context, state=None):
        return self.out_proj(torch.nn.functional.pad(x, (0, 0, 1, 0))[:, :-1])


class _Experts(nn.Module):
    """A feed-forward network of someone else's, with nested parts and parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.gate = nn.Parameter(torch.ones(2))
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))

    def forward(self, x, context):
        context.add_loss("balance", self.gate.mean())
        return sum(g * expert(self.norm(x)) for g, expert in zip(self.gate, self.experts, strict=True))


def test_modules_of_others_are_run_and_shared():
    core = TransformerCore([(_Mixer(), _Experts()) for _ in range(3)], share_ffn=True, share_out_proj=True)
    context = Context(torch.zeros(1, 5, dtype=torch.long), torch.arange(5).unsqueeze(0))
    core(torch.randn(1, 5, 4), context).sum().backward()
    first, _, last = core.blocks
    assert last.ffn.experts[1].weight is first.ffn.experts[1].weight
    assert last.ffn.gate is first.ffn.gate
    assert last.ffn.norm.weight is not first.ffn.norm.weight
    assert last.attn.out_proj.bias is first.attn.out_proj.bias
    assert context.losses["balance"] == 3.0
    assert core.init_state(1, 5, torch.device("cpu"), torch.float32) is None


def test_no_loss_is_lost_where_blocks_are_given_copies_of_what_holds_gradients():
    """As FSDP2 gives them."""
    core = TransformerCore([(_Mixer(), _Experts()) for _ in range(3)])
    context = Context(torch.zeros(1, 5, dtype=torch.long), torch.arange(5).unsqueeze(0))

    def copy(block, arguments):
        x, given, state = arguments
        return x, replace(given, losses=dict(given.losses)) if given.losses else given, state

    for block in core.blocks:
        block.register_forward_pre_hook(copy)
    core(torch.randn(1, 5, 4), context)
    assert context.losses["balance"] == 3.0


def test_an_attention_without_out_proj_cannot_share_it():
    blocks = [(nn.Identity(), _Experts()) for _ in range(2)]
    with pytest.raises(ValueError, match="Identity has no module `out_proj`"):
        TransformerCore(blocks, share_out_proj=True)


def test_without_bias_and_norm_nothing_but_matrices_is_left(network):
    model = network(bias=False, norm="none")
    assert all(parameter.dim() == 2 for parameter in model.parameters())


def test_a_tied_head_has_no_weight_of_its_own_and_keeps_its_bias(network):
    model = network(tied=True, head_bias=True)
    assert [name for name, _ in model.named_parameters() if name.startswith("head.")] == [
        "head.norm.weight",
        "head.linear.bias",
    ]
    assert model.head.weight.data_ptr() == model.embedder.token_embedding.weight.data_ptr()
    with pytest.raises(ValueError, match=r"\(50, 32\)"):
        model.head.tie(nn.Parameter(torch.empty(50, 16)))


@pytest.mark.parametrize(
    "options", [{}, {"gated": True, "qk_norm": True, "kv_heads": 2}, {"norm": "layer", "bias": True}]
)
def test_gradients_reach_every_parameter(network, options):
    model = network(head_bias=True, positions="learned", **options)
    model(torch.arange(10).unsqueeze(0)).square().sum().backward()
    untouched = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


def test_bfloat16_autocast_runs_forward_and_backward(network):
    model = network(qk_norm=True, kv_heads=2, gated=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.arange(10).unsqueeze(0))
        logits.float().logsumexp(-1).sum().backward()
    assert (logits.float() - model(torch.arange(10).unsqueeze(0))).abs().max() < 0.5


def _counting(core: TransformerCore) -> list[int]:
    """Count from now on how often each block's attention is run."""
    runs = [0] * len(core.blocks)

    def count(index: int) -> None:
        runs[index] += 1

    for index, block in enumerate(core.blocks):
        block.attn.register_forward_pre_hook(lambda module, args, index=index: count(index))
    return runs


def _gradients(model: nn.Module, **given: object) -> dict[str, Tensor]:
    """Return the logits and the gradients of all parameters, with the same dropout each time."""
    torch.manual_seed(0)
    model.zero_grad(set_to_none=True)
    logits = model(torch.arange(16).view(2, 8), **given)
    logits.square().mean().backward()
    return {"logits": logits.detach(), **{name: p.grad.clone() for name, p in model.named_parameters()}}


@pytest.mark.parametrize(("every", "runs"), [(0, [1, 1, 1, 1, 1]), (1, [2, 2, 2, 2, 2]), (2, [1, 2, 1, 2, 1])])
def test_every_nth_block_is_run_again_in_the_backward_pass(network, every, runs):
    model = network(layers=5, recompute_every=every)
    counted = _counting(model.core)
    model(torch.arange(8).unsqueeze(0)).sum().backward()
    assert counted == runs


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.3},
        {"dropout": 0.3, "share_ffn": True, "share_out_proj": True},
        {"positions": "learned", "norm": "layer", "bias": True},
        {"qk_norm": True, "kv_heads": 2, "gated": True, "causal": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("segments", [None, torch.tensor([[0, 0, 1, 1, 1, 2, 2, -1]] * 2)], ids=["whole", "segments"])
def test_recomputed_blocks_give_the_very_same_gradients(network, options, every, segments):
    kept, recomputed = (network(layers=3, recompute_every=n, **options).train() for n in (0, every))
    expected, found = _gradients(kept, segments=segments), _gradients(recomputed, segments=segments)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_recomputed_blocks_give_the_very_same_gradients_in_bfloat16(network):
    with torch.autocast("cpu", torch.bfloat16):
        kept, recomputed = (network(share_ffn=True, recompute_every=n, dropout=0.1).train() for n in (0, 1))
        expected = _gradients(kept)
        found = _gradients(recomputed)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_blocks_are_not_run_again_where_there_are_no_gradients_or_there_is_a_state(network):
    model = network(recompute_every=1)
    counted = _counting(model.core)
    with torch.no_grad():
        model(torch.arange(4).unsqueeze(0))
    state = model.init_state(1, 8)
    model(torch.arange(4).unsqueeze(0), state=state).sum().backward()
    assert counted == [2, 2]
    assert [cache.length for cache in state.core] == [4, 4]


class _Handing(nn.Module):
    """An attention that hands what it computed to those behind it, as value residuals do, and notes each making."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, context, state=None):
        y = self.linear(x)
        if "table" not in context.memo:
            _Handing.made += 1
            context.memo["table"] = y.square(), None
        first, _ = context.memo["table"]
        context.memo["latest"] = first + context.memo.get("latest", 0) * 0.5
        return y * context.memo["latest"]


def _of_others(every: int) -> tuple[dict[str, Tensor], Context]:
    torch.manual_seed(0)
    core = TransformerCore([(_Handing(), _Experts()) for _ in range(3)], recompute_every=every, hidden_dim=4)
    context = Context(torch.zeros(1, 5, dtype=torch.long), torch.arange(5).unsqueeze(0))
    x = core(torch.randn(1, 5, 4), context)
    (x.square().sum() + context.losses["balance"] + context.memo["latest"].sum()).backward()
    return {name: p.grad for name, p in core.named_parameters()}, context


@pytest.mark.parametrize("every", [1, 2])
def test_what_recomputed_blocks_add_to_the_context_is_added_once(every):
    expected, context = _of_others(0)
    found, recomputed = _of_others(every)
    assert recomputed.losses["balance"] == context.losses["balance"] == 3.0
    assert torch.equal(recomputed.memo["latest"], context.memo["latest"])
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_a_recomputed_block_finds_what_those_before_it_made_and_makes_it_again_only_itself():
    _Handing.made = 0
    _of_others(1)
    assert _Handing.made == 2  # by the first block, in the forward and in the backward pass


def test_a_forward_pass_that_is_not_followed_by_a_backward_pass_leaves_nothing_behind():
    """What a block hands on is held by the context, and leads back to the block: it must not hold the context."""
    core = TransformerCore([(_Handing(), _Experts()) for _ in range(3)], recompute_every=1, hidden_dim=4)
    context = Context(torch.zeros(1, 5, dtype=torch.long), torch.arange(5).unsqueeze(0))
    x = core(torch.randn(1, 5, 4), context)
    left = [weakref.ref(one) for one in (x, context, context.memo["latest"])]
    del x, context
    gc.collect()
    assert [ref() for ref in left] == [None, None, None]


def test_a_core_that_recomputes_must_know_its_width():
    with pytest.raises(ValueError, match="`hidden_dim`"):
        TransformerCore([(_Mixer(), _Experts())], recompute_every=1)


class _Again(TransformerCore):
    """Runs its blocks twice, and adds to the second time around what it was given."""

    def uses(self):
        return [*self.blocks, *self.blocks]

    def enter(self, index, x, given):
        return x + given if index == len(self.blocks) else x


def test_states_and_costs_go_by_the_uses_of_blocks(network):
    model, once = network(), network()
    model.core.__class__ = _Again
    ids = torch.arange(12).view(2, 6)
    with torch.no_grad():
        x, context = model.embedder(ids, _context(model, ids)), _context(model, ids)
        given = x
        for block in [*model.core.blocks, None, *model.core.blocks]:
            x = x + given if block is None else block(x, context)
        whole = model(ids)
        torch.testing.assert_close(whole, model.head(x, context))
        state = model.init_state(2, 6)
        parts = [model(part, state=state) for part in ids.split([2, 1, 3], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)
    assert len(state.core) == 4
    for count, arguments in ((cost.flops_per_token, (6,)), (cost.saved_bytes_per_token, (6, 4))):
        assert count(model.core, *arguments) == 2 * count(once.core, *arguments) > 0
    assert cost.encoded_elements(model.core) == 2 * cost.encoded_elements(once.core) > 0


def test_uses_that_are_run_again_have_the_same_gradients(network):
    plain, recomputed = network(), network(recompute_every=1)
    for model in (plain, recomputed):
        model.core.__class__ = _Again
    expected, found = _gradients(plain), _gradients(recomputed)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def _context(model, ids):
    return Context(ids, torch.arange(ids.shape[1]).unsqueeze(0), positional_encoding=model.positional_encoding)
