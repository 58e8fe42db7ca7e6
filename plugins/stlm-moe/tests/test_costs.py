"""What a dry run tells of a mixture: all weights, those that a token uses, its operations, and what autograd keeps."""

import pytest
import torch

from stlm.compiler import compile
from stlm.nn import cost
from stlm.testing import kept_by_autograd

EXPERT, NORM, ROUTER = 3 * 16 * 8, 16, 16 * 8
ATTENTION = 16 + 16 * 48 + 16 * 16


@pytest.mark.parametrize(("top_k", "shared"), [(2, 0), (3, 2), (1, 1)])
def test_active_weights_and_operations_by_hand(small, top_k, shared):
    report = compile(small(f"model.ffn.top_k={top_k}", f"model.ffn.num_shared_experts={shared}"), "meta").report
    rest, layers = 1024 * 16 + 16, 2
    assert report.parameters.total == rest + layers * (ATTENTION + NORM + ROUTER + (8 + shared) * EXPERT)
    assert report.parameters.active == rest + layers * (ATTENTION + NORM + ROUTER + (top_k + shared) * EXPERT)
    scores_and_sums = 4 * 16 * 16 / 2
    products = ATTENTION - 16 + ROUTER + (top_k + shared) * EXPERT
    assert report.flops_per_token["forward"] == layers * (2 * products + scores_and_sums) + 2 * 1024 * 16


def test_experts_that_blocks_share_are_active_once(small):
    counts = compile(small("model.ffn_weight_tying=true", "model.num_layers=3"), "meta").report.parameters
    assert counts.total - counts.active == 6 * EXPERT
    assert sum(count for name, count in counts.by_module.items() if name.endswith("ffn.norm")) == 3 * NORM


@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("bf16", 2)])
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("top_k=1", "router_jitter=0.1"),
        ("top_k=3", "normalize_weights=false", "num_shared_experts=1"),
        ("expert={ffn_type: generic, ffn_dim: 24, normalization: layer_norm}",),
    ],
    ids=str,
)
def test_what_autograd_keeps_is_foretold(small, options, precision, width):
    """Left out are a few numbers of each loss, and what belongs to no token."""
    said = (*(f"model.ffn.{option}" for option in options), "model.hidden_dim=32", "model.ffn.num_experts=4")
    model = compile(small(*said), "cpu").model.train()
    ids = torch.randint(1024, (16, 16), generator=torch.Generator().manual_seed(0))
    logits, kept = kept_by_autograd(model, lambda: model(ids), precision)
    copies = width * cost.cast_elements(model) if width < 4 else 0
    foretold = 16 * 16 * cost.saved_bytes_per_token(model, 16, width) + copies
    assert foretold == pytest.approx(kept, rel=0.01)
    assert logits.requires_grad
