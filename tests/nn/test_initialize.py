"""Where numbers come from: memory, seeds, schemes, and who wins where a tensor is shared."""

import math

import pytest
import torch
from torch import nn

from stlm.nn import initialize, materialize, schemes

SHARED = {"tied": True, "share_ffn": True, "share_out_proj": True, "bias": True}


def _started(model, scheme, seed=0):
    return initialize(materialize(model, "cpu"), scheme, seed)


def test_materialize_keeps_what_is_shared(meta_network):
    model = materialize(meta_network(**SHARED), "cpu")
    first, second = model.core.blocks
    assert model.head.weight is model.embedder.token_embedding.weight
    assert first.ffn.up.weight is second.ffn.up.weight
    assert first.ffn.up.bias is second.ffn.up.bias
    assert first.attn.out_proj.weight is second.attn.out_proj.weight
    assert first.attn.qkv.weight is not second.attn.qkv.weight
    assert first.ffn.norm.weight is not second.ffn.norm.weight
    assert not any(tensor.is_meta for tensor in model.state_dict().values())


def test_materialize_keeps_what_is_frozen_and_what_is_there(meta_network):
    model = meta_network()
    model.head.norm.weight = nn.Parameter(torch.full((32,), 3.0), requires_grad=False)
    kept = model.head.norm.weight
    assert materialize(model, "cpu").head.norm.weight is kept
    assert not kept.requires_grad


@pytest.mark.parametrize(
    "scheme", [schemes.keep, schemes.Normal(0.02, 0.01), schemes.Xavier(1.0), schemes.Kaiming("fan_in", "gelu")]
)
def test_every_tensor_is_filled_and_the_seed_decides_with_what(meta_network, scheme):
    options = {**SHARED, "positions": "learned", "norm": "layer", "head_bias": True}
    poisoned = materialize(meta_network(**options), "cpu")
    for tensor in poisoned.state_dict().values():
        tensor.fill_(math.nan)
    one = initialize(poisoned, scheme, 7).state_dict()
    same = _started(meta_network(**options), scheme, 7).state_dict()
    other = _started(meta_network(**options), scheme, 8).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert all(tensor.isfinite().all() for tensor in one.values())
    assert not torch.equal(one["core.blocks.0.attn.qkv.weight"], other["core.blocks.0.attn.qkv.weight"])


def test_a_module_starts_alike_whatever_stands_beside_it(meta_network):
    scheme = schemes.Kaiming("fan_in", "gelu")
    small = _started(meta_network(layers=1, positions="none", norm="none"), scheme).state_dict()
    large = _started(meta_network(layers=3, positions="learned", norm="layer"), scheme).state_dict()
    torch.manual_seed(99)
    assert all(torch.equal(small[name], large[name]) for name in small)


@pytest.mark.parametrize("scheme", [schemes.keep, schemes.Normal(0.02, 0.01)])
def test_matrices_of_equal_shape_start_differently(meta_network, scheme):
    first, second = _started(meta_network(layers=2), scheme).core.blocks
    assert not torch.equal(first.attn.qkv.weight, second.attn.qkv.weight)
    assert not torch.equal(first.ffn.up.weight, second.ffn.up.weight)


def test_initialization_leaves_the_global_stream_alone(meta_network):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    _started(meta_network(), schemes.keep)
    assert torch.equal(torch.rand(4), expected)


def test_of_two_tied_weights_the_heads_start_wins(meta_network):
    tied = _started(meta_network(tied=True), schemes.keep)
    apart = _started(meta_network(tied=False), schemes.keep)
    assert torch.equal(tied.embedder.token_embedding.weight, apart.head.weight)
    assert apart.embedder.token_embedding.weight.detach().std() == pytest.approx(1.0, rel=0.1)  # PyTorch's own N(0, 1)
    assert apart.head.weight.abs().max() <= 1 / math.sqrt(32)  # PyTorch's own U(-1/√D, 1/√D)


def test_of_shared_layers_the_first_ones_start_wins(meta_network):
    shared = _started(meta_network(**SHARED), schemes.keep)
    apart = _started(meta_network(bias=True), schemes.keep)
    assert torch.equal(shared.core.blocks[1].ffn.up.weight, apart.core.blocks[0].ffn.up.weight)
    assert torch.equal(shared.core.blocks[1].ffn.up.bias, apart.core.blocks[0].ffn.up.bias)


def _std(model, path: str) -> float:
    return model.get_parameter(path).std().item()


def test_normal_narrows_what_joins_the_residual_stream(meta_network):
    model = _started(meta_network(hidden=128, ffn_dim=512, tied=False, bias=True), schemes.Normal(0.02, 0.005))
    for path in (
        "embedder.token_embedding.weight",
        "head.linear.weight",
        "core.blocks.0.attn.qkv.weight",
        "core.blocks.0.ffn.up.weight",
    ):
        assert _std(model, path) == pytest.approx(0.02, rel=0.05)
    for path in ("core.blocks.0.attn.out_proj.weight", "core.blocks.1.ffn.down.weight"):
        assert _std(model, path) == pytest.approx(0.005, rel=0.05)
    assert not model.core.blocks[0].ffn.up.bias.any()
    assert not model.core.blocks[0].attn.qkv.bias.any()


