"""The declarations of the `model` section: rules, derived defaults, and what each builds."""

import inspect
import math
from types import SimpleNamespace
from typing import Any, get_args

import attrs
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stlm.components.activation.gelu import GELU
from stlm.components.activation.gelu_tanh import GELUTanh
from stlm.components.activation.leakyrelu import LeakyReLU
from stlm.components.activation.none import NoActivation
from stlm.components.activation.relu import ReLU
from stlm.components.activation.sigmoid import Sigmoid
from stlm.components.activation.silu import SiLU
from stlm.components.activation.tanh import Tanh
from stlm.components.attention.bidirectional import BidirectionalAttention
from stlm.components.attention.causal import CausalAttention
from stlm.components.core_model.generic import GenericCore
from stlm.components.embedding.generic import GenericEmbedding
from stlm.components.export.decoder import USUAL
from stlm.components.export.gpt2 import _USUAL as USUAL_OF_GPT2
from stlm.components.export.gpt2 import ACTIVATIONS, GPT2Export
from stlm.components.export.llama import LlamaExport
from stlm.components.export.qwen3 import Qwen3Export
from stlm.components.ffn.generic import GenericFFN
from stlm.components.ffn.silu_ffn import SiLUFFN
from stlm.components.initialization.kaiming import Kaiming
from stlm.components.initialization.none import NoInitialization
from stlm.components.initialization.normal import Normal
from stlm.components.initialization.xavier import Xavier
from stlm.components.lm_head.generic import GenericHead
from stlm.components.model_shell.standard import StandardShell
from stlm.components.norm.layer_norm import LayerNorm
from stlm.components.norm.none import NoNorm
from stlm.components.norm.rms_norm import RMSNorm
from stlm.components.positional_encoding.learned import Learned
from stlm.components.positional_encoding.none import NoPositions
from stlm.components.positional_encoding.rope import RoPE
from stlm.components.positional_encoding.sincos import SinCos
from stlm.nn import initialize, materialize, norm, schemes
from stlm.nn.initialize import Scheme
from stlm.registry import make_component
from stlm.spec.declaration import declaration_of
from stlm.spec.sections import ModelSection


def attention(cls: type = CausalAttention, **options: Any) -> Any:
    chosen = {"normalization": RMSNorm(), "qk_norm": NoNorm(), "num_kv_heads": 4, "head_dim": 8, **options}
    return cls(**{"num_q_heads": chosen["num_kv_heads"], **chosen})


def llama(**changes: Any) -> ModelSection:
    """A small model of Llama's form."""
    model = ModelSection(
        model_shell=StandardShell(),
        core_model=GenericCore(
            num_layers=2,
            attn=attention(num_kv_heads=2, num_q_heads=4),
            ffn=SiLUFFN(ffn_dim=48, normalization=RMSNorm()),
        ),
        embedding_model=GenericEmbedding(),
        lm_head=GenericHead(lm_head_normalization=RMSNorm()),
        tokenizer=SimpleNamespace(vocab_size=60),
        positional_encoding=RoPE(),
        initialization=Kaiming(),
        hidden_dim=32,
        context_window=16,
    )
    return attrs.evolve(model, **changes)


def gpt2(**ffn: Any) -> ModelSection:
    """A small model of GPT-2's form."""
    core = GenericCore(
        num_layers=2,
        attn=attention(normalization=LayerNorm(), bias=True),
        ffn=GenericFFN(**{"ffn_dim": 128, "bias": True, "activation": GELUTanh(), "normalization": LayerNorm(), **ffn}),
    )
    head = GenericHead(lm_head_normalization=LayerNorm())
    return llama(core_model=core, lm_head=head, positional_encoding=Learned(num_positions=16))


def built(model: ModelSection, seed: int = 0) -> Any:
    with torch.device("meta"):
        network = model.model_shell.build(model)
    return initialize(materialize(network, "cpu"), model.initialization.build(model), seed)


