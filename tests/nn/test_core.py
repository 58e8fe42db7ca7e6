"""The core works over any attention and feed-forward modules, and shares what it is told to share."""

import pytest
import torch
from torch import nn

from stlm.nn import Context, TransformerCore


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
