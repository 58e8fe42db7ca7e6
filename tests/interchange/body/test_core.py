"""A published body as our core: it computes what transformers computes, and is held to what every core is held to."""

import json
import logging
import math
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stlm.compiler import compile
from stlm.interchange.body import HuggingFaceBody, Wishes
from stlm.interchange.published import Published
from stlm.nn import Context, cost, materialize, schemes
from stlm.registry import parse_spec
from stlm.spec import Code, SpecError, WorkError
from stlm.testing import kept_by_autograd
from stlm.training.parameters import decay_groups
from tests.contract import checks
from tests.interchange.bodies import (
    DECODERS,
    ENCODERS,
    FFN,
    HEADS,
    HIDDEN,
    LAYERS,
    VOCAB,
    config_of,
    plain,
    publish,
    spec_of,
    whole_spec,
)

WHOLE = ("gpt2", "llama", "opt", "qwen2", "qwen3", "gpt_neox")


def body_of(folder: Path, scheme: Any = schemes.keep, **wishes: Any) -> HuggingFaceBody:
    """A body by itself, started on the CPU."""
    with torch.device("meta"):
        body = HuggingFaceBody(Published(str(folder)), Wishes(**wishes))
    materialize(body, "cpu")
    with torch.no_grad():
        body.initialize(scheme)
    return body


def context_of(x: Tensor) -> Context:
    return Context(torch.zeros(x.shape[:2], dtype=torch.long), torch.arange(x.shape[1]).unsqueeze(0))


def vectors(batch: int = 2, seq: int = 16, width: int = HIDDEN) -> Tensor:
    return torch.randn(batch, seq, width, generator=torch.Generator().manual_seed(0))


def refused(act: Any) -> tuple[str, Code, str]:
    """The key, code and message of the one mistake."""
    with pytest.raises(SpecError) as caught:
        act()
    (found,) = caught.value.diagnostics
    assert "\n" not in found.message
    return found.key, found.code, found.message


# What it computes


@pytest.mark.parametrize("kind", [*WHOLE, "mistral", "gptj", "falcon", "mixtral"])
def test_a_whole_model_gives_exactly_transformers_logits(kind, tmp_path):
    published = publish(tmp_path, kind, whole=True)
    model = checks.built(whole_spec(tmp_path, published))
    with torch.no_grad():
        for batch, seq in ((2, 16), (1, 1), (3, 7)):
            ids = checks.token_ids(batch, seq)
            assert torch.equal(model(ids), published(input_ids=ids).logits)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_padded_row_gives_what_the_row_gives_alone(kind, tmp_path):
    published = publish(tmp_path, kind, whole=True)
    model = checks.built(whole_spec(tmp_path, published))
    ids = checks.token_ids(2, 12)
    segments = torch.zeros(2, 12, dtype=torch.long)
    segments[1, 5:] = -1
    with torch.no_grad():
        ours = model(ids, segments=segments)
        torch.testing.assert_close(ours[:1], published(input_ids=ids[:1]).logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours[1:, :5], published(input_ids=ids[1:, :5]).logits, rtol=0, atol=1e-5)


def test_an_untied_copy_of_a_tied_model_computes_the_same(tmp_path):
    published = publish(tmp_path, "gpt2", whole=True)
    model = checks.built(whole_spec(tmp_path, published, embedding_weight_tying=False, lm_head_bias=True))
    ids = checks.token_ids()
    torch.testing.assert_close(model(ids), published(input_ids=ids).logits, rtol=0, atol=1e-5)
    assert not model.head.bias.any()