def rule_of(cls: type, name: str) -> Any:
    return next(rule.check for rule in declaration_of(cls).rules if rule.name == name)


@pytest.mark.parametrize("model", [llama(), gpt2()])
def test_a_section_becomes_a_network_that_computes(model):
    assert built(model)(torch.zeros(2, 16, dtype=torch.long)).shape == (2, 16, 60)


@pytest.mark.parametrize("cls", [CausalAttention, BidirectionalAttention])
def test_query_heads_must_come_in_whole_groups(cls):
    check = rule_of(cls, "groups_divide_evenly")
    assert check(8, 2) is None
    assert "`num_q_heads` is 6, which is no multiple of `num_kv_heads` 4" in check(6, 4)
    assert "`num_q_heads` is 2, which is no multiple of `num_kv_heads` 4" in check(2, 4)


def test_a_heads_width_is_the_quotient_or_must_be_said():
    default = declaration_of(CausalAttention).slots["head_dim"].default
    assert default.sources == ("model.hidden_dim", "num_q_heads")
    assert default.compute(96, 4) == 24
    with pytest.raises(ValueError, match="`hidden_dim` 100 cannot be split evenly among `num_q_heads` 8"):
        default.compute(100, 8)
    assert built(llama(hidden_dim=30)).core.blocks[0].attn.out_proj.weight.shape == (30, 32)


@pytest.mark.parametrize(
    ("cls", "name"), [(RoPE, "angles_turn_pairs"), (SinCos, "waves_come_in_pairs")], ids=["rope", "sincos"]
)
def test_encodings_by_pairs_want_even_widths(cls, name):
    check = rule_of(cls, name)
    assert check("it", 8) is None
    assert "is 7; it must be even" in check("it", 7)


def test_each_position_of_the_window_has_a_learned_vector():
    check = rule_of(Learned, "every_position_has_a_vector")
    assert check(16, 16) is None
    assert check(15, 16).endswith("it must be at least 16")
    assert declaration_of(Learned).slots["num_positions"].default.sources == ("model.context_window",)
    assert built(gpt2()).positional_encoding.position_embedding.weight.shape == (16, 32)


ACTIVATION_FUNCTIONS = {
    GELU: F.gelu,
    GELUTanh: lambda x: F.gelu(x, approximate="tanh"),
    ReLU: F.relu,
    LeakyReLU: F.leaky_relu,
    Tanh: torch.tanh,
    Sigmoid: torch.sigmoid,
    SiLU: F.silu,
    NoActivation: lambda x: x,
}


@pytest.mark.parametrize("cls", ACTIVATION_FUNCTIONS)
def test_activations_are_torchs(cls):
    x = torch.linspace(-3, 3, 13)
    assert torch.equal(cls().build(None)(x), ACTIVATION_FUNCTIONS[cls](x))


def test_norms_take_their_width_and_the_models_epsilon():
    model = llama(norm_eps=0.5)
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    rms = x / (x.square().mean(-1, keepdim=True) + 0.5).sqrt()
    torch.testing.assert_close(RMSNorm().build(model, 8)(x), rms)
    torch.testing.assert_close(LayerNorm().build(model, 8)(x), F.layer_norm(x, (8,), eps=0.5))
    assert NoNorm().build(model, 8)(x) is x
    assert not list(NoNorm().build(model, 8).parameters())


def test_qk_norm_stands_on_each_head_of_q_and_k():
    core = attrs.evolve(llama().core_model, attn=attention(qk_norm=LayerNorm()))
    attn = built(llama(core_model=core)).core.blocks[0].attn
    assert isinstance(attn.q_norm, norm.LayerNorm)
    assert attn.q_norm.weight.shape == attn.k_norm.weight.shape == (8,)
    assert attn.q_norm is not attn.k_norm


