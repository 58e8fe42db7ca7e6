"""Resolution: defaults, rules and choices, and one mistake told as one mistake."""

import json
from collections.abc import Callable
from typing import Any, Literal

import attrs
import pytest
from drawing import PLAIN, changed, write

from stlm.registry import (
    Check,
    NotAtHandError,
    block,
    choice,
    choices,
    component,
    derived,
    option,
    parse_spec,
    positive,
    provides,
    rule,
    same_as,
    section,
)
from stlm.registry.manager import Registry, installed
from stlm.spec import Code, Diagnostic, Spec, SpecError
from stlm.spec.provenance import Default, Provided, Worked

WithPlugins = Callable[..., Registry]


def parse(plain: dict[str, Any], registry: Registry | None = None) -> Spec:
    return parse_spec(write(plain).text, registry=registry)


def mistakes(plain: dict[str, Any] | str, registry: Registry | None = None) -> list[Diagnostic]:
    text = plain if isinstance(plain, str) else write(plain).text
    with pytest.raises(SpecError) as caught:
        parse_spec(text, registry=registry)
    return list(caught.value.diagnostics)


def model(**keys: Any) -> dict[str, Any]:
    """The plain spec with other keys in its model; a key that is None is left out."""
    merged = {**PLAIN["model"], **keys}
    return {**PLAIN, "model": {k: v for k, v in merged.items() if v is not None}}


def norm(cls: type) -> type:
    """A toy norm, so that its options stand in `attn` beside its key."""
    cls.build = lambda self, model, dim: None  # type: ignore[attr-defined]
    return component("norm", "toy")(cls)


def with_norm(**keys: Any) -> dict[str, Any]:
    return model(attn={"attn_type": "causal", "num_kv_heads": 2, "normalization": "toy", **keys})


# Defaults


def test_a_default_may_be_the_value_of_another_key_or_worked_out_across_sections() -> None:
    spec = parse(PLAIN)
    assert spec.model.core_model.attn.num_q_heads == 2
    assert spec.trainer.lr_scheduler.lr_decay_iters == 16
    origin = spec.provenance.origin_of("model.attn.head_dim")
    assert origin == Worked("`hidden_dim` / `num_q_heads`", ("model.hidden_dim", "model.attn.num_q_heads"))