@pytest.mark.parametrize("kind", [*DECODERS, *ENCODERS])
def test_the_body_alone_gives_transformers_last_states(kind, tmp_path):
    published = publish(tmp_path, kind)
    body = body_of(tmp_path)
    x = vectors(width=body.width)
    with torch.no_grad():
        expected = published(inputs_embeds=x)[0]
        torch.testing.assert_close(body(x, context_of(x)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [*DECODERS, "mixtral"])
def test_a_decoder_sees_no_later_token_and_goes_on_as_it_would_start_anew(kind, tmp_path):
    publish(tmp_path, kind)
    model = checks.built(spec_of(tmp_path, freeze_core=False))
    assert model.core.causal
    checks.assert_causal(model)
    checks.assert_going_on_is_starting_anew(model)
    checks.assert_generates(model)
    checks.assert_segments_keep_apart(model)
    checks.assert_gradients_reach_every_parameter(model, checks.token_ids(8))


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_sees_later_tokens_and_keeps_no_state(kind, tmp_path):
    publish(tmp_path, kind)
    model = checks.built(spec_of(tmp_path, freeze_core=False))
    ids, changed = checks.token_ids(), checks.token_ids()
    changed[:, -1] = (changed[:, -1] + 1) % VOCAB
    assert not torch.equal(model(ids)[:, -2], model(changed)[:, -2])
    assert model.init_state(1, 16) is None
    checks.assert_segments_keep_apart(model)
    checks.assert_gradients_reach_every_parameter(model, checks.token_ids(8))


@pytest.mark.parametrize("kinds", [("full", "sliding"), ("sliding", "sliding"), ("full", "full")], ids="-".join)
def test_layers_of_an_encoder_that_see_a_window_see_no_more_of_a_segment(kinds, tmp_path):
    """Told that all tokens are of one segment, or that two segments are, it computes what transformers does of each."""
    try:
        published = publish(tmp_path, "modernbert", layer_types=[f"{kind}_attention" for kind in kinds])
    except Exception as error:  # a validation error of its own
        pytest.skip(f"this transformers knows no such model: {error}"[:200])
    model = body_of(tmp_path)
    x, context = vectors(1), context_of(vectors(1))
    for border in (0, 9):
        context.segments = (torch.arange(16) < border).long().unsqueeze(0)
        parts = [published(inputs_embeds=part)[0] for part in x.split([border, 16 - border], dim=1) if part.numel()]
        with torch.no_grad():
            torch.testing.assert_close(model(x, context), torch.cat(parts, dim=1), rtol=0, atol=1e-5)


def test_a_recurrent_body_computes_anew_for_each_token(tmp_path):
    publish(tmp_path, "mamba")
    model = checks.built(spec_of(tmp_path, freeze_core=False))
    assert model.init_state(1, 16) is None
    checks.assert_causal(model)
    checks.assert_generates(model)


@pytest.mark.parametrize("kind", ["gpt2", "mistral", "gemma3_text"])
def test_segments_are_remembered_by_a_state(kind, tmp_path):
    publish(tmp_path, kind)
    model = checks.built(spec_of(tmp_path))
    ids, segments = checks.token_ids(2, 12), (torch.arange(12) >= 5).long().expand(2, 12)
    with torch.no_grad():
        whole = model(ids, segments=segments)
        state = model.init_state(2, 16)
        parts = [
            model(ids[:, a:b], segments=segments[:, a:b], state=state) for a, b in ((0, 3), (3, 7), (7, 8), (8, 12))
        ]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)


def test_a_body_that_cannot_keep_segments_apart_says_so_in_one_line(tmp_path):
    publish(tmp_path, "bloom")
    model = checks.built(spec_of(tmp_path))
    with pytest.raises(WorkError, match=r"cannot keep the parts of a sequence apart"):
        model(checks.token_ids(), segments=torch.zeros(2, 16, dtype=torch.long))


# Frozen or not


def test_a_frozen_body_is_counted_and_not_trained(tmp_path):
    publish(tmp_path, "gpt2")
    report = compile(spec_of(tmp_path), "meta").report
    model = compile(spec_of(tmp_path), "cpu").model
    body = sum(p.numel() for p in model.core.parameters())
    assert report.parameters.total == VOCAB * HIDDEN + body
    assert report.parameters.trainable == VOCAB * HIDDEN
    assert [p.shape for group in decay_groups(model, 0.1) for p in group["params"]] == [(VOCAB, HIDDEN)]
    assert compile(spec_of(tmp_path, freeze_core=False), "meta").report.parameters.trainable == report.parameters.total


