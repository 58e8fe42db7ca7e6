"""Each network against the model that is known for it, as transformers computes that: outputs and gradients."""

from types import SimpleNamespace

import pytest
import torch

from stlm.nn import Context
from stlm.registry.describe import describe_component

pytest.importorskip("transformers")

from transformers.models.gemma.modeling_gemma import GemmaMLP
from transformers.models.nemotron.modeling_nemotron import NemotronMLP
from transformers.models.t5.modeling_t5 import T5DenseGatedActDense

GATED = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
OF_T5 = {"gate": "wi_0", "up": "wi_1", "down": "wo"}
PLAIN = {"up": "up_proj", "down": "down_proj"}


def like_gemma(act: str) -> torch.nn.Module:
    return GemmaMLP(SimpleNamespace(hidden_size=24, intermediate_size=40, hidden_act=act))


def like_t5(act: str) -> torch.nn.Module:
    return T5DenseGatedActDense(SimpleNamespace(d_model=24, d_ff=40, dropout_rate=0.0, dense_act_fn=act))


def like_nemotron(act: str) -> torch.nn.Module:
    return NemotronMLP(SimpleNamespace(hidden_size=24, intermediate_size=40, mlp_bias=True, hidden_act=act))


@pytest.mark.parametrize(
    ("ffn", "make", "act", "names"),
    [
        ({"ffn_type": "geglu", "approximate": "tanh"}, like_gemma, "gelu_pytorch_tanh", GATED),
        ({"ffn_type": "geglu", "approximate": "tanh"}, like_t5, "gelu_new", OF_T5),
        ({"ffn_type": "geglu", "approximate": "none"}, like_t5, "gelu", OF_T5),
        ({"ffn_type": "reglu"}, like_t5, "relu", OF_T5),
        ({"ffn_type": "squared_relu", "bias": "true"}, like_nemotron, "relu2", PLAIN),
        ({"ffn_type": "generic", "activation": "squared_relu", "bias": "true"}, like_nemotron, "relu2", PLAIN),
    ],
)
def test_it_computes_what_the_reference_computes(built, ffn, make, act, names):
    """In float64, so that what differs is a formula and no rounding."""
    ours = built(**ffn, ffn_dim=40, normalization="none").double()
    theirs = make(act).double()
    pairs = [(ours.get_submodule(one), theirs.get_submodule(other)) for one, other in names.items()]
    for one, other in pairs:
        other.load_state_dict(one.state_dict())
    x = torch.randn(2, 5, 24, dtype=torch.double, generator=torch.Generator().manual_seed(0)).requires_grad_()
    context = Context(torch.zeros(2, 5, dtype=torch.long), torch.arange(5).unsqueeze(0))
    mine, wanted = ours(x, context), theirs(x)
    torch.testing.assert_close(mine, wanted, rtol=1e-12, atol=1e-12)
    mine = torch.autograd.grad(mine.square().sum(), [x, *(one.weight for one, _ in pairs)])
    wanted = torch.autograd.grad(wanted.square().sum(), [x, *(other.weight for _, other in pairs)])
    torch.testing.assert_close(mine, wanted, rtol=1e-12, atol=1e-12)


def test_the_squared_relu_by_hand(built):
    activation = built(ffn_type="squared_relu", ffn_dim=4).activation
    x = torch.tensor([-3.0, -0.0, 0.5, 3.0], requires_grad=True)
    y = activation(x)
    assert y.tolist() == [0.0, 0.0, 0.25, 9.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0, 6.0]


def test_the_two_forms_of_gelu_are_not_the_same(built):
    x = torch.linspace(-3, 3, 24).expand(1, 1, 24)
    context = Context(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, dtype=torch.long))
    one, other = (built(ffn_type="geglu", ffn_dim=40, approximate=form)(x, context) for form in ("none", "tanh"))
    assert 0 < (one - other).abs().max() < 0.01


def test_rectifiers_have_no_ceiling(built):
    """Far beyond what the reference was given above; gate and up are the same map, so that y = relu(g) · g."""
    network = built(ffn_type="reglu", ffn_dim=24, normalization="none")
    with torch.no_grad():
        for layer in (network.gate, network.up, network.down):
            layer.weight.copy_(torch.eye(24))
    x = torch.linspace(-500, 500, 24).view(1, 1, 24)
    context = Context(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, dtype=torch.long))
    torch.testing.assert_close(network(x, context), x.clamp(min=0) * x)
    squared = built(ffn_type="squared_relu", ffn_dim=4).activation
    assert squared(torch.tensor([7.0, 500.0])).tolist() == [49.0, 250_000.0]


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("geglu", {"approximate": "none", "bias": False, "normalization": "rms_norm"}),
        ("reglu", {"bias": False, "normalization": "rms_norm"}),
        ("squared_relu", {"bias": False, "ffn_dropout": 0.0, "normalization": "rms_norm"}),
    ],
)
def test_defaults_are_those_that_the_readme_names(name, defaults):
    described = {one["key"]: one["default"] for one in describe_component("ffn", name)["options"]}
    assert {key: described[key] for key in defaults} == defaults
