"""What Muon takes and what AdamW; and that both step as torch's own do."""

import copy

import pytest
import torch
from stlm_optimizers.optim.matrices import hidden_matrices
from torch import nn

from stlm.registry import make_component
from stlm.spec import UsageError


def built(network, **options):
    return make_component("optimizer", "Muon", options).build(None, network, "cpu")


def named(network, tensors):
    names = {id(p): name for name, p in network.named_parameters()}
    return {names[id(p)] for p in tensors}


def test_hidden_matrices_are_the_weights_of_layers_and_no_tables(network):
    matrices = {"core.qkv.weight", "core.out.weight", "again.qkv.weight", "head.inner.weight"}
    parts = hidden_matrices(network)
    assert named(network, parts) == matrices
    assert parts[network.core.qkv.weight] == (8, 4, 4)
    assert parts[network.core.out.weight] == (8,)


def test_of_a_head_that_does_not_say_what_is_its_matrix_all_is_adamws(network):
    network.head = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 20))
    assert not set(network.head.parameters()) & set(hidden_matrices(network))


def test_every_trainable_tensor_is_in_one_group_and_vectors_do_not_decay(network):
    muon, decayed, others = built(network, weight_decay=0.1, adamw_weight_decay=0.2).param_groups
    groups = [named(network, group["params"]) for group in (muon, decayed, others)]
    trainable = {name for name, p in network.named_parameters() if p.requires_grad}
    assert set.union(*groups) == trainable
    assert sum(map(len, groups)) == len(trainable)
    assert groups[1] == {
        *("embedder.weight", "positions.weight"),
        *(f"{mixer}.{name}" for mixer in ("core", "again") for name in ("coefficients", "conv.weight")),
    }
    assert [group["weight_decay"] for group in (muon, decayed, others)] == [0.1, 0.2, 0.0]


def stepped(network, optimizers, grads):
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = grads[p.shape].clone()
    for optimizer in optimizers:
        optimizer.step()


@pytest.mark.parametrize("adjust", ["match_rms_adamw", "original"])
def test_its_steps_are_those_of_torch_with_each_part_a_matrix_of_its_own(network, adjust):
    """Bit for bit, with a schedule that halves the rate: AdamW's is to Muon's as their highest ones are."""
    other = copy.deepcopy(network)
    how = {"lr": 0.02, "weight_decay": 0.3, "momentum": 0.9, "nesterov": False, "ns_steps": 3}
    adamws = {"adamw_lr": 0.005, "adamw_weight_decay": 0.2, "adamw_beta1": 0.8, "adamw_beta2": 0.6}
    ours = built(network, adjust_lr=adjust, **how, **adamws)
    parts = [part.detach().clone() for mixer in (other.core, other.again) for part in mixer.qkv.weight_parts()]
    whole = [other.core.out.weight, other.head.inner.weight]
    theirs = torch.optim.Muon([*parts, *whole], adjust_lr_fn=adjust, **how)
    adamw = torch.optim.AdamW([other.embedder.weight, other.core.coefficients], betas=(0.8, 0.6), weight_decay=0.2)
    random = torch.Generator().manual_seed(1)
    for rate in (0.02, 0.01, 0.01):
        grads = {p.shape: torch.randn(p.shape, generator=random) for p in network.parameters() if p.requires_grad}
        fused = grads[network.core.qkv.weight.shape].split((8, 4, 4))
        for group in ours.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        theirs.param_groups[0]["lr"], adamw.param_groups[0]["lr"] = rate, rate / 4
        stepped(network, [ours], grads)
        for part, grad in zip(parts, [*fused, *fused], strict=True):
            part.grad = grad.clone()
        for p in (*whole, other.embedder.weight, other.core.coefficients):
            p.grad = grads[p.shape].clone()
        theirs.step()
        adamw.step()
    assert torch.equal(network.core.qkv.weight, torch.cat(parts[:3]))
    assert torch.equal(network.again.qkv.weight, torch.cat(parts[3:]))
    for name in ("core.out.weight", "head.inner.weight", "embedder.weight", "core.coefficients"):
        assert torch.equal(network.get_parameter(name), other.get_parameter(name)), name


def test_a_network_without_a_matrix_is_refused():
    with pytest.raises(UsageError, match="no trainable matrix between hidden states"):
        built(nn.Embedding(4, 3))


def test_a_step_of_each_part_has_singular_values_near_1_where_one_of_all_has_not(network):
    """The gradient of v is a thousand times that of q and k; made equal in one matrix, v takes all eight directions."""
    parts = (8, 4, 4)
    lengths = {}
    for name, rows in (("apart", parts), ("as one", (16,))):
        torch.manual_seed(0)
        layer = nn.Module()
        layer.qkv = nn.Linear(8, 16, bias=False)
        layer.qkv.parts = rows
        before = layer.qkv.weight.detach().clone()
        optimizer = built(layer, lr=1.0, weight_decay=0.0, adjust_lr="original")
        layer.qkv.weight.grad = torch.randn(16, 8) * torch.tensor([1e-3] * 12 + [1.0] * 4)[:, None]
        optimizer.step()
        step = (before - layer.qkv.weight.detach()).split(parts)
        lengths[name] = [float(one.norm()) for one in step]
    assert lengths["apart"] == pytest.approx([8**0.5, 2.0, 2.0], rel=0.35)  # the iteration leaves 0.7 to 1.2
    assert lengths["as one"][0] < 0.75 * lengths["apart"][0]