def test_gradients_pass_through_a_frozen_body_to_the_embedding(tmp_path):
    publish(tmp_path, "llama")
    model = compile(spec_of(tmp_path, embedding_weight_tying=False), "cpu").model.train()
    model(checks.token_ids())[:, -1].sum().backward()
    gradient = model.embedder.token_embedding.weight.grad
    assert gradient[checks.token_ids()[0, 0]].abs().sum() > 0  # the first token is felt by the last position alone
    assert all(p.grad is None for p in model.core.parameters())


def test_a_frozen_body_stays_in_evaluation_mode(tmp_path):
    publish(tmp_path, "gpt2")
    model = compile(spec_of(tmp_path), "cpu").model.train()
    assert model.head.training
    assert not any(module.training for module in model.core.body.modules())
    assert all(m.training for m in compile(spec_of(tmp_path, freeze_core=False), "cpu").model.train().modules())


@pytest.mark.parametrize("kind", ["gpt2", "opt", "bert"])
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_dropout_acts_in_a_body_that_is_trained_and_in_no_frozen_one(kind, recompute, tmp_path):
    publish(tmp_path, kind)
    for frozen in (True, False):
        spec = spec_of(tmp_path, freeze_core=frozen, activation_checkpointing=recompute)
        model = compile(spec, "cpu").model.train()
        assert torch.equal(model(checks.token_ids()), model(checks.token_ids())) == frozen
        model.eval()
        assert torch.equal(model(checks.token_ids()), model(checks.token_ids()))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize("frozen", [True, False])
def test_recomputing_gives_the_same_gradients_and_keeps_less(kind, frozen, tmp_path):
    config_of(kind, **no_dropout(kind), num_hidden_layers=4).save_pretrained(tmp_path)

    def run(recompute: bool) -> tuple[float, Tensor]:
        torch.manual_seed(0)
        body = body_of(tmp_path, load_weights=False, frozen=frozen, recompute=recompute).train()
        x = vectors().requires_grad_()
        _, kept = kept_by_autograd(body, lambda: body(x, context_of(x)).square().sum().backward(), "fp32")
        return kept, x.grad

    (kept, gradient), (all_kept, expected) = run(True), run(False)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)
    assert kept < all_kept / 3


# How it starts


def test_weights_that_are_not_in_the_files_start_anew_and_the_others_stay(tmp_path, caplog):
    publish(tmp_path, "gpt2")
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    lost = ("h.0.mlp.c_proj.weight", "h.1.attn.c_attn.bias")
    save_file({k: v for k, v in tensors.items() if k not in lost}, file, {"format": "pt"})
    with caplog.at_level(logging.WARNING):
        model = compile(spec_of(tmp_path, initialization_fn="normal", std=0.5), "cpu").model
    started = dict(model.core.body.named_parameters())
    assert all(torch.equal(started[k], v) for k, v in tensors.items() if k in started and k not in lost)
    assert started[lost[0]].std().item() == pytest.approx(0.5, rel=0.1)
    assert not started[lost[1]].any()
    assert f"lacks {lost[0]}, {lost[1]}; they start anew" in caplog.text


@pytest.mark.parametrize("lost", ["model.layers.0.mlp.up_proj.weight", "lm_head.weight", "model.embed_tokens.weight"])
def test_a_whole_model_of_which_something_is_lost_is_none(lost, tmp_path):
    published = publish(tmp_path, "llama", whole=True)
    file = tmp_path / "model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if k != lost}, file, {"format": "pt"})
    with pytest.raises(WorkError, match=f"is no whole model: it lacks {re.escape(lost)}$"):
        compile(whole_spec(tmp_path, published), "cpu")


