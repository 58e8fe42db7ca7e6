"""The schema says what the check says: of shipped specs, of specs changed at random, of children of shipped specs."""

import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from stlm.cli.shipped import SCHEMA, folder
from stlm.registry import at_least, block, choice, component, option, parse_spec, provides, section
from stlm.registry.manager import Registry, installed
from stlm.registry.schema import as_text, own_schema, schema
from stlm.spec import Code, SpecError
from stlm.spec.declaration import Block, Choice, declaration_of
from stlm.spec.sections import SpecSections
from tests.registry.schema.changing import changed_specs, children, texts
from tests.spec.drawing import write

PLUGINS = Path(__file__).parents[3] / "plugins"
WithPlugins = Callable[..., Registry]
UNSAYABLE = {Code.RULE, Code.CONFLICT}
"""What a schema cannot say: rules over several values, and keys or names that two components claim."""

quietly = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@cache
def here() -> Draft202012Validator:
    """The schema of what is installed."""
    return Draft202012Validator(schema())


def codes(plain: Any, registry: Registry | None = None) -> set[Code]:
    """What the check finds. A section that holds nothing is written as nothing, which is the one way to write it."""
    try:
        parse_spec(re.sub(": null$", ":", write(plain).text, flags=re.MULTILINE), registry=registry)
    except SpecError as error:
        return {found.code for found in error.diagnostics}
    return set()


def spec(**changes: Any) -> dict[str, Any]:
    """The quick start, with keys of `model` changed."""
    plain = json.loads(json.dumps(texts()["quickstart"]))
    plain["model"].update(changes)
    return plain


def test_it_is_a_schema_of_the_dialect_that_it_names() -> None:
    document = schema()
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(document)


@pytest.mark.parametrize("name", sorted(texts()))
def test_it_accepts_every_shipped_spec(name: str) -> None:
    assert [error.message for error in here().iter_errors(texts()[name])] == []


@given(changed_specs())
@quietly
def test_it_accepts_what_the_check_accepts_and_refuses_what_it_refuses(plain: dict[str, Any]) -> None:
    found = codes(plain)
    if not found <= UNSAYABLE:
        assert not here().is_valid(plain)
    elif not found:
        assert here().is_valid(plain)


@given(children())
@quietly
def test_it_accepts_every_good_spec_that_extends_another(plain: dict[str, Any]) -> None:
    assert codes(plain) or here().is_valid(plain)


@pytest.mark.parametrize(
    ("child", "is_good"),
    [
        ({"model": {"hidden_dim": 64}}, True),
        ({"model": {"attn": {"num_q_heads": 6}}}, True),
        ({"model": {"attn": {"attn_type": "bidirectional"}}, "general": None}, True),
        ({"model": {"hiden_dim": 64}}, False),
        ({"model": {"ffn": {"ffn_type": "silu_ffn", "activation": "gelu"}}}, False),
        ({"model": {"attn": {"num_q_heads": "6"}}}, False),
    ],
    ids=str,
)
def test_a_spec_that_extends_another_may_leave_out_but_not_make_up(child: dict[str, Any], is_good: bool) -> None:
    assert here().is_valid({"extends": "a.yaml", **child}) is is_good
    assert here().is_valid({"extends": ["a.yaml", "b.yaml"], **child}) is is_good
    assert not here().is_valid(child)


@pytest.mark.parametrize("name", ["causal@stlm", "causal@STLM"])
def test_a_name_may_be_said_with_its_package(name: str) -> None:
    assert here().is_valid(spec(attn={"attn_type": name, "num_kv_heads": 3}))
    assert not here().is_valid(spec(attn={"attn_type": name, "num_kv_head": 3}))


def test_the_options_of_a_name_that_there_is_not_are_no_further_mistakes() -> None:
    plain = spec(attn={"attn_type": "casual", "num_kv_heads": 3})
    told = list(here().iter_errors(plain))
    assert "'casual' is not valid" in " ".join(error.message for error in told)
    attn = [error.message for error in told if list(error.absolute_path) == ["model", "attn"]]
    assert not any("num_kv_heads" in message for message in attn)