def test_xavier_and_kaiming_treat_the_fused_projection_as_three(meta_network):
    options = {"hidden": 128, "q_heads": 8, "kv_heads": 2, "head_dim": 16}
    xavier = _started(meta_network(**options), schemes.Xavier(0.5)).core.blocks[0].attn.qkv
    q, k, v = (part.std().item() for part in xavier.weight_parts())
    assert q == pytest.approx(0.5 * math.sqrt(2 / 256), rel=0.05)
    assert k == pytest.approx(0.5 * math.sqrt(2 / 160), rel=0.05)
    assert v == pytest.approx(0.5 * math.sqrt(2 / 160), rel=0.05)
    kaiming = _started(meta_network(**options), schemes.Kaiming("fan_out", "tanh")).core.blocks[0].attn.qkv
    q, k, _ = (part.std().item() for part in kaiming.weight_parts())
    assert q == pytest.approx(5 / 3 / math.sqrt(128), rel=0.05)
    assert k == pytest.approx(5 / 3 / math.sqrt(32), rel=0.05)


def test_the_networks_ends_start_narrower_where_it_is_wide(meta_network):
    options = {"layers": 1, "tied": False, "vocab": 100}
    for hidden, std in ((512, 0.02), (1024, 0.5 / math.sqrt(1024))):
        model = _started(meta_network(hidden=hidden, **options), schemes.Xavier(1.0))
        assert _std(model, "embedder.token_embedding.weight") == pytest.approx(std, rel=0.02)
        assert _std(model, "head.linear.weight") == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_gelu_and_silu_take_the_gain_of_relu(name):
    layer = nn.Linear(400, 400)
    torch.manual_seed(0)
    schemes.Kaiming("fan_in", name)(layer)
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)


def test_gains_are_torchs_where_torch_has_one():
    for name, gain in schemes.GAINS.items():
        if name not in ("gelu", "silu"):
            assert gain == pytest.approx(nn.init.calculate_gain(name))


class _Forgetful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))


def test_a_module_that_cannot_fill_its_tensors_is_named():
    with pytest.raises(TypeError, match=r"_Forgetful \(at `1`\) holds `scale` and has no method `reset_parameters`"):
        initialize(nn.Sequential(nn.Linear(2, 2), _Forgetful()), schemes.keep, 0)


class _Loaded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = _Forgetful()
        self.fresh = nn.Linear(3, 3)

    def initialize(self, scheme) -> None:
        scheme(self.fresh)


def test_a_module_may_initialize_its_own_subtree():
    model = nn.Sequential(_Loaded())
    initialize(model, schemes.Normal(0.02, 0.02), 0)
    assert torch.equal(model[0].body.scale, torch.ones(3))
    assert not model[0].fresh.bias.any()


class _Table(nn.Module):
    """A module with a buffer that no checkpoint holds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3))
        self.register_buffer("table", torch.empty(3), persistent=False)

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        self.table.copy_(torch.arange(3.0))


class _Published(_Loaded):
    """A module that would read weights, and can do without."""

    def __init__(self) -> None:
        super().__init__()
        self.acts = []

    def initialize(self, scheme) -> None:
        self.acts.append("initialize")

    def fill_buffers(self) -> None:
        self.acts.append("fill_buffers")

    def complete(self, network) -> None:
        self.acts.append(("complete", type(network[0]).__name__, network[0].weight.sum().item()))


def test_where_trained_weights_follow_only_what_is_not_stored_is_filled():
    model = nn.Sequential(_Table(), nn.Linear(3, 3), _Published())
    with torch.no_grad():
        model[1].weight.fill_(7.0)
    initialize(model, schemes.Normal(0.02, 0.02), 0, trained=True)
    assert torch.equal(model[0].table, torch.arange(3.0))
    assert (model[1].weight == 7.0).all()
    assert model[2].acts == ["fill_buffers"]


def test_a_module_is_given_the_whole_network_once_when_all_are_started():
    model = initialize(nn.Sequential(_Table(), _Published()), schemes.keep, 0)
    assert model[1].acts == ["initialize", ("complete", "_Table", 3.0)]


def test_what_is_shared_keeps_its_first_start_where_the_rest_is_new():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    initialize(nn.Sequential(first, second), schemes.keep, 0)
    apart = initialize(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), schemes.keep, 0)
    assert torch.equal(first.weight, apart[0].weight)
    assert torch.equal(second.bias, apart[1].bias)


class _Reading(nn.Linear):
    """A layer that fills its bias alone, by what its weight is already."""

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.bias.copy_(self.weight.sum(dim=1))


def test_a_module_may_read_what_another_has_started():
    first, second = nn.Linear(3, 3), _Reading(3, 3)
    second.weight = first.weight
    initialize(nn.Sequential(first, second), schemes.keep, 0)
    assert torch.equal(second.bias, first.weight.sum(dim=1))