def test_a_body_is_found_in_the_files_of_a_whole_model(tmp_path, caplog):
    published = publish(tmp_path, "llama", whole=True)
    body = body_of(tmp_path)
    x = vectors()
    assert torch.equal(body(x, context_of(x)), published.model(inputs_embeds=x)[0])
    assert not caplog.text


def test_a_body_without_weights_starts_as_the_scheme_says_its_turned_matrices_too(tmp_path):
    config_of("gpt2", n_embd=64).save_pretrained(tmp_path)
    body = body_of(tmp_path, schemes.Kaiming("fan_in", "linear"), load_weights=False).body
    assert body.h[0].mlp.c_proj.weight.std().item() == pytest.approx(1 / math.sqrt(256), rel=0.05)
    assert body.h[0].mlp.c_fc.weight.std().item() == pytest.approx(1 / math.sqrt(64), rel=0.05)
    assert not body.h[0].mlp.c_fc.bias.any()
    own = body_of(tmp_path, load_weights=False).body
    assert own.h[0].mlp.c_fc.weight.std().item() == pytest.approx(0.02, rel=0.05)  # transformers' own


def test_a_start_is_the_seeds_and_the_global_stream_is_left_alone(tmp_path):
    config_of("llama").save_pretrained(tmp_path)

    def start(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed + 7)
        model = compile(spec_of(tmp_path, hf_load_weights=False, seed=seed), "cpu").model
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(seed + 7)))
        return dict(model.state_dict())

    one, same, other = start(0), start(0), start(1)
    assert all(torch.equal(one[key], same[key]) for key in one)
    name = "core.body.layers.0.mlp.up_proj.weight"
    assert not torch.equal(one[name], other[name])