def test_every_option_reaches_the_module_that_it_is_about():
    core = GenericCore(
        num_layers=3,
        attn=attention(BidirectionalAttention, attn_dropout=0.1, bias=True),
        ffn=GenericFFN(ffn_dim=40, ffn_dropout=0.2, activation=LeakyReLU(negative_slope=0.3), normalization=NoNorm()),
        ffn_weight_tying=True,
        c_proj_weight_tying=True,
    )
    head = GenericHead(lm_head_normalization=LayerNorm(), lm_head_bias=True, lm_head_dropout=0.4)
    embedder = GenericEmbedding(embedding_weight_tying=False, embedding_dropout=0.3)
    network = built(
        llama(core_model=core, lm_head=head, embedding_model=embedder, positional_encoding=RoPE(rope_theta=5.0))
    )
    first, _, last = network.core.blocks
    assert (first.attn.dropout.p, first.ffn.dropout.p) == (0.1, 0.2)
    assert (network.embedder.dropout.p, network.head.dropout.p) == (0.3, 0.4)
    assert not first.attn.causal
    assert first.attn.qkv.bias is not None
    assert first.ffn.up.bias is None
    assert first.ffn.activation.negative_slope == 0.3
    assert last.ffn.up.weight is first.ffn.up.weight
    assert last.attn.out_proj.weight is first.attn.out_proj.weight
    assert network.head.weight is not network.embedder.token_embedding.weight
    assert network.head.bias.shape == (60,)
    assert network.positional_encoding.theta == 5.0
    assert not list(NoPositions().build(llama()).parameters())


def test_normal_scales_by_the_depth_of_the_core():
    deep = Normal(std=0.02).build(llama(core_model=attrs.evolve(llama().core_model, num_layers=8)))
    assert deep.residual_std == pytest.approx(0.02 / 4)
    assert Normal(std=0.02, scale_residual=False).build(llama()).residual_std == 0.02
    assert Normal(std=0.02).build(llama(core_model=SimpleNamespace())).residual_std == 0.02


def test_kaiming_offers_the_gains_that_there_are():
    assert set(get_args(declaration_of(Kaiming).types["nonlinearity"])) == set(schemes.GAINS)
    assert NoInitialization().build(llama()) is schemes.keep


