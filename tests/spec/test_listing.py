"""A key that names a component may hold a list instead, where it is declared so: each item is a mapping of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
from drawing import PLAIN, write

from stlm.registry import choice, component, option, parse_spec, positive, rule, section
from stlm.registry.describe import describe_component
from stlm.registry.manager import Registry
from stlm.registry.reference import pages
from stlm.spec import Code, Diagnostic, Spec, SpecError
from stlm.spec.canonical import components_of, differences
from stlm.spec.explain import explain

HEAD = write({**PLAIN, "trainer": {k: v for k, v in PLAIN["trainer"].items() if k != "dataset"}}).text.partition(
    "trainer:\n"
)


def text(dataset: str) -> str:
    """The plain spec with another `trainer.dataset`, written as it stands here."""
    return f"{HEAD[0]}trainer:\n  dataset:{dataset}\n{HEAD[2]}"


LINE = text("").splitlines().index("  dataset:") + 1
TWO = """
    - python_docs
    - name: ./b.jsonl
      weight: 2
      text_column: body"""


def mistakes(dataset: str, *overrides: str, registry: Registry | None = None) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        parse_spec(text(dataset), overrides, registry=registry)
    return list(caught.value.diagnostics)


def where(found: list[Diagnostic]) -> list[tuple[Code, int, int]]:
    """Code, line counted from that of the key, and column of each mistake."""
    return [(d.code, d.place.line - LINE, d.place.column) for d in found]


def names(spec: Spec) -> list[tuple[str, float]]:
    return [(member.component.selector, member.weight) for member in spec.trainer.dataset.members]


def test_each_item_names_a_component_and_holds_its_options() -> None:
    members = parse_spec(text(TWO)).trainer.dataset.members
    assert [(m.component.selector, m.weight) for m in members] == [("python_docs", 1.0), ("./b.jsonl", 2.0)]
    assert members[1].component.text_column == "body"


def test_one_item_is_a_list_too() -> None:
    assert names(parse_spec(text(" [python_docs]"))) == [("python_docs", 1.0)]


def test_one_component_may_stand_in_several_items_with_options_of_its_own() -> None:
    spec = parse_spec(text(" [{name: ./b.jsonl, text_column: x}, {name: ./b.jsonl, text_column: y}]"))
    assert [m.component.text_column for m in spec.trainer.dataset.members] == ["x", "y"]


def test_a_list_reads_back_from_its_canonical_form() -> None:
    spec = parse_spec(text(TWO))
    again = parse_spec(spec.dump())
    assert again == spec
    assert again.digest == spec.digest
    assert parse_spec(spec.source_text) == spec


def test_a_list_of_one_is_not_the_name_alone() -> None:
    assert parse_spec(text(" [python_docs]")).digest != parse_spec(text(" python_docs")).digest


def test_how_an_item_is_written_does_not_matter() -> None:
    long, short = " [{name: python_docs, weight: 1}]", " [python_docs]"
    assert parse_spec(text(long)).digest == parse_spec(text(short)).digest


def test_a_weight_and_an_option_of_an_item_are_in_the_digest() -> None:
    digests = {
        parse_spec(text(f" [{{name: ./b.jsonl, {said}}}]")).digest
        for said in ("weight: 1", "weight: 2", "text_column: body")
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("dataset", "code", "line", "column"),
    [
        pytest.param("\n    - name: ./b.jsonl\n      weight: 0", Code.OUT_OF_RANGE, 2, 15, id="weight-of-nothing"),
        pytest.param("\n    - name: ./b.jsonl\n      weight: -1", Code.OUT_OF_RANGE, 2, 15, id="negative-weight"),
        pytest.param("\n    - name: ./b.jsonl\n      weight: much", Code.WRONG_TYPE, 2, 15, id="weight-in-words"),
        pytest.param("\n    - python_docs\n    - pythondocs", Code.UNKNOWN_NAME, 2, 7, id="no-such-name"),
        pytest.param("\n    - python_docs\n    - weight: 2", Code.MISSING_KEY, 2, 7, id="no-name"),
        pytest.param("\n    - python_docs\n    - 3", Code.WRONG_TYPE, 2, 7, id="a-number"),
        pytest.param("\n    - [python_docs]", Code.WRONG_TYPE, 1, 7, id="a-list-in-a-list"),
        pytest.param("\n    - name: 3", Code.WRONG_TYPE, 1, 13, id="name-is-a-number"),
        pytest.param(" []", Code.OUT_OF_RANGE, 0, 12, id="nothing"),
    ],
)
def test_a_mistake_in_an_item_is_one_mistake_where_it_stands(dataset: str, code: Code, line: int, column: int) -> None:
    assert where(mistakes(dataset)) == [(code, line, column)]


def test_an_unknown_option_of_an_item_names_its_component_and_the_nearest_option() -> None:
    found = mistakes("\n    - name: ./b.jsonl\n      text_colum: body")
    assert where(found) == [(Code.UNKNOWN_KEY, 2, 7)]
    assert found[0].message == "dataset `./b.jsonl` has no option `text_colum`"
    assert found[0].help[0] == "did you mean `text_column`?"
    assert found[0].key == "trainer.dataset.0.text_colum"


def test_a_misspelled_weight_names_the_weight() -> None:
    assert "did you mean `weight`?" in mistakes(" [{name: python_docs, wieght: 2}]")[0].help


def test_an_option_of_another_component_says_whose_it_is() -> None:
    (found,) = mistakes(" [{name: python_docs, split_documents_on: x}]")
    assert "this spec chose python_docs" in found.message


def test_an_option_beside_a_list_says_that_it_belongs_in_an_item() -> None:
    (found,) = mistakes(" [./b.jsonl]\n  text_column: body")
    assert found.message.endswith("this spec chose a list, each member of which has options of its own")


def test_every_mistake_of_every_item_is_told() -> None:
    found = mistakes(" [{name: nowhere, weight: 0}, {name: ./b.jsonl, x: 1}]")
    assert {d.code for d in found} == {Code.UNKNOWN_NAME, Code.OUT_OF_RANGE, Code.UNKNOWN_KEY}


def test_a_key_that_may_not_be_a_list_says_so_still() -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text(" python_docs"), ["trainer.lr_scheduler=[cosine]"])
    assert [d.code for d in caught.value.diagnostics] == [Code.WRONG_TYPE]


def test_an_override_replaces_the_whole_list() -> None:
    assert names(parse_spec(text(TWO), ["trainer.dataset=[{name: ./c.txt, weight: 3}]"])) == [("./c.txt", 3.0)]


def test_a_list_in_a_child_takes_the_place_of_a_name_and_its_options(tmp_path: Path) -> None:
    from stlm.registry import load_spec

    (tmp_path / "parent.yaml").write_text(text(" ./b.jsonl\n  text_column: body"))
    (tmp_path / "child.yaml").write_text("extends: parent.yaml\ntrainer:\n  dataset: [python_docs, ./c.txt]\n")
    (tmp_path / "back.yaml").write_text("extends: child.yaml\ntrainer:\n  dataset: ./d.jsonl\n")
    assert names(load_spec(tmp_path / "child.yaml")) == [("python_docs", 1.0), ("./c.txt", 1.0)]
    assert load_spec(tmp_path / "back.yaml").trainer.dataset.text_column == "text"


def test_two_lists_of_one_length_differ_item_by_item() -> None:
    before, after = (parse_spec(text(f" [python_docs, {{name: ./c.txt, weight: {w}}}]")).to_plain() for w in (2, 3))
    assert list(differences(before, after)) == [("trainer.dataset.1.weight", 2.0, 3.0)]
    longer = parse_spec(text(" [python_docs]")).to_plain()
    assert [key for key, _, _ in differences(before, longer)] == ["trainer.dataset"]


def test_each_value_of_an_item_is_explained_by_its_number() -> None:
    rows = {row.path: row for row in explain(parse_spec(text(TWO)))}
    assert rows["trainer.dataset.1.weight"].value == 2.0
    assert rows["trainer.dataset.1.weight"].origin.place.line == LINE + 3  # type: ignore[union-attr]
    assert str(rows["trainer.dataset.0.weight"].origin).startswith("default of")
    assert rows["trainer.dataset.0.name"].value == "python_docs"
    assert "trainer.dataset" not in rows


def test_the_components_of_items_are_components_of_the_spec() -> None:
    spec = parse_spec(text(TWO))
    held = dict(components_of(spec.sections))
    assert held["trainer.dataset.1.name"] is spec.trainer.dataset.members[1].component
    assert "trainer.dataset" not in held


def test_a_list_takes_the_keys_of_its_own_items_alone() -> None:
    tokenizer = {"tokenizer_type": "bpe", "vocab_size": 300, "tokenizer_dataset_name": ["python_docs", "./c.txt"]}
    spec = parse_spec(write({**PLAIN, "model": {**PLAIN["model"], **tokenizer}}).text)
    assert [m.component.selector for m in spec.model.tokenizer.tokenizer_dataset_name.members] == [
        "python_docs",
        "./c.txt",
    ]
    assert parse_spec(spec.dump()) == spec
    tokenizer["tokenizer_dataset_name"] = [{"name": "python_docs", "weight": 2}]
    with pytest.raises(SpecError) as caught:
        parse_spec(write({**PLAIN, "model": {**PLAIN["model"], **tokenizer}}).text)
    assert [(d.code, d.key) for d in caught.value.diagnostics] == [
        (Code.UNKNOWN_KEY, "model.tokenizer_dataset_name.0.weight")
    ]


def test_what_a_list_may_hold_is_described_and_has_its_part_of_the_reference() -> None:
    options = {o["key"]: o for o in describe_component("trainer", "base_trainer")["options"]}
    assert options["dataset"]["takes"].endswith("or a list: [{name: …, weight: …}, …]")
    assert "| `weight` | a number, greater than 0 | `1.0` |" in pages()["trainer.md"]


def test_any_choice_may_be_declared_to_be_a_list_and_rules_run_inside_it(
    with_plugins: Callable[..., Registry],
) -> None:
    @section
    class Layer:
        """A layer."""

        norm: Any = choice("norm", doc="A norm.")
        times: int = option(positive, default=1, doc="How often.")

        @rule("times")
        def even(times: int) -> str | None:
            """`times` is even or 1."""
            return f"`times` is odd: {times}" if times > 1 and times % 2 else None

    @attrs.frozen
    class Layers:
        member: ClassVar[type] = Layer
        members: tuple[Layer, ...]

    @component("loss", "layered")
    class Layered:
        """A toy."""

        layers: Any = choice("norm", listed=Layers, doc="Norms.")

        def build(self, trainer: Any) -> None:
            """Build nothing."""

    registry = with_plugins({"toy": [Layered]})
    plain = {**PLAIN, "trainer": {**PLAIN["trainer"], "loss_fn": "layered"}}

    def parse(layers: Any) -> Spec:
        written = {**plain, "trainer": {**plain["trainer"], "layers": layers}}
        return parse_spec(write(written).text, registry=registry)

    spec = parse(["rms_norm", {"norm": "layer_norm", "times": 2}])
    assert [(m.norm.selector, m.times) for m in spec.trainer.loss_fn.layers.members] == [
        ("rms_norm", 1),
        ("layer_norm", 2),
    ]
    with pytest.raises(SpecError) as caught:
        parse([{"norm": "rms_norm", "times": 3}])
    assert [(d.code, d.key) for d in caught.value.diagnostics] == [(Code.RULE, "trainer.layers.0.times")]