def test_a_block_gives_other_defaults_to_what_is_chosen_in_it(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        inner: Any = block("ffn", doc="One inside.", defaults={"normalization": "none", "bias": True, "no_such": 1})

    def inner(**keys: Any) -> Spec:
        said = {"ffn_type": "silu_ffn", "ffn_dim": 3, **keys}
        return parse(with_norm(inner=said), with_plugins({"toy": [Toy]}))

    spec, path = inner(), "model.attn.inner"
    held = spec.model.core_model.attn.normalization.inner
    assert (held.normalization.selector, held.bias) == ("none", True)
    for key in ("normalization", "bias"):
        assert spec.provenance.origin_of(f"{path}.{key}") == Default("norm `toy`")
    assert spec.model.core_model.ffn.normalization.selector == "rms_norm"
    written = inner(normalization="layer_norm", bias=False).model.core_model.attn.normalization.inner
    assert (written.normalization.selector, written.bias) == ("layer_norm", False)
    assert parse_spec(spec.dump(), registry=with_plugins({"toy": [Toy]})) == spec


def test_a_default_that_several_packages_bring_is_that_of_who_declares_it_or_stlms(with_plugins: WithPlugins) -> None:
    """Installing a package must not break a spec that never wrote its name, whoever declares the default."""

    @norm
    class Toy:
        """A toy."""

        outer: Any = choice("norm", default="layer_norm", doc="A norm beside it.")
        inner: Any = block("ffn", doc="One inside.", defaults={"normalization": "none"})

    def claimant(name: str) -> type:
        class Claimant:
            """Brings a name that stlm has."""

            def build(self, model: Any, dim: int) -> None: ...

        return component("norm", name)(Claimant)

    registry = with_plugins({"toy": [Toy], "mine": [claimant("none"), claimant("layer_norm")]})
    spec = parse(with_norm(inner={"ffn_type": "silu_ffn", "ffn_dim": 3}), registry)
    held = spec.model.core_model.attn.normalization
    assert held.outer.selector == "layer_norm@stlm"
    assert held.inner.normalization.selector == "none@stlm"
    registry = with_plugins({"toy": [Toy, claimant("none"), claimant("layer_norm")]})
    spec = parse(with_norm(inner={"ffn_type": "silu_ffn", "ffn_dim": 3}), registry)
    held = spec.model.core_model.attn.normalization
    assert held.outer.selector == "layer_norm@toy"
    assert held.inner.normalization.selector == "none@toy"


def giving(**given: Any) -> type:
    @norm
    class Toy:
        """A toy."""

        inner: Any = block("ffn", doc="One inside.", defaults=given)

    return Toy


def inside(**keys: Any) -> dict[str, Any]:
    return with_norm(inner={"ffn_type": "generic", **keys})


def test_a_value_that_a_block_gives_is_read_as_one_that_is_written(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"toy": [giving(ffn_dim=3, ffn_dropout=0)]})
    held = parse(inside(), registry).model.core_model.attn.normalization.inner
    assert (held.ffn_dim, held.ffn_dropout, type(held.ffn_dropout)) == (3, 0.0, float)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("bias", "yes", "`bias` takes true or false, got the string `yes`"),
        ("bias", 0, "`bias` takes true or false, got the integer `0`"),
        ("ffn_dim", None, "`ffn_dim` takes an integer, got `null`"),
        ("ffn_dim", [1], "`ffn_dim` takes an integer, got a list"),
        ("ffn_dim", {"a": 1}, "`ffn_dim` takes an integer, got a mapping"),
        ("ffn_dim", object, "`ffn_dim` takes an integer, got the type `<class 'object'>`"),
        ("ffn_dim", 0, "`ffn_dim` must be greater than 0, got 0"),
        ("ffn_dropout", float("inf"), "`ffn_dropout` must be finite in 32 bits, got inf"),
        ("normalization", None, "`normalization` takes the name of a component of kind norm, got `null`"),
        ("normalization", ["none"], "`normalization` takes the name of a component of kind norm, got a list"),
        ("normalization", "nome", "there is no norm `nome`"),
    ],
)
def test_a_wrong_value_that_a_block_gives_is_a_defect_of_who_gives_it(
    key: str, value: Any, says: str, with_plugins: WithPlugins
) -> None:
    registry = with_plugins({"toy": [giving(**{"ffn_dim": 3, key: value})]})
    (found,) = mistakes(inside(), registry)
    path = f"model.attn.inner.{key}"
    assert (found.code, found.key) == (Code.PLUGIN, path)
    assert found.message == f"norm `toy` of toy gives a wrong default: {says}"
    assert found.help == ("this is a defect of the plugin", f"a spec that says `{path}` does without it")
    good = {"bias": True, "ffn_dim": 4, "ffn_dropout": 0.5, "normalization": "none"}[key]
    assert parse(inside(**{key: good}), registry), "what is written needs no default"


def test_a_block_gives_no_default_to_a_mapping_of_its_own_inside_it(with_plugins: WithPlugins) -> None:
    @component("ffn", "outer")
    class Outer:
        """Holds another."""

        within: Any = block("ffn", required=False, doc="One inside.", defaults={"ffn_type": "silu_ffn", "ffn_dim": 3})

        def build(self, model: Any) -> None: ...

    registry = with_plugins({"toy": [Outer, giving(within={"ffn_type": "silu_ffn"})]})
    (found,) = mistakes(with_norm(inner={"ffn_type": "outer"}), registry)
    assert (found.code, found.key) == (Code.PLUGIN, "model.attn.inner.within")
    assert "gives a wrong default: `within` is a mapping, whose keys are given one by one" in found.message
    written = with_norm(inner={"ffn_type": "outer", "within": {}})
    assert parse(written, registry).model.core_model.attn.normalization.inner.within.ffn_dim == 3


