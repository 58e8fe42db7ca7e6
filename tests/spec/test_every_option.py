"""Every option of everything that stlm brings refuses a wrong key, type and value at the place where it stands."""

from typing import Any

import attrs
import pytest
from drawing import Example, changed, example, own, sections_of, slots_by_path, write

from stlm.registry import parse_spec
from stlm.spec import Code, Diagnostic, SpecError
from stlm.spec.declaration import Block, Choice, Option, Slot, declaration_of
from stlm.spec.sections import SpecSections
from stlm.testing.values import of_wrong_type, out_of_range


@attrs.frozen
class Case:
    """One key of one declaration, in a good spec."""

    example: Example
    path: str
    slot: Slot
    wanted: Any


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    base = example("trainer", own().names("trainer")[0])
    for path, declaration in sections_of(declaration_of(SpecSections)):
        for field, slot in declaration.slots.items():
            here = f"{path}.{slot.key}" if path else slot.key
            cases[here] = Case(base, here, slot, declaration.types[field])
    for name in slots_by_path():
        kind, _, chosen = name.partition(" ")
        made = example(kind, chosen)
        for path, declaration in sections_of(declaration_of(own().find(kind, chosen).cls), made.scope):
            for field, slot in declaration.slots.items():
                here = f"{path}.{slot.key}"
                cases[f"{kind}-{chosen}-{slot.key}"] = Case(made, here, slot, declaration.types[field])
                if isinstance(slot, Block) and slot.kind is not None:
                    type_key = Choice(str(slot.type_key), slot.kind, slot.doc)
                    cases[f"{kind}-{chosen}-{type_key.key}"] = Case(made, f"{here}.{type_key.key}", type_key, Any)
    return cases


CASES = _cases()
every_option = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


def mistakes(plain: dict[str, Any]) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        parse_spec(write(plain).text)
    return list(caught.value.diagnostics)


def where(diagnostic: Diagnostic) -> tuple[Code, int, int]:
    return diagnostic.code, diagnostic.place.line, diagnostic.place.column


@every_option
def test_a_misspelled_key_is_one_mistake_that_names_the_right_key(case: Case) -> None:
    misspelled = f"{case.slot.key}x"
    plain = changed(case.example.plain, case.path, key=misspelled)
    line, column = write(case.example.plain).keys[case.path]
    found = mistakes(plain)
    assert [where(d) for d in found] == [(Code.UNKNOWN_KEY, line, column)]
    assert f"did you mean `{case.slot.key}`?" in found[0].help


@every_option
def test_a_wrong_type_is_one_mistake_at_the_value(case: Case) -> None:
    for value in of_wrong_type(case.slot, case.wanted):
        text = write(changed(case.example.plain, case.path, value))
        with pytest.raises(SpecError) as caught:
            parse_spec(text.text)
        assert [where(d) for d in caught.value.diagnostics] == [(Code.WRONG_TYPE, *text.values[case.path])], value


@every_option
def test_a_value_out_of_range_is_one_mistake_at_the_value(case: Case) -> None:
    for value, code in out_of_range(case.slot, case.wanted):
        text = write(changed(case.example.plain, case.path, value))
        with pytest.raises(SpecError) as caught:
            parse_spec(text.text)
        found = caught.value.diagnostics
        line, column = text.values[case.path]
        shift = 1 if isinstance(value, list) else 0  # inside a list, the item is meant
        assert [where(d) for d in found] == [(code, line, column + shift)], value


def test_the_walk_reaches_every_kind_that_a_spec_can_choose() -> None:
    reached = {name.partition(" ")[0] for name in slots_by_path()}
    assert reached | {"export", "sampler", "benchmark", "hook"} >= set(own().installed.kinds())


def test_an_object_made_in_python_is_held_to_the_same_checks() -> None:
    for kind in own().installed.kinds():
        for found in own().all_of(kind):
            declaration = declaration_of(found.cls)
            for field, slot in declaration.slots.items():
                for check in slot.checks if isinstance(slot, Option) else ():
                    with pytest.raises(ValueError, match=field):
                        check(None, attrs.fields_dict(found.cls)[field], check.outside)
