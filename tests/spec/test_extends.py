"""``extends``: one spec as changes to others, each value still at its own place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawing import PLAIN, write

from stlm.registry import load_spec
from stlm.spec import Code, Diagnostic, Spec, SpecError
from stlm.spec.provenance import Written

BASE = write(PLAIN).text


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Path]:
    """Write files; returns the folder."""

    def make(**texts: str) -> Path:
        for name, text in {"base": BASE, **texts}.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return make


Files = Callable[..., Path]


def mistakes(path: Path, *overrides: str) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    return list(caught.value.diagnostics)


def model(spec: Spec) -> dict[str, Any]:
    return spec.to_plain()["model"]


def test_a_spec_says_only_what_differs(files: Files) -> None:
    folder = files(child="extends: base.yaml\nmodel: {hidden_dim: 128}\n")
    child, base = load_spec(folder / "child.yaml"), load_spec(folder / "base.yaml")
    assert child.model.hidden_dim == 128
    assert load_spec(folder / "child.yaml", ["model.hidden_dim=64"]) == base


def test_a_parent_is_found_beside_the_file_that_names_it(files: Files) -> None:
    folder = files(inner__mid="extends: ../base.yaml\n", inner__child="extends: mid.yaml\n")
    assert load_spec(folder / "inner" / "child.yaml") == load_spec(folder / "base.yaml")


def test_of_several_parents_the_later_wins_and_the_file_itself_last(files: Files) -> None:
    folder = files(
        a="model: {hidden_dim: 128, context_window: 8}\n",
        b="model: {hidden_dim: 256, num_layers: 3}\n",
        child="extends: [base.yaml, a.yaml, b.yaml]\nmodel: {num_layers: 4}\n",
    )
    spec = load_spec(folder / "child.yaml")
    found = model(spec)
    assert (found["hidden_dim"], found["context_window"], found["num_layers"]) == (256, 8, 4)


def test_a_mapping_merges_and_a_scalar_replaces(files: Files) -> None:
    folder = files(child="extends: base.yaml\nmodel:\n  attn: {num_q_heads: 4}\n")
    attn = model(load_spec(folder / "child.yaml"))["attn"]
    assert (attn["num_kv_heads"], attn["num_q_heads"]) == (2, 4)


def test_a_list_replaces_a_list(files: Files) -> None:
    folder = files(
        mid="extends: base.yaml\ngeneral: {hooks: [nobody]}\n", child="extends: mid.yaml\ngeneral: {hooks: []}\n"
    )
    assert load_spec(folder / "child.yaml").general.hooks == ()


def test_a_value_keeps_the_place_in_the_file_that_wrote_it(files: Files) -> None:
    folder = files(child="extends: base.yaml\nmodel:\n  hidden_dim: 128\n")
    spec = load_spec(folder / "child.yaml")
    origin, inherited = spec.provenance.origins["model.hidden_dim"], spec.provenance.origins["model.context_window"]
    assert isinstance(origin, Written)
    assert isinstance(inherited, Written)
    assert (origin.place.file, origin.place.line, origin.place.column) == (str(folder / "child.yaml"), 3, 15)
    assert inherited.place.file == str(folder / "base.yaml")


def test_the_file_of_a_spec_is_the_one_that_was_asked_for(files: Files) -> None:
    folder = files(child="extends: base.yaml\n")
    assert load_spec(folder / "child.yaml").file == str(folder / "child.yaml")


def test_a_mistake_in_a_parent_is_placed_in_the_parent(files: Files) -> None:
    folder = files(base=BASE.replace("hidden_dim: 64", "hidden_dim: x"), child="extends: base.yaml\n")
    (found,) = mistakes(folder / "child.yaml")
    assert (found.place.file, found.code) == (str(folder / "base.yaml"), Code.WRONG_TYPE)


def test_a_circle_is_named(files: Files) -> None:
    folder = files(a="extends: b.yaml\n", b="extends: [base.yaml, c.yaml]\n", c="extends: a.yaml\n")
    found = mistakes(folder / "a.yaml")
    assert [(d.code, Path(d.place.file).name, d.place.line, d.place.column) for d in found] == [
        (Code.EXTENDS, "c.yaml", 1, 10)
    ]
    assert "a.yaml → b.yaml → c.yaml → a.yaml" in found[0].message


def test_a_spec_that_extends_itself_is_a_circle_under_any_name(files: Files) -> None:
    folder = files(a="extends: link.yaml\n")
    (folder / "link.yaml").symlink_to("a.yaml")
    assert mistakes(folder / "a.yaml")[0].code is Code.EXTENDS


def test_one_parent_by_two_ways_is_no_circle(files: Files) -> None:
    folder = files(a="extends: base.yaml\n", b="extends: base.yaml\n", child="extends: [a.yaml, b.yaml]\n")
    assert load_spec(folder / "child.yaml") == load_spec(folder / "base.yaml")


def test_parents_without_end_are_refused(files: Files) -> None:
    texts = {f"p{i}": f"extends: [p{i + 1}.yaml, p{i + 1}.yaml]\n" for i in range(30)}
    folder = files(**texts, p30=BASE)
    assert Code.EXTENDS in {d.code for d in mistakes(folder / "p0.yaml")}


def test_a_parent_that_is_not_there_is_the_only_mistake(files: Files) -> None:
    folder = files(child="extends: bsae.yaml\nmodel: {hidden_dim: 128}\ntrainer: {max_iters: 3}\n")
    (found,) = mistakes(folder / "child.yaml")
    assert (found.code, found.place.line, found.place.column) == (Code.EXTENDS, 1, 10)
    assert "bsae.yaml" in found.message


def test_a_parent_that_is_not_yaml_is_the_only_mistake(files: Files) -> None:
    folder = files(broken="model: [\n", child="extends: broken.yaml\n")
    (found,) = mistakes(folder / "child.yaml")
    assert (found.code, Path(found.place.file).name) == (Code.YAML, "broken.yaml")


@pytest.mark.parametrize("value", ["3", "{a: 1}", "[3]", "null", "''"])
def test_extends_takes_paths(value: str, files: Files) -> None:
    folder = files(child=f"extends: {value}\n{BASE}")
    (found,) = mistakes(folder / "child.yaml")
    assert (found.code, found.place.line) == (Code.WRONG_TYPE, 1)


def test_the_options_of_a_replaced_component_go_and_shared_ones_stay(files: Files) -> None:
    folder = files(
        mid="extends: base.yaml\nmodel: {ffn: {activation: leakyrelu, negative_slope: 0.2, bias: true}}\n",
        child="extends: mid.yaml\nmodel: {ffn: {ffn_type: silu_ffn}}\n",
    )
    ffn = model(load_spec(folder / "child.yaml"))["ffn"]
    assert ffn == {"ffn_type": "silu_ffn", "ffn_dim": 128, "bias": True, "normalization": "rms_norm"}


def test_a_sibling_choice_is_replaced_with_its_options(files: Files) -> None:
    folder = files(
        mid="extends: base.yaml\nmodel: {std: 0.5, scale_residual: false, norm_eps: 0.25}\n",
        child="extends: mid.yaml\nmodel: {initialization_fn: xavier, gain: 2}\n",
    )
    found = model(load_spec(folder / "child.yaml"))
    assert (found["gain"], found["norm_eps"]) == (2.0, 0.25)
    assert not {"std", "scale_residual"} & set(found)


def test_across_three_generations_what_was_replaced_does_not_come_back(files: Files) -> None:
    folder = files(
        one="extends: base.yaml\nmodel: {ffn: {activation: relu, bias: true}}\n",
        two="extends: one.yaml\nmodel: {ffn: {ffn_type: silu_ffn}}\n",
        three="extends: two.yaml\nmodel: {ffn: {ffn_type: generic}}\n",
    )
    ffn = model(load_spec(folder / "three.yaml"))["ffn"]
    assert (ffn["ffn_type"], ffn["activation"], ffn["bias"]) == ("generic", "gelu", True)


def test_an_option_that_the_child_says_itself_is_never_taken_away(files: Files) -> None:
    folder = files(child="extends: base.yaml\nmodel: {ffn: {ffn_type: silu_ffn, activation: relu}}\n")
    (found,) = mistakes(folder / "child.yaml")
    assert (found.code, Path(found.place.file).name, found.place.line) == (Code.UNKNOWN_KEY, "child.yaml", 2)
    assert found.message == "`activation` belongs to ffn_type: generic; this spec chose silu_ffn"


def test_a_default_component_is_replaced_like_a_written_one(files: Files) -> None:
    folder = files(
        base=BASE.replace('  initialization_fn: "normal"\n', ""),
        mid="extends: base.yaml\nmodel: {mode: fan_out}\n",
        child="extends: mid.yaml\nmodel: {initialization_fn: none}\n",
    )
    assert load_spec(folder / "mid.yaml").model.initialization.mode == "fan_out"
    assert "mode" not in model(load_spec(folder / "child.yaml"))


def test_an_alias_for_the_same_component_replaces_nothing(files: Files) -> None:
    folder = files(child="extends: base.yaml\nmodel: {tokenizer_type: GPT-2}\n")
    assert load_spec(folder / "child.yaml") == load_spec(folder / "base.yaml")


def test_a_misspelled_component_in_a_child_is_one_mistake(files: Files) -> None:
    folder = files(
        mid="extends: base.yaml\nmodel: {ffn: {activation: relu}}\n",
        child="extends: mid.yaml\nmodel: {ffn: {ffn_type: silu_fn}}\n",
    )
    (found,) = mistakes(folder / "child.yaml")
    assert (found.code, found.help[0]) == (Code.UNKNOWN_NAME, "did you mean `silu_ffn`?")


def test_a_component_changes_by_override_across_generations(files: Files) -> None:
    folder = files(mid="extends: base.yaml\nmodel: {ffn: {activation: leakyrelu, negative_slope: 0.5}}\n")
    spec = load_spec(folder / "mid.yaml", ["model.ffn.activation=relu", "model.ffn.ffn_type=silu_ffn"])
    assert set(model(spec)["ffn"]) == {"ffn_type", "ffn_dim", "bias", "normalization"}


def test_what_is_extended_resolves_to_what_it_says_in_full(files: Files) -> None:
    folder = files(child="extends: base.yaml\nmodel: {ffn: {ffn_type: silu_ffn}, initialization_fn: none}\n")
    spec = load_spec(folder / "child.yaml")
    (folder / "source.yaml").write_text(spec.source_text, encoding="utf-8")
    assert load_spec(folder / "source.yaml") == spec
    assert load_spec(folder) == spec, "a folder with a source.yaml is read as a run's"