@pytest.mark.parametrize("value", ["noting", ["nothing_of_the_kind"], [1], 1], ids=str)
def test_a_wrong_list_of_names_that_is_given_is_a_defect_too(value: Any, with_plugins: WithPlugins) -> None:
    @section
    class Within:
        """A section."""

        hooks: tuple[Any, ...] = choices("hook", doc="Hooks.")

    @norm
    class Toy:
        """A toy."""

        inner: Within = block(Within, doc="A section inside.", defaults={"hooks": value})

    (found,) = mistakes(with_norm(), with_plugins({"toy": [Toy]}))
    assert (found.code, found.key) == (Code.PLUGIN, "model.attn.inner.hooks")
    assert found.message.startswith("norm `toy` of toy gives a wrong default: ")


def test_a_default_that_cannot_be_loaded_is_no_fault_of_who_gives_it(with_plugins: WithPlugins) -> None:
    def explode() -> type:
        raise RuntimeError("broken")

    registry = with_plugins({"toy": [giving(ffn_dim=3, normalization="bad")], "other": [("norm.bad", explode)]})
    (found,) = mistakes(inside(), registry)
    assert (found.code, found.key) == (Code.PLUGIN, "model.attn.inner.normalization")
    assert "other" in found.message
    assert "wrong default" not in found.message