def test_a_folder_without_weights_and_one_with_anothers_are_said_in_one_line(tmp_path):
    config_of("gpt2").save_pretrained(tmp_path)
    with pytest.raises(WorkError, match=r"its weights are not at hand; .* holds no `model.safetensors`"):
        compile(spec_of(tmp_path), "cpu")
    save_file({"other": torch.ones(3)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(WorkError, match="its files hold none of the weights of GPT2Model"):
        compile(spec_of(tmp_path), "cpu")


def test_weights_of_another_size_are_said_in_one_line(tmp_path):
    publish(tmp_path, "gpt2")
    config_of("gpt2", n_embd=48).save_pretrained(tmp_path)
    with pytest.raises(WorkError, match="cannot be loaded") as caught:
        compile(spec_of(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


class Bomb:
    """What leaves a file behind where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


def test_pickled_weights_run_no_code(tmp_path):
    publish(tmp_path, "gpt2")
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    body = body_of(tmp_path).body
    assert torch.equal(body.wpe.weight, tensors["wpe.weight"])
    for planted in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        planted({**tensors, "x": Bomb(tmp_path / "ran")}, tmp_path / "pytorch_model.bin")
        with pytest.raises(WorkError, match="cannot be loaded") as caught:
            compile(spec_of(tmp_path), "cpu")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "ran").exists()
    pickle.loads((tmp_path / "pytorch_model.bin").read_bytes())
    assert (tmp_path / "ran").exists(), "it would have run"


@pytest.mark.parametrize("kind", ["llama", "gptj", "gemma3_text", "roberta"])
def test_trained_weights_need_the_config_alone(kind, tmp_path):
    publish(tmp_path, kind)
    first = checks.built(spec_of(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    again = compile(spec_of(tmp_path), "cpu", trained=True).model.eval()
    again.load_state_dict(first.state_dict())
    assert torch.equal(again(checks.token_ids()), first(checks.token_ids()))


# What does not fit


@pytest.mark.parametrize(
    ("kind", "more", "said", "key", "message"),
    [
        ("gpt2", {}, {"vocab_size": 299}, "vocab_size", r"has 299 tokens, but .* has 300"),
        ("llama", {}, {"embedding_weight_tying": True}, "embedding_weight_tying", "must be false"),
        ("gptj", {}, {"lm_head_bias": False}, "lm_head_bias", "must be true"),
        ("gemma2", {"final_logit_softcapping": 1.0}, {}, "hf_load_embeddings", "it scales or caps what stlm does not"),
        ("gemma3_text", {}, {}, "hf_load_embeddings", "it scales or caps what stlm does not"),
        ("bert", {}, {}, "hf_load_embeddings", "it scales or caps what stlm does not"),
    ],
)
def test_a_whole_model_that_does_not_fit_is_told_at_its_key(kind, more, said, key, message, tmp_path):
    published = publish(tmp_path, kind, whole=True, **more)
    where, code, text = refused(lambda: compile(whole_spec(tmp_path, published, **said), "cpu"))
    assert (where, code) == (f"model.{key}", Code.RULE)
    assert re.search(message, text)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_whole_model_whose_logits_are_no_numbers_is_told_as_such(value, tmp_path):
    published = publish(tmp_path, "gpt_neox", whole=True)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    tensors["gpt_neox.layers.0.mlp.dense_h_to_4h.bias"][0] = value
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(WorkError, match=r"`: the logits that transformers computes of it are not finite numbers$"):
        compile(whole_spec(tmp_path, published), "cpu")


def test_what_does_not_fit_is_told_by_a_dry_run_too(tmp_path):
    published = publish(tmp_path, "llama", whole=True)
    spec = whole_spec(tmp_path, published, vocab_size=299)
    assert refused(lambda: compile(spec, "meta"))[0] == "model.vocab_size"


@pytest.mark.parametrize(
    ("kind", "said", "key", "message"),
    [
        ("t5", {}, "hf_model_name", "is an encoder and a decoder"),
        ("electra", {}, "hf_model_name", "is fed with vectors of 16 and gives vectors of 32"),
        ("gpt2", {"context_window": 33}, "context_window", "has 32 positions"),
        ("opt", {"context_window": 33}, "context_window", "has 32 positions"),
        ("roberta", {"context_window": 33}, "context_window", "has 32 positions"),
        ("gptj", {"context_window": 33}, "context_window", "has 32 positions"),
        ("mamba", {"activation_checkpointing": "full"}, None, ""),
        ("distilbert", {"hf_load_embeddings": True}, "hf_load_embeddings", "is no causal language model"),
    ],
)
def test_a_body_that_does_not_fit_is_told_at_its_key(kind, said, key, message, tmp_path):
    config_of(kind).save_pretrained(tmp_path)
    spec = spec_of(tmp_path, **said)
    if key is None:
        assert compile(spec, "meta").report.parameters.total > 0
        return
    where, _, text = refused(lambda: compile(spec, "meta"))
    assert where == f"model.{key}"
    assert message in text


@pytest.mark.parametrize("kind", ["gpt2", "opt", "roberta", "gptj"])
def test_the_last_position_of_a_table_can_be_used(kind, tmp_path):
    publish(tmp_path, kind)
    model = checks.built(spec_of(tmp_path, context_window=32))
    assert model(checks.token_ids(1, 32)).isfinite().all()


def test_rotary_positions_have_no_end(tmp_path):
    publish(tmp_path, "llama")
    assert checks.built(spec_of(tmp_path, context_window=64))(checks.token_ids(1, 64)).isfinite().all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "no_such_kind"}, r'says model type "no_such_kind", which transformers .* does not know'),
        ({}, "says model type null"),
        ([], "cannot be read as a JSON mapping"),
    ],
)
def test_a_config_that_transformers_does_not_know_is_told_at_the_name(config, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    where, _, text = refused(lambda: compile(spec_of(tmp_path, hidden_dim=32), "meta"))
    assert where == "model.hf_model_name"
    assert re.search(message, text)


def test_a_config_with_a_wrong_value_is_said_in_one_line(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_embd": 32, "n_layer": "two"}')
    with pytest.raises(WorkError, match="cannot be loaded") as caught:
        compile(spec_of(tmp_path), "meta")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layers", [0, -3])
def test_a_body_has_at_least_one_layer(layers, tmp_path):
    config_of("gpt2").save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**said, "n_layer": layers}))
    where, _, text = refused(lambda: compile(spec_of(tmp_path), "meta"))
    assert where == "model.hf_model_name"
    assert f"says `n_layer: {layers}`" in text


def test_an_activation_that_is_not_known_is_said_with_its_key(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "gpt2", "n_embd": 32, "n_head": 2, "activation_function": "nope"}'
    )
    with pytest.raises(WorkError, match=r"says `activation_function: nope`, which is not known"):
        compile(spec_of(tmp_path), "meta")


def test_no_list_of_labels_is_made_however_many_a_config_says(tmp_path):
    said = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2, "num_labels": 20_000}
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert len(compile(spec_of(tmp_path), "meta").model.core.config.id2label) == 2


CODE = """
from pathlib import Path
import torch
from transformers import PretrainedConfig, PreTrainedModel
Path(__file__).with_name("ran").touch()
Path({marker!r}).touch()

class OddConfig(PretrainedConfig):
    model_type = "odd_one"
    def __init__(self, hidden_size=32, vocab_size=300, **more):
        super().__init__(**more)
        self.hidden_size, self.vocab_size, self.num_hidden_layers = hidden_size, vocab_size, 1

class OddModel(PreTrainedModel):
    config_class = OddConfig
    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.layer = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.post_init()
    def forward(self, input_ids=None, inputs_embeds=None):
        return (inputs_embeds + self.layer(inputs_embeds),)
"""


@pytest.fixture
def odd_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that brings code of its own, which leaves a file `marker` behind wherever it runs."""
    folder = tmp_path / "odd"
    folder.mkdir()
    code = {"AutoConfig": "odd_code.OddConfig", "AutoModel": "odd_code.OddModel"}
    said = {"model_type": "odd_one", "hidden_size": 32, "vocab_size": 300, "auto_map": code}
    (folder / "config.json").write_text(json.dumps(said))
    (folder / "odd_code.py").write_text(CODE.format(marker=str(tmp_path / "marker")))
    save_file({"layer.weight": torch.eye(32), "layer.bias": torch.ones(32)}, folder / "model.safetensors")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    return folder


def test_code_of_a_models_own_is_not_run_unless_the_spec_says_so(odd_model, tmp_path):
    for device in ("meta", "cpu"):
        where, _, text = refused(lambda device=device: compile(spec_of(odd_model), device))
        assert where == "model.hf_trust_remote_code"
        assert "run only with `hf_trust_remote_code: true`" in text
    assert not (tmp_path / "marker").exists()


def test_code_of_a_models_own_is_run_where_the_spec_says_so(odd_model, tmp_path):
    model = checks.built(spec_of(odd_model, hf_trust_remote_code=True))
    assert (tmp_path / "marker").exists()
    x = vectors()
    torch.testing.assert_close(model.core(x, context_of(x)), 2 * x + 1)


def test_code_that_is_not_at_hand_is_said_in_one_line(odd_model, tmp_path):
    (odd_model / "odd_code.py").unlink()
    with pytest.raises(WorkError, match=r"needs its code, `odd_code.py`, which is not at hand"):
        compile(spec_of(odd_model, hf_trust_remote_code=True), "meta")


@pytest.mark.parametrize("auto_map", ["x", [1], {"AutoModel": "../../evil.C"}, {"AutoModel": 3}])
def test_a_name_of_code_that_is_none_is_told_at_the_models_name(auto_map, odd_model):
    said = json.loads((odd_model / "config.json").read_text())
    (odd_model / "config.json").write_text(json.dumps({**said, "auto_map": auto_map}))
    where, _, text = refused(lambda: compile(spec_of(odd_model, hf_trust_remote_code=True), "meta"))
    assert where == "model.hf_model_name"
    assert "`auto_map` in the `config.json`" in text


def test_what_is_kept_is_what_the_body_was_made_of(tmp_path):
    config_of("gpt2").save_pretrained(tmp_path / "body")
    before = (tmp_path / "body" / "config.json").read_bytes()
    body = compile(spec_of(tmp_path / "body"), "meta").model.core
    (tmp_path / "body" / "config.json").write_text("{}")
    (tmp_path / "kept").mkdir()
    body.keep(tmp_path / "kept")
    assert (tmp_path / "kept" / "config.json").read_bytes() == before


@pytest.mark.parametrize("trusted", [True, False])
def test_code_is_kept_with_a_run_where_it_may_be_run(trusted, odd_model, tmp_path):
    if not trusted:
        code = json.loads((odd_model / "config.json").read_text())["auto_map"]
        config_of("gpt2", auto_map=code).save_pretrained(odd_model)
    (tmp_path / "kept").mkdir()
    compile(spec_of(odd_model, hf_trust_remote_code=trusted), "meta").model.core.keep(tmp_path / "kept")
    assert (tmp_path / "kept" / "odd_code.py").exists() == trusted
    odd_model.rename(tmp_path / "elsewhere")
    again = compile(spec_of(odd_model, hidden_dim=32, hf_trust_remote_code=trusted), "meta", kept=tmp_path / "kept")
    assert again.model.core.width == 32


# Number formats


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_body_in_a_half_format_is_held_and_fed_in_it(dtype, tmp_path):
    published = publish(tmp_path, "llama", whole=True)
    spec = whole_spec(tmp_path, published, hf_dtype=dtype)
    model = checks.built(spec)
    assert {p.dtype for p in model.core.parameters()} == {getattr(torch, dtype)}
    assert {p.dtype for p in model.head.parameters()} == {torch.float32}
    ids = checks.token_ids()
    logits, expected = model(ids), published(input_ids=ids).logits
    assert logits.dtype == torch.float32
    assert 0 < (logits - expected).abs().max() < 0.05 * expected.abs().max()
    report = compile(spec, "meta").report
    body = sum(p.numel() for p in model.core.parameters())
    assert report.memory.weights == 4 * report.parameters.total - 2 * body


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_gives_states_of_the_dtype_that_it_is_given(dtype, tmp_path):
    publish(tmp_path, "gpt2")
    body = body_of(tmp_path, dtype="bfloat16")
    for shape in ((2, 16), (1, 1)):
        x = vectors(*shape).to(dtype)
        assert (body(x, context_of(x)).dtype, body(x, context_of(x)).shape) == (dtype, x.shape)


# What it costs


def test_operations_are_counted_by_hand(tmp_path):
    config_of("gpt2").save_pretrained(tmp_path / "gpt2")
    config_of("llama").save_pretrained(tmp_path / "llama")
    sums = 4 * 16 * HIDDEN / 2
    gpt2 = LAYERS * (2 * (3 * HIDDEN**2 + HIDDEN**2 + 8 * HIDDEN**2) + sums)
    llama = LAYERS * (2 * (2 * HIDDEN**2 + 2 * HIDDEN * HIDDEN // 2 + 3 * HIDDEN * FFN) + sums)
    assert cost.flops_per_token(compile(spec_of(tmp_path / "gpt2")).model.core, 16) == gpt2
    assert cost.flops_per_token(compile(spec_of(tmp_path / "llama")).model.core, 16) == llama


def test_of_experts_those_are_counted_that_a_token_is_sent_to(tmp_path):
    config_of("mixtral").save_pretrained(tmp_path)
    counts = compile(spec_of(tmp_path)).report.parameters
    assert counts.total - counts.active == LAYERS * 2 * 3 * HIDDEN * FFN  # 2 of 4 experts, of three matrices each


def test_a_window_bounds_what_attention_costs(tmp_path):
    config_of("mistral").save_pretrained(tmp_path)
    core = compile(spec_of(tmp_path)).model.core
    assert cost.flops_per_token(core, 64) == cost.flops_per_token(core, 32)
    assert cost.flops_per_token(core, 4) < cost.flops_per_token(core, 8)


@pytest.mark.parametrize("order", [("sliding", "full"), ("full", "sliding"), ("sliding", "sliding"), ("full", "full")])
def test_a_window_bounds_the_layers_alone_that_have_one(order, tmp_path):
    layer_types = [f"{kind}_attention" for kind in order]
    config_of("gemma2", layer_types=layer_types).save_pretrained(tmp_path)
    core = compile(spec_of(tmp_path)).model.core
    queries, keys = HEADS * 8, 2 * 8
    matrices = HIDDEN * (queries + 2 * keys) + queries * HIDDEN + 3 * HIDDEN * FFN
    seen = sum({"sliding": 4, "full": 32 / 2}[kind] for kind in order)
    assert cost.flops_per_token(core, 32) == LAYERS * 2 * matrices + 4 * seen * queries


def no_dropout(kind: str) -> dict[str, float]:
    return {name: 0.0 for name, value in config_of(kind).to_dict().items() if "drop" in name and value}


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "qwen2", "qwen3", "gpt_neox", "mistral", "bert", "gptj"])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("bf16", 2)])
def test_what_autograd_keeps_is_foretold_to_a_quarter(kind, frozen, precision, width, tmp_path):
    options = {"word_embed_proj_dim": HIDDEN} if kind == "opt" else {}
    config_of(kind, **options, **no_dropout(kind), num_hidden_layers=6).save_pretrained(tmp_path)
    body = body_of(tmp_path, load_weights=False, frozen=frozen).train()
    x = vectors(8).requires_grad_()
    _, kept = kept_by_autograd(body, lambda: body(x, context_of(x)), precision)
    copies = width * cost.cast_elements(body) if width < 4 else 0
    foretold = 8 * 16 * cost.saved_bytes_per_token(body, 16, width) + copies
    assert foretold == pytest.approx(kept, rel=0.25)


@pytest.fixture
def memory(tmp_path: Path, tiny_text: Path) -> Any:
    """Predict the memory of training on a GPT-2: ``memory(freeze_core=False)``."""
    publish(tmp_path, "gpt2")

    def predict(precision: str = "fp32", **said: Any) -> Any:
        training = {
            "trainer_type": "base_trainer", "dataset": str(tiny_text), "dataloader": "standard", "batch_size": 2,
            "datasampling": "standard", "gradient_accumulation_steps": 1, "max_iters": 2, "warmup_iters": 0,
            "lr_scheduler": "cosine", "loss_fn": "cross_entropy", "optimizer": {"optimizer_name": "AdamW"},
            "precision": precision,
        }  # fmt: skip
        return compile(parse_spec(json.dumps({**plain(tmp_path, **said), "trainer": training}))).report.memory

    return predict


def test_the_memory_of_a_frozen_body_has_no_gradients_and_no_moments(memory):
    frozen, trained = memory(), memory(freeze_core=False)
    assert (frozen.gradients, frozen.optimizer) == (4 * VOCAB * HIDDEN, 8 * VOCAB * HIDDEN)
    assert trained.gradients == trained.weights == frozen.weights
    assert trained.optimizer == 2 * trained.weights
    assert frozen.activations < trained.activations
    assert memory(activation_checkpointing="full").activations < frozen.activations


def test_a_body_in_bfloat16_has_no_second_copy_in_bfloat16(memory):
    """Only the head's matrix, tied to the embedding and in float32, is copied for its products."""
    for dtype, body in (("float32", True), ("bfloat16", False)):
        copies = memory("bf16", hf_dtype=dtype).weights - memory("fp32", hf_dtype=dtype).weights
        matrices = 2 * LAYERS * 12 * HIDDEN**2 if body else 0
        assert copies == 2 * VOCAB * HIDDEN + matrices
