"""The registry: what is installed, found by name, and kept from hurting those who do not use it."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from stlm.registry import component, hook, identity_of, option, parse_spec
from stlm.registry.describe import describe_component, listing
from stlm.registry.kinds import KINDS
from stlm.registry.manager import Registry, installed
from stlm.spec import Code, SpecError, UsageError
from stlm.spec.canonical import components_of
from stlm.spec.components import NotFoundError

WithPlugins = Callable[..., Registry]

SPEC: dict[str, Any] = {
    "model": {
        "model_shell_type": "standard",
        "core_model_type": "generic",
        "embedding_model_type": "generic",
        "tokenizer_type": "gpt2",
        "lm_head_type": "generic",
        "positional_encoding_type": "none",
        "hidden_dim": 64,
        "context_window": 16,
        "num_layers": 2,
        "attn": {"attn_type": "causal", "num_kv_heads": 2},
        "ffn": {"ffn_type": "generic", "ffn_dim": 128},
    }
}


def spec_text(**model: Any) -> str:
    return json.dumps({"model": {**SPEC["model"], **model}})


def toy(kind: str, name: str) -> type:
    """A component without options that has every act a kind may ask for."""

    class Toy:
        """A toy component."""

        vocab_size = architecture = blockers = items = build = staticmethod(lambda *_: 0)

    return component(kind, name)(Toy)


def failure(registry: Registry, kind: str, name: str) -> NotFoundError:
    with pytest.raises(NotFoundError) as caught:
        registry.find(kind, name)
    return caught.value


# What is installed


@pytest.mark.parametrize("entry", list(installed().entries()), ids=str)
def test_every_installed_entry_loads_and_keeps_the_contract(entry: Any) -> None:
    cls = installed().load(entry)
    identity = identity_of(cls)
    assert identity is not None
    assert identity.kind == entry.kind
    assert cls.__doc__
    found = installed().find(entry.kind, entry.name if not entry.is_family else entry.name[:-1] + "x/x")
    assert found.plugin == entry.distribution


def test_every_installed_kind_is_one_that_stlm_knows() -> None:
    assert set(installed().installed.kinds()) <= set(KINDS)


def test_an_alias_finds_the_component_under_its_own_name() -> None:
    assert installed().find("tokenizer", "GPT-2") == installed().find("tokenizer", "gpt2")
    assert installed().find("tokenizer", "GPT-2").selector == "gpt2"


def test_a_listing_has_each_component_once_with_its_aliases() -> None:
    rows = listing()
    assert len({(r["kind"], r["name"]) for r in rows}) == len(rows)
    (gpt2,) = (r for r in rows if r["name"] == "gpt2" and r["kind"] == "tokenizer")
    assert gpt2["aliases"] == ["GPT-2"]
    assert set(gpt2) == {"kind", "name", "aliases", "plugin", "version", "doc"}
    assert {r["kind"] for r in listing("attention")} == {"attention"}
    with pytest.raises(UsageError, match="did you mean `attention`"):
        listing("atention")


@pytest.mark.parametrize("row", listing(), ids=lambda r: f"{r['kind']}-{r['name']}")
def test_every_component_can_be_described(row: dict[str, Any]) -> None:
    shown = describe_component(row["kind"], row["name"])
    assert json.loads(json.dumps(shown))["plugin"] == row["plugin"]
    for one in shown["options"]:
        assert set(one) == {"key", "takes", "required", "default", "doc"}
        assert one["doc"].endswith(".")
        assert "typing" not in one["takes"]


def test_what_cannot_be_described_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="did you mean `causal`"):
        describe_component("attention", "casual")
    with pytest.raises(UsageError, match="nothing of this kind is installed"):
        describe_component("nothing", "x")


def test_every_component_of_a_spec_is_found_from_the_outside_in() -> None:
    names = [
        (identity.kind, c.selector)
        for _, c in components_of(parse_spec(spec_text()).sections)
        if (identity := identity_of(type(c))) is not None
    ]
    assert names[0] == ("model_shell", "standard")
    assert ("norm", "rms_norm") in names
    assert ("activation", "gelu") in names


# Names


def test_a_name_claimed_by_two_packages_is_a_conflict_unless_the_spec_picks_one(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-mine": [toy("norm", "rms_norm")]})
    found = failure(registry, "norm", "rms_norm")
    assert found.code is Code.CONFLICT
    assert "of stlm (" in found.message
    assert "of stlm-mine (" in found.message
    assert set(found.help) == {"write `rms_norm@stlm`", "write `rms_norm@stlm-mine`"}
    assert registry.find("norm", "rms_norm@stlm").plugin == "stlm"
    mine = registry.find("norm", "rms_norm@Stlm_Mine")
    assert (mine.plugin, mine.selector) == ("stlm-mine", "rms_norm@stlm-mine")


def test_a_spec_that_picks_one_keeps_its_choice_in_the_canonical_form(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-mine": [toy("activation", "gelu")]})
    ffn = {"ffn_type": "generic", "ffn_dim": 128, "activation": "gelu"}
    with pytest.raises(SpecError) as caught:
        parse_spec(spec_text(ffn=ffn), registry=registry)
    assert {d.code for d in caught.value.diagnostics} == {Code.CONFLICT}
    ffn["activation"] = "gelu@stlm-mine"
    spec = parse_spec(spec_text(ffn=ffn), registry=registry)
    assert spec.to_plain()["model"]["ffn"]["activation"] == "gelu@stlm-mine"
    assert parse_spec(spec.dump(), registry=registry) == spec


def test_a_default_means_the_component_of_the_package_that_declares_it(with_plugins: WithPlugins) -> None:
    """Installing a package that brings a name of ours must not break the specs that never wrote it."""
    registry = with_plugins({"stlm-mine": [toy("norm", "rms_norm")]})
    spec = parse_spec(spec_text(), registry=registry)
    assert spec.model.lm_head.lm_head_normalization.selector == "rms_norm@stlm"
    assert parse_spec(spec.dump(), registry=registry) == spec


def test_a_full_name_that_was_not_needed_is_the_short_one() -> None:
    assert installed().find("norm", "rms_norm@stlm").selector == "rms_norm"


def test_a_name_of_another_package_is_unknown() -> None:
    assert failure(installed(), "norm", "rms_norm@nobody").code is Code.UNKNOWN_NAME


def test_a_family_takes_every_name_with_its_prefix_and_the_longest_prefix_is_nearest(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"a": [toy("benchmark", "x:*")], "b": [toy("benchmark", "x:y:*"), toy("benchmark", "x:z")]})
    chosen = {name: registry.find("benchmark", name) for name in ("x:1", "x:y:1", "x:z", "x:zz", "x:y")}
    assert {name: found.plugin for name, found in chosen.items()} == {
        "x:1": "a",
        "x:y:1": "b",
        "x:z": "b",
        "x:zz": "a",
        "x:y": "a",
    }
    assert (chosen["x:y:1"].selector, chosen["x:y:1"].member) == ("x:y:1", "1")
    assert failure(registry, "benchmark", "x:").code is Code.UNKNOWN_NAME
    assert chosen["x:1"].cls(selector="x:1").member == "1"


def test_a_family_may_refuse_names(with_plugins: WithPlugins) -> None:
    family = toy("sampler", "*")
    family.accepts = staticmethod(lambda name: name.startswith("ok"))  # type: ignore[attr-defined]
    family.expects = "names begin with ok"  # type: ignore[attr-defined]
    registry = with_plugins({"a": [family]})
    assert registry.find("sampler", "okay").member == "okay"
    assert "allowed: `standard`, names begin with ok" in failure(registry, "sampler", "no").help


def test_a_family_may_say_what_was_meant_by_a_name_that_it_refuses(with_plugins: WithPlugins) -> None:
    family = toy("benchmark", "toy:*")
    family.items = family.accepts = lambda name: name.endswith("cats")  # type: ignore[attr-defined]
    family.meant = staticmethod(lambda name: (f"did you mean `{name[:4]}cats`?",))  # type: ignore[attr-defined]
    registry = with_plugins({"a": [family]})
    assert failure(registry, "benchmark", "toy:cast").help[0] == "did you mean `toy:cats`?"
    assert "did you mean `toy:cats`?" not in failure(registry, "benchmark", "cast").help


@pytest.mark.parametrize(
    ("name", "meant"),
    [("openbookqa", "openbook_qa_closed"), ("race", "race_high"), ("truthfulqa_mc1", "truthful_qa")],
)
def test_a_name_that_docs_have_for_a_component_leads_to_it_rather_than_to_one_alike(name: str, meant: str) -> None:
    told = failure(installed(), "benchmark", name).help
    assert told[0].startswith(f"did you mean `{meant}`? ")
    assert len(told) == 2, "and what is allowed"


def test_a_prefix_that_no_package_brings_is_told_and_not_what_resembles_it_by_chance(with_plugins: WithPlugins) -> None:
    nobody = "no installed package brings a benchmark whose name begins with `{}:`".format
    assert failure(with_plugins({}), "benchmark", "nobody:arc_easy").help[:-1] == (nobody("nobody"),)
    registry = with_plugins({"a": [toy("benchmark", "tasks:*")]})
    assert failure(registry, "benchmark", "task:arc").help[:-1] == ("did you mean `tasks:`?", nobody("task"))
    assert nobody("tasks") not in failure(registry, "benchmark", "tasks:").help


def test_a_family_claimed_twice_is_a_conflict(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"a": [toy("benchmark", "x:*")], "b": [toy("benchmark", "x:*")]})
    assert failure(registry, "benchmark", "x:1").code is Code.CONFLICT
    picked = registry.find("benchmark", "x:1@b")
    assert (picked.selector, picked.member) == ("x:1@b", "1")


# Faulty packages


def explode() -> None:
    raise RuntimeError("no such library")


def leave() -> None:
    sys.exit(3)


def missing() -> None:
    raise ModuleNotFoundError("No module named 'nowhere'", name="nowhere")


def built(self: Any, model: Any, dim: int) -> Any:
    """Build nothing."""


def undocumented() -> type:
    class Toy:
        """A toy."""

        x: int = option(default=1, doc=" ")
        build = built

    return component("norm", "toy")(Toy)


def unreadable() -> type:
    class Toy:
        """A toy."""

        x: "NoSuchType" = option(default=1, doc="An x.")  # type: ignore[name-defined] # noqa: F821
        build = built

    return component("norm", "toy")(Toy)


def unsayable() -> type:
    class Toy:
        """A toy."""

        x: list[int] = option(default=(), doc="An x.")
        build = built

    return component("norm", "toy")(Toy)


def other_arguments() -> type:
    class Toy:
        """A toy."""

        def build(self, model: Any) -> None:
            """Forget the width."""

    return component("norm", "toy")(Toy)


def unknown_hook() -> type:
    class Toy:
        """A toy."""

        build = built

        @hook
        def step_end(self, run: Any) -> None:
            """Too early."""

    return component("norm", "toy")(Toy)


def unknown_argument() -> type:
    class Toy:
        """A toy."""

        build = built

        @hook
        def step_ends(self, run: Any, losses: Any) -> None:
            """Asks for more than there is."""

    return component("norm", "toy")(Toy)


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "is built otherwise": (other_arguments, "it is built by `build(self, model, dim)`"),
    "raises": (explode, "RuntimeError: no such library"),
    "exits": (leave, "SystemExit: 3"),
    "lacks a module": (missing, "No module named 'nowhere'"),
    "is no class": (lambda: explode, "not a class under @component"),
    "is no component": (lambda: dict, "not a class under @component"),
    "is of another kind": (lambda: toy("ffn", "toy"), "the class says kind ffn, the entry point norm"),
    "is a family": (lambda: toy("norm", "toy:*"), "the class says name toy:*"),
    "cannot be built": (
        lambda: component("norm", "toy")(type("T", (), {"__doc__": "A toy."})),
        "has `build(self, model, dim)`",
    ),
    "has an option without doc": (undocumented, "the option `x` has no doc"),
    "has an annotation that means nothing": (unreadable, "NoSuchType"),
    "has an option of a type that no spec can say": (unsayable, "a type that no spec can say"),
    "implements no hook": (unknown_hook, "there is no hook `step_end` did you mean `step_ends`?"),
    "asks a hook for too much": (unknown_argument, "the hook `step_ends` has no argument `losses`"),
}


@pytest.mark.parametrize(("load", "words"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_component_is_reported_by_name_and_hurts_only_those_who_choose_it(
    load: Callable[[], Any], words: str, with_plugins: WithPlugins
) -> None:
    registry = with_plugins({"stlm-faulty": [("norm.toy", load)]})
    assert parse_spec(spec_text(), registry=registry), "a spec that does not use it resolves"
    with pytest.raises(SpecError) as caught:
        parse_spec(spec_text(lm_head_normalization="toy"), registry=registry)
    (found,) = caught.value.diagnostics
    assert (found.code, found.key) == (Code.PLUGIN, "model.lm_head_normalization")
    assert "`norm.toy` of stlm-faulty (toy_module:toy)" in found.message
    assert words in found.message
    (row,) = (r for r in listing("norm", registry) if r["name"] == "toy")
    assert row["doc"].startswith("cannot be used: ")


def test_a_mistake_next_to_a_faulty_component_is_still_explained(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-faulty": [("initialization.toy", explode)]})
    with pytest.raises(SpecError) as caught:
        parse_spec(spec_text(gain=1.0), registry=registry)
    (found,) = caught.value.diagnostics
    assert "belongs to initialization_fn: xavier" in found.message


def test_a_family_that_cannot_be_loaded_is_reported_for_its_own_names_only(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-faulty": [("benchmark.x:*", explode), ("benchmark.*", leave)]})
    assert failure(registry, "benchmark", "x:1").code is Code.PLUGIN
    assert failure(registry, "benchmark", "y").code is Code.UNKNOWN_NAME


def test_a_misspelled_act_is_refused_because_it_would_silently_do_nothing(with_plugins: WithPlugins) -> None:
    class Toy:
        """An optimizer that wants its memory to be counted."""

        lr: float = option(default=1.0, doc="The rate.")
        state_per_paramter = 2

        def build(self, trainer: Any, network: Any, device: Any) -> None:
            """Build nothing."""

    registry = with_plugins({"stlm-faulty": [component("optimizer", "toy")(Toy)]})
    with pytest.raises(NotFoundError, match=r"`state_per_paramter`.* did you mean `state_per_parameter`"):
        registry.find("optimizer", "toy")


def test_what_a_kind_needs_is_asked_for_when_a_component_is_loaded(with_plugins: WithPlugins) -> None:
    class Toy:
        """An optimizer without a rate."""

        def build(self, trainer: Any, network: Any, device: Any) -> None:
            """Build nothing."""

    registry = with_plugins({"stlm-faulty": [component("optimizer", "toy")(Toy)]})
    with pytest.raises(NotFoundError, match="has `lr`"):
        registry.find("optimizer", "toy")


@pytest.mark.parametrize(("has", "lacks"), [("model_types", "section"), ("section", "model_types")])
def test_acts_that_go_together_are_asked_for_together(with_plugins: WithPlugins, has: str, lacks: str) -> None:
    class Toy:
        """An export that reads by half."""

        architecture = "Toy"
        blockers = config = weights = lambda self, *args: []

    setattr(Toy, has, ())
    registry = with_plugins({"stlm-faulty": [component("export", "toy")(Toy)]})
    with pytest.raises(NotFoundError, match=f"it has `{has}`, which is of no use without `{lacks}`"):
        registry.find("export", "toy")


def test_options_of_a_component_that_cannot_be_loaded_are_no_further_mistakes(with_plugins: WithPlugins) -> None:
    registry = with_plugins({"stlm-faulty": [("norm.toy", missing)]})
    with pytest.raises(SpecError) as caught:
        parse_spec(spec_text(lm_head_normalization="toy", its_option=3), registry=registry)
    assert [d.code for d in caught.value.diagnostics] == [Code.PLUGIN]
