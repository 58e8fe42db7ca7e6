"""What a config.json means, and what of it no spec can say."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stlm.compiler import compile
from stlm.interchange.read import understand
from stlm.registry.manager import installed
from stlm.spec import SpecError, UsageError, WorkError
from tests.interchange.published_configs import CONFIGS

LLAMA, GPT2 = CONFIGS["HuggingFaceTB/SmolLM-135M"], CONFIGS["gpt2"]


def folder_with(folder: Path, config: Any, **changed: Any) -> Path:
    """Write a config.json."""
    text = config if isinstance(config, str) else json.dumps({**config, **changed}, indent=2)
    (folder / "config.json").write_text(text)
    return folder


def model_of(folder: Path, config: Any, **changed: Any) -> Any:
    """The `model` section that a config.json means."""
    return understand(folder_with(folder, config, **changed), installed()).spec.model


def in_the_way(folder: Path, config: Any, **changed: Any) -> list[str]:
    """What is said of the keys that no spec can say, without the place."""
    with pytest.raises(SpecError) as error:
        model_of(folder, config, **changed)
    (diagnostic,) = error.value.diagnostics
    assert f"{len(diagnostic.help)} key" in diagnostic.message
    return [line.partition(": ")[2] for line in diagnostic.help]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt2", 124_439_808),
        ("HuggingFaceTB/SmolLM-135M", 134_515_008),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", 1_100_048_384),
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen2-0.5B", 494_032_768 + 24 * 896),  # and a bias of zeros behind attention, which ours has
        ("mistralai/Mistral-7B-v0.3", 7_248_023_552),
    ],
)
def test_published_models_are_understood_down_to_their_number_of_parameters(tmp_path, name, parameters):
    spec = understand(folder_with(tmp_path, CONFIGS[name]), installed()).spec
    assert compile(spec).report.parameters.total == parameters
    assert spec.trainer is None


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_what_is_read_of_a_published_model_is_what_transformers_reads(tmp_path, name):
    import transformers

    theirs = transformers.AutoConfig.from_pretrained(folder_with(tmp_path, CONFIGS[name]))
    export = next(f.cls for f in installed().all_of("export") if theirs.model_type in getattr(f.cls, "model_types", ()))
    section = export().section(CONFIGS[name], tmp_path)
    assert section["hidden_dim"] == theirs.hidden_size
    assert section["context_window"] == theirs.max_position_embeddings
    assert section["embedding_weight_tying"] == theirs.tie_word_embeddings
    assert section["norm_eps"] == getattr(theirs, "rms_norm_eps", None) or theirs.layer_norm_epsilon
    if "rope_theta" in section:
        assert section["rope_theta"] == theirs.rope_parameters["rope_theta"]
        assert section["attn"]["num_kv_heads"] == theirs.num_key_value_heads


def test_a_scaled_rotation_is_refused_at_its_line(tmp_path):
    with pytest.raises(SpecError) as error:
        model_of(tmp_path, CONFIGS["meta-llama/Llama-3.2-1B"])
    text = error.value.diagnostics[0].render()
    line = (tmp_path / "config.json").read_text().splitlines().index('  "rope_scaling": {') + 1
    assert f"config.json:{line}:3: error[rule]: this llama computes what no spec can say; 1 key is in the way" in text
    assert "`rope_scaling` must be of the type `default`, not 'llama3'" in text


def test_a_sliding_window_in_use_is_refused_and_one_that_is_not_is_none(tmp_path):
    mistral, qwen = CONFIGS["mistralai/Mistral-7B-v0.1"], CONFIGS["Qwen/Qwen2-0.5B"]
    says = "`sliding_window` must be null, or no less than `max_position_embeddings` 32768, not 4096"
    assert in_the_way(tmp_path, mistral) == [says]
    del (left_out := dict(mistral))["sliding_window"]
    assert in_the_way(tmp_path, left_out, max_position_embeddings=32768) == [says], "its default is 4096"
    assert model_of(tmp_path, mistral, max_position_embeddings=4096).context_window == 4096
    for changed in ({"use_sliding_window": True, "max_window_layers": 24}, {"sliding_window": None}):
        assert model_of(tmp_path, qwen, **{"sliding_window": 99, **changed}).context_window == 131072
    used = {"use_sliding_window": True, "sliding_window": 99}
    assert len(in_the_way(tmp_path, qwen, **used, max_window_layers=23)) == 1
    assert len(in_the_way(tmp_path, qwen, **used, layer_types=["full_attention", "sliding_attention"] * 12)) == 1
    assert model_of(tmp_path, qwen, **used, layer_types=["full_attention"] * 24, max_window_layers=0)


def test_a_llama_has_no_window_whatever_its_config_says(tmp_path):
    assert model_of(tmp_path, LLAMA, sliding_window=16).context_window == 2048


@pytest.mark.parametrize(
    "changed",
    [
        {"rope_theta": 5e5},
        {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
        {"rope_theta": 1.0, "rope_parameters": {"rope_theta": 5e5}},
        {"rope_theta": 5e5, "rope_scaling": {"type": "default"}},
    ],
)
def test_the_base_of_the_rotation_is_read_from_where_either_age_writes_it(tmp_path, changed):
    assert model_of(tmp_path, LLAMA, **changed).positional_encoding.rope_theta == 5e5


def test_what_is_left_out_has_transformers_defaults(tmp_path):
    import transformers

    for kind, name in (
        ("llama", "LlamaConfig"),
        ("qwen3", "Qwen3Config"),
        ("qwen2", "Qwen2Config"),
        ("gpt2", "GPT2Config"),
    ):
        model, usual = model_of(tmp_path, {"model_type": kind}), getattr(transformers, name)()
        assert model.hidden_dim == usual.hidden_size
        assert model.context_window == usual.max_position_embeddings
        assert model.core_model.num_layers == usual.num_hidden_layers
        assert model.tokenizer.vocab_size == usual.vocab_size
        assert model.embedding_model.embedding_weight_tying == usual.tie_word_embeddings
        assert model.norm_eps == getattr(usual, "rms_norm_eps", None) or usual.layer_norm_epsilon
        assert model.core_model.attn.num_kv_heads == getattr(usual, "num_key_value_heads", usual.num_attention_heads)
        assert model.core_model.attn.head_dim == getattr(
            usual, "head_dim", usual.hidden_size // usual.num_attention_heads
        )
        assert model.core_model.ffn.ffn_dim == (getattr(usual, "intermediate_size", None) or 4 * usual.hidden_size)


def test_null_stands_for_what_follows_from_the_rest(tmp_path):
    attn = model_of(tmp_path, LLAMA, num_key_value_heads=None, head_dim=None).core_model.attn
    assert (attn.num_kv_heads, attn.head_dim) == (9, 64)
    assert model_of(tmp_path, GPT2, n_inner=None).core_model.ffn.ffn_dim == 3072
    assert model_of(tmp_path, GPT2, n_inner=100).core_model.ffn.ffn_dim == 100


def test_each_key_in_the_way_is_listed(tmp_path):
    assert in_the_way(
        tmp_path,
        GPT2,
        activation_function="mish",
        scale_attn_weights=False,
        scale_attn_by_inverse_layer_idx=True,
        add_cross_attention=True,
    ) == [
        "`activation_function` must be one of `gelu`, `gelu_new`, `gelu_python`, `gelu_python_tanh`, "
        "`gelu_pytorch_tanh`, `leaky_relu`, `linear`, `relu`, `sigmoid`, `silu`, `swish`, `tanh`, not 'mish'",
        "`scale_attn_weights` must be true, not False",
        "`scale_attn_by_inverse_layer_idx` must be false, not True",
        "`add_cross_attention` must be false, not True",
    ]
    assert in_the_way(
        tmp_path, LLAMA, hidden_act="gelu", partial_rotary_factor=0.5, quantization_config={"bits": 4}
    ) == [
        "`hidden_act` must be `silu`, not 'gelu'",
        "`partial_rotary_factor` must be 1.0, not 0.5",
        "`quantization_config` must not be there; quantized weights cannot be read",
    ]
    assert in_the_way(tmp_path, LLAMA, rope_parameters={"full_attention": {"rope_theta": 1e4}}) == [
        "`rope_parameters` must be one for all layers, not another for `full_attention`"
    ]
    assert in_the_way(tmp_path, GPT2, n_head=7) == ["`n_head` must divide `n_embd` 768, 7 does not"]
    assert in_the_way(tmp_path, LLAMA, rope_theta=-1.0) == ["`rope_theta` must be a positive number, not -1.0"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"hidden_size": "576"}, "`hidden_size` must be an integer, not '576'"),
        ({"num_hidden_layers": 1.5}, "`num_hidden_layers` must be an integer, not 1.5"),
        ({"tie_word_embeddings": 1}, "`tie_word_embeddings` must be true or false, not 1"),
        ({"rms_norm_eps": None}, "`rms_norm_eps` must be a number, not None"),
        ({"head_dim": [64]}, "`head_dim` must be an integer, not [64]"),
        ({"rope_scaling": "linear"}, "`rope_scaling` must be a mapping, not 'linear'"),
    ],
)
def test_a_value_of_another_type_is_said_to_be(tmp_path, changed, says):
    assert in_the_way(tmp_path, LLAMA, **changed) == [says]


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (LLAMA, "rms_norm_eps"),
        (LLAMA, "initializer_range"),
        (LLAMA, "rope_theta"),
        (GPT2, "layer_norm_epsilon"),
        (GPT2, "initializer_range"),
        (GPT2, "n_inner"),
        (LLAMA, "max_position_embeddings"),
    ],
)
def test_an_integer_of_any_length_is_said_to_be_beyond_64_bits(tmp_path, config, key):
    (said,) = in_the_way(tmp_path, config, **{key: 10**400})
    assert said == f"`{key}` must be a number that fits in 64 bits, not 1{'0' * 99}…"


def test_what_a_file_says_is_shown_in_a_part_of_one_line(tmp_path):
    for said, shown in (("\x1b[2J\n", r"`\x1b[2J\n`"), ("x" * 10**5, f"`{'x' * 100}…`")):
        with pytest.raises(UsageError) as error:
            model_of(tmp_path, LLAMA, model_type=said)
        assert shown in str(error.value)
        assert len(str(error.value)) < 600
        named = understand(folder_with(tmp_path, LLAMA, architectures=[said]), installed()).architecture
        assert f"`{named}`" == shown
    assert in_the_way(tmp_path, LLAMA, hidden_act="y" * 10**5) == [f"`hidden_act` must be `silu`, not '{'y' * 99}…"]


@pytest.mark.parametrize("gives", ["abc", [("nokey",)], [("key", 3)], None])
def test_who_gives_no_keys_in_the_way_is_blamed(tmp_path, monkeypatch, gives):
    from stlm.components.export.llama import LlamaExport

    monkeypatch.setattr(LlamaExport, "unreadable", lambda self, config: gives)
    with pytest.raises(WorkError, match="export `llama` of stlm failed: TypeError"):
        model_of(tmp_path, LLAMA)


def test_a_number_out_of_range_is_a_mistake_of_the_file_and_not_of_a_spec_that_nobody_wrote(tmp_path):
    (said,) = in_the_way(tmp_path, LLAMA, num_hidden_layers=0)
    assert "`num_layers` must be" in said


@pytest.mark.parametrize("named", [None, 3, [], "Llama", [["Llama"]]])
def test_an_architecture_that_is_not_named_is_that_of_who_reads_it(tmp_path, named):
    assert understand(folder_with(tmp_path, LLAMA, architectures=named), installed()).architecture == "LlamaForCausalLM"


def test_what_is_no_model_folder_is_said_in_a_line(tmp_path):
    with pytest.raises(UsageError, match=r"it has no `config\.json`"):
        understand(tmp_path, installed())
    for text, says in (
        ("{", "is not JSON"),
        ("[1]", "names no `model_type`"),
        ('{"model_type": 3}', "names no `model_type`"),
        ('{"a":' * 9000, "is not JSON"),
    ):
        with pytest.raises(UsageError, match=says):
            model_of(tmp_path, text)


def test_an_architecture_that_nobody_reads_is_told_those_that_somebody_does(tmp_path):
    with pytest.raises(
        UsageError, match=r"`lama`, and those that can be read are `gpt2`, `llama`, `mistral`, `qwen2`, `qwen3`; did"
    ):
        model_of(tmp_path, LLAMA, model_type="lama")


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**12), st.floats(), st.text(max_size=5), st.just([]), st.just({"a": {}})
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_value_of_any_key_makes_a_traceback(tmp_path, data):
    config = data.draw(st.sampled_from(list(CONFIGS.values())))
    keys = st.sampled_from([*config, "head_dim", "n_inner", "sliding_window", "layer_types", "rope_parameters"])
    changed = data.draw(st.dictionaries(keys, VALUES, max_size=3))
    with contextlib.suppress(SpecError, UsageError):  # and no `WorkError`, which says that an export fell over it
        model_of(tmp_path, config, **changed)