def test_a_default_of_its_own_is_held_to_its_type_and_checks_as_well(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        size: int = option(default="large", doc="A size.")
        other: int = option(positive, default=-1, doc="Another.")
        inner: Any = choice("norm", default="nome", doc="A norm.")

    found = mistakes(with_norm(), with_plugins({"toy": [Toy]}))
    assert {(d.code, d.key) for d in found} == {
        (Code.PLUGIN, f"model.attn.{key}") for key in ("size", "other", "inner")
    }
    assert all(d.message.startswith("norm `toy` of toy gives a wrong default: ") for d in found)


def test_a_component_provides_the_default_of_a_key_that_it_does_not_own(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        size: int = option(positive, default=7, doc="A size.")

        @provides("model.hidden_dim", "size")
        def width(size: int) -> int:
            """its own size, eightfold"""
            return 8 * size

    spec = parse({**with_norm(), "model": {**with_norm()["model"]}}, with_plugins({"toy": [Toy]}))
    assert spec.model.hidden_dim == 64, "what is written wins"
    plain = with_norm(num_kv_heads=1)
    del plain["model"]["hidden_dim"]
    spec = parse(plain, with_plugins({"toy": [Toy]}))
    assert spec.model.hidden_dim == 56
    origin = spec.provenance.origin_of("model.hidden_dim")
    assert origin == Provided("norm `toy`", "its own size, eightfold", ("model.attn.size",))


def giving_width(name: str, width: int | None) -> type:
    class Toy:
        """Says how wide a model is."""

        @provides("model.hidden_dim")
        def width_of_the_model() -> int | None:
            """its own width"""
            return width

        def build(self, model: Any, dim: int) -> None: ...

    return component("norm", name)(Toy)


@pytest.mark.parametrize(("outer", "inner", "width"), [(32, 64, 32), (64, 32, 64), (None, 64, 64), (32, None, 32)])
def test_of_two_that_provide_a_key_the_one_further_out_is_heard_if_it_has_anything_to_say(
    outer: int | None, inner: int | None, width: int, with_plugins: WithPlugins
) -> None:
    registry = with_plugins({"a": [giving_width("toy", inner)], "b": [giving_width("outer", outer)]})
    attn = with_norm()["model"]["attn"]
    spec = parse(model(hidden_dim=None, attn=attn, lm_head_normalization="outer"), registry)
    assert spec.model.hidden_dim == width
    who = "norm `outer`" if width == outer else "norm `toy`"
    assert spec.provenance.origin_of("model.hidden_dim") == Provided(who, "its own width", ())


def test_a_value_that_is_provided_is_held_to_the_checks_of_its_key(with_plugins: WithPlugins) -> None:
    plain = with_norm()
    del plain["model"]["hidden_dim"]
    (found,) = mistakes(plain, with_plugins({"toy": [giving_width("toy", -8)]}))
    assert (found.code, found.key) == (Code.OUT_OF_RANGE, "model.hidden_dim")
    assert found.message.startswith("`hidden_dim` must be ")
    assert found.message.endswith(", got -8 (by default: provided by norm `toy`: its own width)")


def test_a_value_that_is_worked_out_is_held_to_the_checks_of_its_key(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        size: int = option(
            positive, default=derived(lambda n: n - 2, "model.num_layers", says="two less"), doc="A size."
        )

    registry = with_plugins({"toy": [Toy]})
    (found,) = mistakes(with_norm(), registry)
    assert (found.code, found.key) == (Code.OUT_OF_RANGE, "model.attn.size")
    assert found.message.endswith(", got 0 (by default: worked out as two less, from `model.num_layers`)")
    (found,) = mistakes(with_norm(size=0), registry)
    assert found.message.endswith(", got 0"), "what is written is no default"


@pytest.mark.parametrize(("result", "codes"), [(None, ["missing-key"]), ("refuse", ["rule"]), ("crash", ["plugin"])])
def test_a_provision_that_gives_nothing_leaves_the_key_missing(
    result: str | None, codes: list[str], with_plugins: WithPlugins
) -> None:
    @norm
    class Toy:
        """A toy."""

        size: int = option(default=7, doc="A size.")

        @provides("model.hidden_dim", "size")
        def width(size: int) -> int | None:
            """nothing of use"""
            if result == "refuse":
                raise ValueError("this size gives no width")
            return None if result is None else 1 // 0

    plain = with_norm()
    del plain["model"]["hidden_dim"]
    assert [d.code for d in mistakes(plain, with_plugins({"toy": [Toy]}))] == codes


def test_a_provision_that_lacks_something_says_how_to_get_it_where_the_key_is_then_missing(
    with_plugins: WithPlugins,
) -> None:
    @norm
    class Toy:
        """A toy."""

        @provides("model.hidden_dim")
        def width() -> int:
            """what a file says"""
            raise NotAtHandError("fetch the file")

    registry = with_plugins({"toy": [Toy]})
    assert parse(with_norm(), registry).model.hidden_dim == 64, "what is written needs no file"
    plain = with_norm()
    del plain["model"]["hidden_dim"]
    (found,) = mistakes(plain, registry)
    assert (found.code, found.help[-1]) == (Code.MISSING_KEY, "fetch the file")


def test_a_provision_from_a_key_that_is_not_there_provides_nothing(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        @provides("model.hidden_dim", "model.nothing.here")
        def width(here: int) -> int:
            """never"""
            return here

    plain = with_norm()
    del plain["model"]["hidden_dim"]
    assert [d.code for d in mistakes(plain, with_plugins({"toy": [Toy]}))] == [Code.MISSING_KEY]


def test_a_default_that_refuses_its_sources_points_at_the_first(with_plugins: WithPlugins) -> None:
    (found,) = mistakes(model(hidden_dim=63))
    assert (found.code, found.key) == (Code.RULE, "model.hidden_dim")
    assert "cannot be split evenly" in found.message
    assert found.help == ("or set `model.attn.head_dim`",)


def test_defaults_that_go_in_a_circle_are_a_defect_of_the_plugin(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        a: int = option(default=same_as("b"), doc="A.")
        b: int = option(default=same_as("c"), doc="B.")
        c: int = option(default=same_as("a"), doc="C.")

    found = mistakes(with_norm(), with_plugins({"toy": [Toy]}))
    assert [d.code for d in found] == [Code.PLUGIN]
    assert parse(with_norm(b=3), with_plugins({"toy": [Toy]})).model.core_model.attn.normalization.a == 3


def test_an_integer_default_of_a_number_is_a_number(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        a: float | None = option(default=1, doc="A.")
        b: float = option(default=same_as("model.num_layers"), doc="B.")
        c: int | float = option(default=1, doc="C.")

    registry = with_plugins({"toy": [Toy]})
    spec = parse(with_norm(), registry)
    held = spec.model.core_model.attn.normalization
    assert [type(v) for v in (held.a, held.b, held.c)] == [float, float, int]
    assert parse_spec(spec.dump(), registry=registry).digest == spec.digest


def test_an_integer_that_is_provided_for_a_number_is_a_number(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        @provides("model.norm_eps")
        def eps() -> int:
            """one"""
            return 1

    registry = with_plugins({"toy": [Toy]})
    spec = parse(with_norm(), registry)
    assert (type(spec.model.norm_eps), spec.model.norm_eps) == (float, 1.0)
    assert parse_spec(spec.dump(), registry=registry).digest == spec.digest


# Rules


def test_a_rule_points_at_its_first_key_and_tells_where_the_others_stand() -> None:
    plain = model(attn={"attn_type": "causal", "num_kv_heads": 3, "num_q_heads": 4})
    text = write(plain)
    (found,) = mistakes(plain)
    assert (found.code, found.place.line, found.place.column) == (Code.RULE, *text.values["model.attn.num_q_heads"])
    line, column = text.values["model.attn.num_kv_heads"]
    assert found.help == (f"`model.attn.num_kv_heads` is 3, written at <text>:{line}:{column}",)


def test_a_rule_is_skipped_where_a_path_is_not_in_the_spec_or_a_value_is_wrong(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        size: int = option(positive, default=3, doc="A size.")

        @rule("size", "model.nothing.here")
        def never(size: int, here: int) -> str:
            """Never."""
            return "must not be called"

        @rule("size")
        def small(size: int) -> str | None:
            """Small."""
            return None if size < 10 else "is too large"

    registry = with_plugins({"toy": [Toy]})
    assert parse(with_norm(), registry)
    assert [d.code for d in mistakes(with_norm(size=-1), registry)] == [Code.OUT_OF_RANGE]
    assert [d.message for d in mistakes(with_norm(size=11), registry)] == ["is too large"]


@pytest.mark.parametrize("fault", ["raises", "refuses", "gives no sentence", "check raises"])
def test_a_rule_or_check_that_fails_is_its_plugins_defect(fault: str, with_plugins: WithPlugins) -> None:
    def holds(value: Any) -> bool:
        return fault != "check raises" or value.nothing

    @norm
    class Toy:
        """A toy."""

        size: int = option(Check("anything", holds), default=3, doc="A size.")

        @rule("size")
        def fails(size: int) -> Any:
            """It holds."""
            if fault == "raises":
                raise KeyError("x")
            if fault == "refuses":
                raise ValueError("x")
            return False if fault == "gives no sentence" else None

    (found,) = mistakes(with_norm(), with_plugins({"toy-norms": [Toy]}))
    assert found.code is Code.PLUGIN
    assert "toy-norms" in found.message


# Keys


def test_two_components_that_declare_one_key_in_one_mapping_conflict(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        bias: bool = option(default=True, doc="A bias.")

    plain = with_norm(bias=True)
    found = mistakes(plain, with_plugins({"toy-norms": [Toy]}))
    line, column = write(plain).keys["model.attn.bias"]
    assert [(d.code, d.place.line, d.place.column) for d in found] == [(Code.CONFLICT, line, column)]
    assert "attention `causal` (of stlm)" in found[0].message
    assert "norm `toy` (of toy-norms)" in found[0].message


def test_a_component_that_is_chosen_twice_in_one_mapping_is_told_its_options_once(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        size: int = option(doc="A size.")

    spec = parse(with_norm(qk_norm="toy", size=5), with_plugins({"toy": [Toy]}))
    attn = spec.model.core_model.attn
    assert (attn.normalization.size, attn.qk_norm.size) == (5, 5)


def test_an_unknown_key_that_another_component_would_take_says_so() -> None:
    (found,) = mistakes(model(gain=2.0))
    assert found.code is Code.UNKNOWN_KEY
    assert found.message == "`gain` belongs to initialization_fn: xavier; this spec chose normal"


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one() -> None:
    (found,) = mistakes({**PLAIN, "general": {"batch_size": 3}})
    assert (found.code, found.key) == (Code.UNKNOWN_KEY, "general.batch_size")
    assert "`batch_size` belongs in `trainer`" in found.help


def test_an_unknown_key_that_is_like_no_other_lists_what_is_allowed() -> None:
    (found,) = mistakes({**PLAIN, "general": {"zzz": 3}})
    assert found.help == ("allowed: `device`, `hooks`, `logging`, `paths`, `seed`",)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("trainer.save_interval", ["checkpoint_interval"]),
        ("trainer.learning_rate", ["trainer.optimizer.lr"]),
        ("trainer.optimizer.betas", ["beta1", "beta2"]),
        ("trainer.max_grad_norm", ["trainer.optimizer.grad_clip"]),
        ("trainer.eval_iters", ["trainer.eval.dataset_loss_eval_iters"]),
        ("trainer.epochs", ["max_iters"]),
        ("trainer.fp16", ["precision"]),
    ],
)
def test_a_name_that_others_have_for_an_option_leads_to_it(path: str, meant: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(write(PLAIN).text, (f"{path}=1",))
    (found,) = caught.value.diagnostics
    assert found.code == Code.UNKNOWN_KEY
    said = [line.split("`")[1] for line in found.help if line.startswith("did you mean")]
    assert said == meant


def test_a_required_option_under_the_name_that_others_have_for_it_is_one_mistake() -> None:
    (found,) = mistakes(write(PLAIN).text.replace("max_iters:", "max_steps:"))
    assert found.help[0].startswith("did you mean `max_iters`? Optimizer steps of the whole run.")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("tokenizer_type", "tokeniser_type", "model.tokeniser_type"),
        ("core_model_type", "core_type", "model.core_type"),
        ("attn_type", "atn_type", "model.attn.atn_type"),
        ("attn_type", "type", "model.attn.type"),
        ("optimizer_name", "name", "trainer.optimizer.name"),
        ("trainer_type", "trainer_typ", "trainer.trainer_typ"),
    ],
)
def test_a_misspelled_type_key_does_not_cascade(old: str, new: str, key: str) -> None:
    (found,) = mistakes(write(PLAIN).text.replace(f"{old}:", f"{new}:"))
    assert (found.code, found.key) == (Code.UNKNOWN_KEY, key)
    assert f"did you mean `{old}`?" in found.help


def test_a_misspelled_component_does_not_cascade() -> None:
    for path in ("model.core_model_type", "model.attn.attn_type", "trainer.trainer_type", "model.tokenizer_type"):
        plain = changed(PLAIN, path, "genric")
        assert [(d.code, d.key) for d in mistakes(plain)] == [(Code.UNKNOWN_NAME, path)]


def test_a_missing_type_key_names_what_is_allowed() -> None:
    (found,) = mistakes(model(lm_head_type=None))
    assert (found.code, found.key) == (Code.MISSING_KEY, "model.lm_head_type")
    assert found.help == (f"allowed: {installed().allowed('lm_head')}",)
    assert "`generic`" in found.help[0]


def test_a_missing_key_is_placed_at_its_mapping_and_says_what_it_is_for() -> None:
    plain = model(attn={"attn_type": "causal"})
    (found,) = mistakes(plain)
    assert (found.code, found.key) == (Code.MISSING_KEY, "model.attn.num_kv_heads")
    assert (found.place.line, found.place.column) == write(plain).keys["model.attn"]
    assert found.help == ("num_kv_heads: Number of heads of keys and values",)


def test_the_trainer_may_be_left_out_and_then_nothing_of_it_is_asked() -> None:
    spec = parse({"model": PLAIN["model"]})
    assert spec.trainer is None
    assert set(spec.to_plain()) == {"model", "general"}


def test_general_and_its_parts_may_be_left_out_or_empty() -> None:
    full = parse({"model": PLAIN["model"]})
    text = write({"model": PLAIN["model"]}).text
    assert parse_spec(text + "general:\n") == full
    assert parse_spec(text + "general:\n  paths:\n  logging: {}\n") == full


def test_a_model_is_required() -> None:
    (found,) = mistakes("general: {seed: 1}\n")
    assert (found.code, found.key, found.place.line, found.place.column) == (Code.MISSING_KEY, "model", 1, 1)


@pytest.mark.parametrize("path", ["model", "model.attn", "trainer", "trainer.optimizer", "general", "general.paths"])
def test_null_is_not_a_mapping(path: str) -> None:
    plain = changed({**PLAIN, "general": {"paths": {}}}, path, None)
    (found,) = mistakes(plain)
    assert (found.code, found.key) == (Code.WRONG_TYPE, path)
    assert (found.place.line, found.place.column) == write(plain).values[path]


def test_every_mistake_is_reported_in_the_order_of_the_file() -> None:
    plain = model(hidden_dim="x", context_window=-1, hidden=3, lm_head_type="genric", norm_eps=None)
    plain["trainer"] = {**PLAIN["trainer"], "batch_size": True, "optimizer": {"optimizer_name": "AdamW", "lr": 0}}
    found = mistakes(plain)
    assert [d.code for d in found] == [
        Code.UNKNOWN_NAME,
        Code.WRONG_TYPE,
        Code.OUT_OF_RANGE,
        Code.UNKNOWN_KEY,
        Code.WRONG_TYPE,
        Code.OUT_OF_RANGE,
    ]
    assert [d.place.line for d in found] == sorted(d.place.line for d in found)


def test_a_flood_of_mistakes_is_cut_short() -> None:
    text = write(PLAIN).text + "".join(f"zz{i}: 1\n" for i in range(1000))
    assert len(mistakes(text)) == 200


# The result


def test_a_resolved_spec_is_frozen() -> None:
    spec = parse(PLAIN)
    for held, name in ((spec, "model"), (spec.model, "hidden_dim"), (spec.model.core_model.attn, "bias")):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(held, name, None)


def test_a_path_with_an_at_sign_is_a_path() -> None:
    spec = parse({**PLAIN, "trainer": {**PLAIN["trainer"], "dataset": "./mail-me@home.org/corpus@2"}})
    assert spec.trainer.dataset.member == "./mail-me@home.org/corpus@2"
    assert parse_spec(spec.dump()) == spec


def test_a_block_of_a_plugin_may_be_optional_and_a_section_may_hold_choices(with_plugins: WithPlugins) -> None:
    @section
    class Inside:
        """Inside."""

        activation: Any = choice("activation", default="relu", doc="A function.")
        mode: Literal["a", "b"] = option(default="a", doc="A mode.")

    @norm
    class Toy:
        """A toy."""

        own: Inside = block(Inside, doc="A mapping of its own.")
        more: Any = block("ffn", optional=True, doc="Another.")

    registry = with_plugins({"toy": [Toy]})
    bare = parse(with_norm(), registry)
    held = bare.model.core_model.attn.normalization
    assert (held.own.activation.selector, held.more) == ("relu", None)
    full = parse(with_norm(own={"activation": "leakyrelu"}, more={"ffn_type": "silu_ffn", "ffn_dim": 3}), registry)
    for spec in (bare, full):
        assert parse_spec(spec.dump(), registry=registry) == spec


def test_derived_defaults_may_read_the_name_that_was_chosen(with_plugins: WithPlugins) -> None:
    @norm
    class Toy:
        """A toy."""

        told: str = option(
            default=derived(str.upper, "model.positional_encoding_type", says="its name, loud"), doc="A name."
        )

    spec = parse_spec(json.dumps(with_norm()), registry=with_plugins({"toy": [Toy]}))
    assert spec.model.core_model.attn.normalization.told == "NONE"
