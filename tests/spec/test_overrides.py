"""``--set PATH=VALUE``: applied over the file, placed by its path, refused with a reason."""

import json

import pytest
from drawing import PLAIN

from stlm.registry import parse_spec
from stlm.spec import Code, Diagnostic, Spec, SpecError

TEXT = json.dumps(PLAIN)


def spec(*overrides: str) -> Spec:
    return parse_spec(TEXT, overrides)


def mistake(*overrides: str) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        spec(*overrides)
    (found,) = caught.value.diagnostics
    return found


def test_a_value_is_set_wherever_it_stands() -> None:
    assert spec("model.hidden_dim=128").model.hidden_dim == 128
    assert spec("model.attn.num_q_heads=4").model.core_model.attn.num_q_heads == 4
    assert spec("general.paths.data_dir=./d").general.paths.data_dir == "./d"
    assert spec("trainer.optimizer.lr=5e-4").trainer.optimizer.lr == 5e-4


def test_the_last_override_of_a_key_wins() -> None:
    assert spec("model.hidden_dim=128", "model.hidden_dim=256").model.hidden_dim == 256


def test_a_value_is_yaml() -> None:
    assert spec("model.attn={num_kv_heads: 1, num_q_heads: 4}").model.core_model.attn.num_q_heads == 4
    assert spec("general.logging.wandb_run_name='3'").general.logging.wandb_run_name == "3"


def test_a_value_may_hold_an_equals_sign_and_blanks_around_the_path_are_nothing() -> None:
    assert spec("general.paths.data_dir=a=b").general.paths.data_dir == "a=b"
    assert spec(" model.hidden_dim = 128").model.hidden_dim == 128


def test_derived_defaults_follow_an_override() -> None:
    assert spec("trainer.max_iters=99").trainer.lr_scheduler.lr_decay_iters == 99


@pytest.mark.parametrize(
    ("override", "code", "column", "caret"),
    [
        ("model.hidden_dim=abc", Code.WRONG_TYPE, 18, "abc"),
        ("model.hidden_dim=-3", Code.OUT_OF_RANGE, 18, "-3"),
        ("model.hidden_dmi=3", Code.UNKNOWN_KEY, 1, "model.hidden_dmi"),
        ("model.attn.normalization=rmsnorm", Code.UNKNOWN_NAME, 26, "rmsnorm"),
        ("model.hidden_dim=", Code.WRONG_TYPE, 18, ""),
        ("model.hidden_dim=[1", Code.YAML, 20, ""),
        ("model.hidden_dim=!!python/none 3", Code.YAML, 18, ""),
        ("model.num_layers.x=3", Code.OVERRIDE, 1, "model.num_layers"),
        ("general.hooks.0=x", Code.WRONG_TYPE, 1, "general.hooks.0"),
        ("model", Code.OVERRIDE, 1, "model"),
        ("=3", Code.OVERRIDE, 1, ""),
        ("model..x=3", Code.OVERRIDE, 1, ""),
        ("model.hidden dim=3", Code.OVERRIDE, 1, ""),
        ("extends=other.yaml", Code.OVERRIDE, 1, "extends"),
        ("", Code.OVERRIDE, 1, ""),
        ("model=3", Code.WRONG_TYPE, 7, "3"),
        ("modell.hidden_dim=3", Code.UNKNOWN_KEY, 1, ""),
    ],
)
def test_a_mistake_in_an_override_points_at_the_override(override: str, code: Code, column: int, caret: str) -> None:
    found = mistake(override)
    path = override.partition("=")[0].strip()
    assert (found.code, found.place.file, found.place.column) == (code, f"--set {path}", column)
    assert str(found.place) == f"--set {path}"
    assert found.place.text[column - 1 :].startswith(caret)


def test_an_index_into_a_list_is_refused_with_what_to_do_instead() -> None:
    text = json.dumps({**PLAIN, "general": {"hooks": []}})
    with pytest.raises(SpecError) as caught:
        parse_spec(text, ["general.hooks.0=x"])
    (found,) = caught.value.diagnostics
    assert found.code is Code.OVERRIDE
    assert found.help == ("set `general.hooks` as a whole",)


def test_every_override_is_reported_and_after_the_file() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(TEXT.replace('"hidden_dim": 64', '"hidden_dim": "64"'), ["model=", "x=1", "general.seed=-1"])
    files = [d.place.file for d in caught.value.diagnostics]
    assert files[-1].startswith("--set")
    assert len(files) > 1


def test_an_override_that_changes_a_type_key_takes_the_old_options_away() -> None:
    text = json.dumps(
        {**PLAIN, "model": {**PLAIN["model"], "ffn": {"ffn_type": "generic", "ffn_dim": 8, "activation": "relu"}}}
    )
    changed = parse_spec(text, ["model.ffn.ffn_type=silu_ffn"])
    assert changed.model.core_model.ffn.ffn_dim == 8
    assert "activation" not in changed.to_plain()["model"]["ffn"]


def test_a_component_is_replaced_by_overrides_that_only_together_say_enough() -> None:
    plain = json.loads(TEXT)
    plain["model"] |= {"tokenizer_type": "hf", "tokenizer_name": "./t", "vocab_size": 300}
    for order in (1, -1):
        overrides = ("model.tokenizer_type=bpe", "model.tokenizer_dataset_name=python_docs")[::order]
        changed = parse_spec(json.dumps(plain), overrides).to_plain()["model"]
        assert "tokenizer_name" not in changed
        assert (changed["vocab_size"], changed["tokenizer_dataset_name"]) == (300, "python_docs")