def declared_keys() -> Iterable[tuple[str, str]]:
    """Yield the doc and the key of everything that a spec can say."""
    pending = [declaration_of(SpecSections)]
    pending += [declaration_of(found.cls) for kind in ("trainer", "attention", "dataset") for found in all_of(kind)]
    for declaration in pending:
        for slot in declaration.slots.values():
            yield slot.key, slot.doc
            if isinstance(slot, Block) and slot.section is not None:
                pending.append(declaration_of(slot.section))
            elif isinstance(slot, Choice) and slot.listed is not None:
                pending.append(declaration_of(slot.listed.member))


def all_of(kind: str) -> Iterable[Any]:
    return installed().all_of(kind)


@pytest.mark.parametrize(("key", "doc"), sorted(set(declared_keys())))
def test_every_key_has_the_sentence_of_its_declaration(key: str, doc: str) -> None:
    definitions = here().schema["$defs"].values()
    described = [one["properties"][key]["description"] for one in definitions if key in one.get("properties", {})]
    assert any(text.startswith(doc) for text in described)


def test_the_schema_beside_the_shipped_specs_is_current() -> None:
    assert (folder() / SCHEMA).read_text(encoding="utf-8") == as_text(own_schema()), "run `make docs`"


SPECS = [*folder().glob("*.yaml"), *(p for p in PLUGINS.glob("*/*.yaml") if "\nmodel:" in p.read_text("utf-8"))]


@pytest.mark.parametrize("path", sorted(SPECS), ids=lambda p: p.stem)
def test_every_shipped_spec_tells_editors_of_it(path: Path) -> None:
    head = path.read_text(encoding="utf-8").partition("\nmodel:")[0]
    assert f"# yaml-language-server: $schema={SCHEMA}" in head.splitlines()


# Plugins


def attention(name: str, **members: Any) -> type:
    return declared("attention", name, {"build": lambda self, model: None, **members})


def norm(name: str, **members: Any) -> type:
    return declared("norm", name, {"build": lambda self, model, dim: None, **members})


def declared(kind: str, name: str, members: dict[str, Any]) -> type:
    made = type("Toy", (), {"__doc__": "A toy.", **members})
    made.__annotations__ = {key: int for key in members if key != "build"}
    return component(kind, name)(made)


def accepts(registry: Registry, **attn: Any) -> bool:
    plain = spec(attn=attn)
    valid: bool = Draft202012Validator(schema(registry)).is_valid(plain)
    assert valid is not bool(codes(plain, registry)), codes(plain, registry)
    return valid


