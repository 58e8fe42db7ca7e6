"""The canonical form is a spec again, and the digest is of what a spec says rather than of how or where."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from drawing import PLAIN, changed, drawn, write
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from stlm.cli.shipped import folder
from stlm.registry import block, choice, component, load_spec, option, parse_spec, section
from stlm.spec import Code, Spec, SpecError
from stlm.spec.canonical import differences, digest, dump, dump_plain
from stlm.spec.reading import read_text
from stlm.spec.structure import plain as plain_of

SHIPPED = sorted(folder().glob("*.yaml"))
quietly = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@st.composite
def plain_specs(draw: st.DrawFn) -> dict[str, Any]:
    return drawn(draw)


def parse(plain: dict[str, Any]) -> Spec:
    return parse_spec(json.dumps(plain))


def resolved(plain: dict[str, Any]) -> Spec:
    """Resolve a drawn spec; where that cannot be, only values that do not go together may be in the way."""
    spec, codes = parsed(plain)
    assert codes <= {Code.RULE}
    event("resolved" if spec else "refused by a rule")
    assume(spec is not None)
    assert spec is not None
    return spec


def parsed(plain: dict[str, Any]) -> tuple[Spec | None, set[Code]]:
    try:
        return parse(plain), set()
    except SpecError as error:
        return None, {d.code for d in error.diagnostics}


@quietly
@given(plain_specs(), st.randoms(use_true_random=False))
def test_the_canonical_form_the_source_and_any_order_of_keys_give_an_equal_spec(
    plain: dict[str, Any], rng: random.Random
) -> None:
    spec = resolved(plain)
    again = parse_spec(spec.dump())
    assert again == spec
    assert again.dump() == spec.dump()
    assert again.digest == spec.digest
    assert again.to_plain() == spec.to_plain()
    assert parse_spec(spec.source_text) == spec
    assert parse(shuffled(plain, rng)).dump() == spec.dump()


def shuffled(value: Any, rng: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    keys = list(value)
    rng.shuffle(keys)
    return {key: shuffled(value[key], rng) for key in keys}


TRAPS = ("6e-4", "no", "On", "~", "null", "", " a ", "1_000", "0o17", "0x1F", "1:30", "2001-01-01", "<<", "- a", "a: b")
HARD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False),
    st.sampled_from(TRAPS),
    st.text(st.characters(exclude_categories=["Cs"])),
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.sampled_from("abc"), HARD | st.lists(HARD, max_size=3), min_size=1))
def test_whatever_a_value_holds_is_written_so_that_it_reads_back(plain: dict[str, Any]) -> None:
    root, mistakes = read_text(dump_plain(plain), "<text>")
    assert mistakes == []
    assert plain_of(root) == plain


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_shipped_spec_survives_its_canonical_form(path: Path) -> None:
    spec = load_spec(path)
    assert parse_spec(spec.dump()) == spec
    assert parse_spec(spec.source_text) == spec
    assert parse_spec(spec.source_text).digest == spec.digest


def test_where_a_run_happens_is_not_in_the_digest() -> None:
    spec = parse(PLAIN)
    elsewhere = parse_spec(
        json.dumps(PLAIN),
        [
            "general.device=cuda:1",
            "general.paths.output_dir=/elsewhere",
            "general.paths.data_dir=d",
            "general.logging.wandb_run_name=a name",
        ],
    )
    assert elsewhere != spec
    assert elsewhere.digest == spec.digest


@pytest.mark.parametrize(
    "override", ["general.seed=43", "model.hidden_dim=128", "trainer.dataset=./corpus", "trainer.optimizer.lr=5e-4"]
)
def test_what_is_computed_is_in_the_digest(override: str) -> None:
    assert parse_spec(json.dumps(PLAIN), [override]).digest != parse(PLAIN).digest


def test_a_default_that_is_written_out_is_the_same_spec() -> None:
    assert parse(changed(PLAIN, "trainer.optimizer", {"optimizer_name": "AdamW", "lr": 6e-4})) == parse(PLAIN)


def test_an_alias_is_the_same_spec_as_the_name_it_stands_for() -> None:
    aliased = parse(changed(PLAIN, "model.tokenizer_type", "GPT-2"))
    assert aliased.digest == parse(PLAIN).digest
    assert aliased.to_plain()["model"]["tokenizer_type"] == "gpt2"


def test_an_integer_where_a_number_is_wanted_is_the_same_spec() -> None:
    one, point = (parse({**PLAIN, "model": {**PLAIN["model"], "norm_eps": value}}) for value in (1, 1.0))
    assert one.dump() == point.dump()
    assert one.digest == point.digest


def test_how_a_number_is_written_does_not_matter() -> None:
    texts = ["lr: 6e-4", "lr: 0.0006", "lr: 6.0E-4", "lr: +.0006"]
    base = write(PLAIN).text
    digests = {parse_spec(base.replace("    optimizer_name:", f"    {t}\n    optimizer_name:")).digest for t in texts}
    assert len(digests) == 1


@component("toy", "top")
class Top:
    """A toy."""

    height: float = option(default=0.5, doc="How high.")
    marks: tuple[str, ...] = option(default=("a", "no"), doc="What is on it.")


@section
class Where:
    """Of which the digest knows nothing but the seed."""

    seed: int = option(default=1, doc="A seed.")
    device: str = option(default="cpu", doc="A device.")


@section
class Box:
    """What holds the toy."""

    toy: Any = choice("toy", key="toy_type", doc="Which toy.")
    inner: Any = block("toy", type_key="inner_type", doc="A toy of its own.")
    label: str | None = option(default=None, doc="A label.")
    general: Where = block(Where, doc="Where it stands.")


def test_the_canonical_form_has_this_text_and_this_digest() -> None:
    box = Box(toy=Top(height=1e-5), inner=Top(marks=()), label="6e-4", general=Where(device="cuda"))
    assert dump(box) == GOLDEN
    assert digest(box) == "sha256:d71132355be2b0e96d068f9287e245b08eeedf66c647e2fccb2300d454d454c7"


def test_differences_are_told_by_path() -> None:
    left, right = parse(PLAIN).to_plain(), parse(changed(PLAIN, "model.hidden_dim", 128)).to_plain()
    assert list(differences(left, right)) == [("model.attn.head_dim", 32, 64), ("model.hidden_dim", 64, 128)]


GOLDEN = """\
toy_type: top
height: 1e-05
marks:
- a
- no
inner:
  inner_type: top
  height: 0.5
  marks: []
label: '6e-4'
general:
  seed: 1
  device: cuda
"""
