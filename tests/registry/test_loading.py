"""Single components, held to what a spec would hold them to."""

import pytest

from stlm.registry import load_spec, make_component
from stlm.spec import SpecError, UsageError


def test_a_component_made_by_name_has_its_defaults() -> None:
    made = make_component("attention", "causal", {"num_kv_heads": 2, "head_dim": 8})
    assert (made.num_q_heads, made.bias, made.normalization.selector) == (2, False, "rms_norm")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"top_k": 2.5}, "wrong-type"),
        ({"temperature": "hot"}, "wrong-type"),
        ({"temperature": -1.0}, "out-of-range"),
        ({"top_q": 3}, "unknown-key"),
    ],
)
def test_its_options_are_checked_and_placed_as_flags(options: dict[str, object], code: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_component("sampler", "standard", options)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert found.headline().startswith(f"--{next(iter(options)).replace('_', '-')}: error[{code}]: ")


def test_its_rules_run() -> None:
    with pytest.raises(SpecError, match="multiple"):
        make_component("attention", "causal", {"num_kv_heads": 2, "num_q_heads": 3, "head_dim": 8})


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        make_component("sampler", "standrad")
    assert "did you mean `standard`?" in caught.value.diagnostics[0].help


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (({"model": {}},), "`load_spec` takes its path, not a dict"),
        (("a.yaml", "model.num_layers=2"), "write `load_spec('a.yaml', ['model.num_layers=2'])`"),
    ],
)
def test_what_is_no_path_and_what_is_no_list_are_told(arguments: tuple[object, ...], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_spec(*arguments)  # type: ignore[arg-type]
    assert says in str(caught.value)