def test_the_options_of_a_plugins_component_are_in_it(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-toy": [attention("toy", width=option(at_least(2), doc="How wide."))]})
    assert accepts(registry, attn_type="toy", width=2)
    assert not accepts(registry, attn_type="toy", width=1)
    assert not accepts(registry, attn_type="toy", widht=2)
    assert not accepts(registry, attn_type="toy")
    assert not here().is_valid(spec(attn={"attn_type": "toy", "width": 2}))


def test_of_a_name_that_two_packages_claim_it_must_be_said_whose_is_meant(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-toy": [attention("causal", width=option(doc="How wide."))]})
    assert not accepts(registry, attn_type="causal", num_kv_heads=3)
    assert accepts(registry, attn_type="causal@stlm", num_kv_heads=3)
    assert accepts(registry, attn_type="causal@stlm-toy", width=3)
    assert not accepts(registry, attn_type="causal@stlm-toy", num_kv_heads=3)
    registry = with_plugins({"stlm-toy": [norm("rms_norm")]})
    assert not accepts(registry, attn_type="causal", num_kv_heads=3, normalization="rms_norm")
    assert accepts(registry, attn_type="causal", num_kv_heads=3, normalization="rms_norm@stlm")


def test_the_options_of_a_default_may_be_said_where_the_default_is_not(with_plugins: WithPlugins) -> None:
    chosen = attention("toy", inside=choice("norm", default="gaining", doc="A norm."))
    registry = with_plugins({"stlm-toy": [chosen, norm("gaining", gain=option(doc="How much."))]})
    assert accepts(registry, attn_type="toy", gain=1)
    assert not accepts(registry, attn_type="toy")
    assert accepts(registry, attn_type="toy", inside="none")
    assert not accepts(registry, attn_type="toy", inside="none", gain=1)


def test_of_two_families_the_longer_prefix_takes_a_name_and_an_exact_name_comes_first(
    with_plugins: WithPlugins,
) -> None:
    families = [
        attention("toy:*", a=option(doc="An a.")),
        attention("toy:long:*", b=option(doc="A b.")),
        attention("toy:long:x", c=option(doc="A c.")),
    ]
    registry = with_plugins({"stlm-toy": families})
    assert accepts(registry, attn_type="toy:1", a=1)
    assert accepts(registry, attn_type="toy:long:1", b=1)
    assert accepts(registry, attn_type="toy:long:x", c=1)
    assert not accepts(registry, attn_type="toy:long:x", b=1)
    assert not accepts(registry, attn_type="toy:", a=1)


def test_a_component_that_cannot_be_loaded_is_left_out(with_plugins: WithPlugins) -> None:
    def explode() -> None:
        raise RuntimeError("broken")

    registry = with_plugins({"stlm-toy": [("attention.toy", explode)]})
    assert not accepts(registry, attn_type="toy")
    assert accepts(registry, attn_type="causal", num_kv_heads=3)


def test_a_component_may_hold_its_like(with_plugins: WithPlugins) -> None:
    inner = block("attention", type_key="inner_type", optional=True, doc="One inside.")
    made = type("Toy", (), {"__doc__": "A toy.", "build": lambda self, model: None, "inner": inner})
    made.__annotations__ = {"inner": Any}
    registry = with_plugins({"stlm-toy": [component("attention", "nest")(made)]})
    assert accepts(registry, attn_type="nest", inner={"inner_type": "nest", "inner": {"inner_type": "nest"}})
    assert not accepts(registry, attn_type="nest", inner={"inner_type": "nest", "inner": {"inner_type": "nset"}})


def test_a_section_with_a_key_that_must_be_said_must_be_there(with_plugins: WithPlugins) -> None:
    @section
    class Must:
        """A section."""

        width: int = option(doc="How wide.")

    made = type("Toy", (), {"__doc__": "A toy.", "build": lambda self, model: None, "must": block(Must, doc="A must.")})
    made.__annotations__ = {"must": Must}
    registry = with_plugins({"stlm-toy": [component("attention", "toy")(made)]})
    assert not accepts(registry, attn_type="toy")
    assert not accepts(registry, attn_type="toy", must=None)
    assert accepts(registry, attn_type="toy", must={"width": 3})


def holding(**how: Any) -> type:
    """An attention that holds another, as ``how`` says of the block."""
    made = type(
        "Toy",
        (),
        {
            "__doc__": "A toy.",
            "build": lambda self, model: None,
            "inner": block("attention", type_key="inner_type", doc="One inside.", **how),
        },
    )
    made.__annotations__ = {"inner": Any}
    return component("attention", "toy")(made)


def test_a_key_that_a_block_gives_a_default_need_not_be_written_in_it(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-toy": [holding(defaults={"num_kv_heads": 3})]})
    assert accepts(registry, attn_type="toy", inner={"inner_type": "causal"})
    assert accepts(registry, attn_type="toy", inner={"inner_type": "causal", "num_kv_heads": 1})
    assert not accepts(registry, attn_type="toy", inner={"inner_type": "causal", "num_kv_heads": "1"})
    assert not accepts(registry, attn_type="causal"), "elsewhere it must be"
    assert not accepts(registry, attn_type="toy", inner={"inner_type": "toy", "inner": {"inner_type": "toy"}})


def test_a_default_that_a_block_gives_is_shown_in_it_and_nowhere_else(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-toy": [holding(defaults={"bias": True, "normalization": "none"})]})
    made = schema(registry)["$defs"]
    for name, bias, normalization in (
        ("attention.causal", False, "rms_norm"),
        ('attention.causal with bias: true, normalization: "none"', True, "none"),
        ("part of attention.causal", False, "rms_norm"),
        ('part of attention.causal with bias: true, normalization: "none"', True, "none"),
    ):
        keys = made[name]["properties"]
        assert (keys["bias"]["default"], keys["normalization"]["default"]) == (bias, normalization)
    assert accepts(registry, attn_type="toy", inner={"inner_type": "causal", "num_kv_heads": 3})


@pytest.mark.parametrize(
    ("key", "value", "right"), [("bias", object, True), ("normalization", 3, "none"), ("normalization", ["a"], "none")]
)
def test_a_wrong_default_that_a_block_gives_is_left_out(
    key: str, value: Any, right: Any, with_plugins: WithPlugins
) -> None:
    registry = with_plugins({"stlm-toy": [holding(defaults={"num_kv_heads": 3, key: value})]})
    assert accepts(registry, attn_type="toy", inner={"inner_type": "causal", key: right})
    assert as_text(schema(registry))


def test_the_options_of_a_part_that_a_block_gives_may_be_said_where_it_is_not(with_plugins: WithPlugins) -> None:
    gaining = norm("gaining", gain=option(doc="How much."))
    registry = with_plugins({"stlm-toy": [holding(defaults={"normalization": "gaining"}), gaining]})
    inner = {"inner_type": "causal", "num_kv_heads": 3}
    assert accepts(registry, attn_type="toy", inner={**inner, "gain": 2})
    assert not accepts(registry, attn_type="toy", inner=inner)
    assert not accepts(registry, attn_type="toy", inner={**inner, "gain": 2, "normalization": "rms_norm"})
    assert not accepts(registry, attn_type="causal", num_kv_heads=3, gain=2)
    registry = with_plugins({"stlm-toy": [holding(defaults={"normalization": "gaining", "gain": 2}), gaining]})
    assert accepts(registry, attn_type="toy", inner=inner)


@pytest.mark.parametrize("name", ["causal", "causal@stlm"])
def test_the_component_that_a_block_gives_need_not_be_named(name: str, with_plugins: WithPlugins) -> None:
    given = {"inner_type": name, "num_kv_heads": 3}
    registry = with_plugins({"stlm-toy": [holding(required=False, defaults=given)]})
    assert accepts(registry, attn_type="toy")
    assert accepts(registry, attn_type="toy", inner={"bias": True})
    assert not accepts(registry, attn_type="toy", inner={"bais": True})
    assert accepts(registry, attn_type="toy", inner={"inner_type": "bidirectional", "num_kv_heads": 3})
    registry = with_plugins({"stlm-toy": [holding(required=False, defaults={"inner_type": name})]})
    assert not accepts(registry, attn_type="toy"), "it asks for a key that nobody gives"
    assert accepts(registry, attn_type="toy", inner={"num_kv_heads": 3})
    registry = with_plugins({"stlm-toy": [holding(required=False, defaults={"num_kv_heads": 3})]})
    assert not accepts(registry, attn_type="toy"), "nobody gives its name"


def test_a_section_that_a_block_gives_its_keys_need_not_be_there(with_plugins: WithPlugins) -> None:
    @section
    class Must:
        """A section."""

        width: int = option(doc="How wide.")

    def toy(**given: Any) -> Registry:
        members = {"must": block(Must, doc="A must.", defaults=given)}
        made = type("Toy", (), {"__doc__": "A toy.", "build": lambda self, model: None, **members})
        made.__annotations__ = {"must": Must}
        return with_plugins({"stlm-toy": [component("attention", "toy")(made)]})

    assert not accepts(toy(), attn_type="toy")
    assert accepts(toy(width=3), attn_type="toy")
    assert accepts(toy(width=3), attn_type="toy", must=None)
    assert not accepts(toy(width=3), attn_type="toy", must={"width": "3"})


def test_a_key_that_another_component_provides_need_not_be_written(with_plugins: WithPlugins) -> None:
    class Toy:
        """A core that knows its width."""

        @provides("model.hidden_dim")
        def width() -> int:  # type: ignore[misc]
            """its own"""
            return 64

        def build(self, model: Any) -> None:
            """Build nothing."""

    registry = with_plugins({"stlm-toy": [component("core_model", "toy")(Toy)]})
    plain = spec(core_model_type="toy")
    for key in ("hidden_dim", "num_layers", "attn", "ffn"):
        del plain["model"][key]
    validator = Draft202012Validator(schema(registry))
    assert codes(plain, registry) == set()
    assert validator.is_valid(plain)
    plain = spec()
    del plain["model"]["hidden_dim"]
    assert not validator.is_valid(plain)