@pytest.mark.parametrize("scheme", [Xavier(), Kaiming(), Kaiming(mode="fan_out")])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("hidden", "vocab", "layers"), [(64, 512, 2), (64, 4096, 12), (256, 50257, 2), (1024, 512, 2)])
def test_an_untrained_model_guesses_evenly(scheme, tied, hidden, vocab, layers):
    """Within a tenth of ln(vocab); up to 12 layers and 50,257 tokens, 0.031 was the most that was measured."""
    core = GenericCore(
        num_layers=layers,
        attn=attention(num_kv_heads=hidden // 32, head_dim=32),
        ffn=GenericFFN(ffn_dim=4 * hidden, activation=GELU(), normalization=RMSNorm()),
    )
    model = llama(
        core_model=core,
        hidden_dim=hidden,
        tokenizer=SimpleNamespace(vocab_size=vocab),
        initialization=scheme,
        embedding_model=GenericEmbedding(embedding_weight_tying=tied),
    )
    ids = torch.randint(vocab, (1, 33), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = F.cross_entropy(built(model)(ids[:, :-1])[0], ids[0, 1:])
    assert loss.item() == pytest.approx(math.log(vocab), rel=0.1)


def _blockers(export: Any, model: ModelSection) -> dict[str, str]:
    return dict(export.blockers(SimpleNamespace(model=model)))


def test_models_of_their_form_can_be_exported():
    assert LlamaExport().architecture == "LlamaForCausalLM"
    assert _blockers(LlamaExport(), llama()) == {}
    assert GPT2Export().architecture == "GPT2LMHeadModel"
    assert _blockers(GPT2Export(), gpt2()) == {}


@pytest.mark.parametrize("activation", [make_component("activation", name) for name in ACTIVATIONS])
def test_gpt2_knows_our_activations(activation):
    from transformers.activations import ACT2FN

    assert _blockers(GPT2Export(), gpt2(activation=activation)) == {}
    x = torch.linspace(-3, 3, 13)
    theirs: nn.Module = ACT2FN[ACTIVATIONS[activation.selector]]
    torch.testing.assert_close(activation.build(None)(x), theirs(x))


def test_what_keeps_a_model_from_an_export_is_named_by_its_key():
    assert _blockers(LlamaExport(), gpt2()) == {
        "model.positional_encoding_type": "must be `rope`, not `learned`",
        "model.ffn.ffn_type": "must be `silu_ffn`, not `generic`",
        "model.attn.normalization": "must be `rms_norm`, not `layer_norm`",
        "model.ffn.normalization": "must be `rms_norm`, not `layer_norm`",
        "model.lm_head_normalization": "must be `rms_norm`, not `layer_norm`",
    }
    attn = attention(num_kv_heads=2, num_q_heads=4, qk_norm=RMSNorm(), normalization=LayerNorm())
    core = attrs.evolve(gpt2(activation=LeakyReLU(negative_slope=0.5)).core_model, attn=attn)
    head = GenericHead(lm_head_normalization=LayerNorm(), lm_head_bias=True)
    assert _blockers(GPT2Export(), attrs.evolve(gpt2(), core_model=core, lm_head=head, hidden_dim=64)) == {
        "model.attn.qk_norm": "must be `none`, not `rms_norm`",
        "model.lm_head_bias": "must be false",
        "model.attn.num_kv_heads": "must equal `num_q_heads` 4, not 2",
        "model.attn.head_dim": "must be `hidden_dim` / `num_q_heads`, not 8",
        "model.ffn.negative_slope": "must be 0.01, not 0.5",
    }


@pytest.mark.parametrize("slope", [0.0, 0.005, 0.0101, 1.0])
def test_gpt2_knows_one_slope_of_a_leaky_relu(slope):
    assert _blockers(GPT2Export(), gpt2(activation=LeakyReLU(negative_slope=slope))) == {
        "model.ffn.negative_slope": f"must be 0.01, not {slope}"
    }
    assert _blockers(GPT2Export(), gpt2(activation=LeakyReLU(negative_slope=0.01))) == {}


USUAL_BY_TYPE = {kind: USUAL | usual for export in (LlamaExport, Qwen3Export) for kind, usual in export.usual.items()}
USUAL_BY_TYPE["gpt2"] = USUAL_OF_GPT2


@pytest.mark.parametrize("kind", USUAL_BY_TYPE)
def test_what_a_config_means_that_leaves_a_key_out_is_what_transformers_takes(kind):
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    ours, theirs = USUAL_BY_TYPE[kind], inspect.signature(CONFIG_MAPPING[kind]).parameters
    shared = ours.keys() & theirs.keys()
    assert len(shared) >= 10
    assert {key: ours[key] for key in shared} == {key: theirs[key].default for key in shared}


def test_an_encoder_is_no_llama():
    core = attrs.evolve(llama().core_model, attn=attention(BidirectionalAttention))
    assert _blockers(LlamaExport(), llama(core_model=core)) == {
        "model.attn.attn_type": "must be `causal`, not `bidirectional`"
    }


def test_a_core_of_someone_elses_is_no_llama():
    assert list(_blockers(LlamaExport(), llama(core_model=SimpleNamespace(selector="mamba")))) == [
        "model.core_model_type"
    ]


def test_schemes_are_plain_functions_of_a_module():
    scheme: Scheme = Xavier(gain=2.0).build(llama())
    layer = nn.Linear(400, 400)
    scheme(layer)
    assert layer.weight.std().item() == pytest.approx(2 * math.sqrt(2 / 800), rel=0.05)
