"""Shipped specs, changed at random: keys dropped, renamed, added, values and names of components put for others."""

import copy
from functools import cache
from typing import Any

from hypothesis import strategies as st
from ruamel.yaml import YAML

from stlm.cli.shipped import folder, names
from stlm.registry.manager import installed
from stlm.spec.declaration import Choice, Option, declaration_of
from stlm.spec.sections import SpecSections
from tests.spec.drawing import drawn, good_values, members

VALUES = (
    *(None, True, False, -1, 0, 1, 3, 64, 2**63, 0.5, 1.5, -0.5, 1e39, 1e-5),
    *("", "auto", "none", "full", "cpu", "cuda:1", "tpu", "./corpus", "word", "a.txt", "owner/name", "hf:owner/name"),
    *([], ["word"], [1], ["./corpus", {"name": "python_docs", "weight": 2.0}], [{"weight": 1.0}], {}, {"word": 1}),
)
"""Values of every form. No `3.0` among them: to JSON Schema it is an integer, to a spec it is not."""


@cache
def texts() -> dict[str, dict[str, Any]]:
    """The shipped specs as plain values."""
    yaml = YAML(typ="safe", pure=True)
    return {name: yaml.load((folder() / f"{name}.yaml").read_text(encoding="utf-8")) for name in names()}


@cache
def vocabulary() -> dict[str, list[Any]]:
    """Every key that anything declares, with values that it takes somewhere."""
    values: dict[str, list[Any]] = {"extends": ["./parent.yaml"], "word": ["word"]}
    declared = [declaration_of(SpecSections)]
    for kind in installed().installed.kinds():
        declared += [declaration_of(found.cls) for found in installed().all_of(kind)]
    for declaration in declared:
        for field, slot in declaration.slots.items():
            takes = values.setdefault(slot.key, [])
            if isinstance(slot, Option):
                takes += good_values(slot, declaration.types[field])
            elif isinstance(slot, Choice):
                names = said(slot.kind)
                takes += [[], names[:1], names[:2]] if slot.many else names
            elif slot.section is not None:
                declared.append(declaration_of(slot.section))
            else:
                values.setdefault(str(slot.type_key), []).extend(said(str(slot.kind)))
    return {key: takes for key, takes in values.items() if takes}


@cache
def said(kind: str) -> list[str]:
    """The names of a kind, with their package too."""
    names = members(kind, installed())
    return [*names, *(f"{name}@stlm" for name in names)]


def _paths(plain: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where each value of a mapping or list stands, at any depth."""
    pairs = list(plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ())
    return [p for key, value in pairs for p in ((*path, key), *_paths(value, (*path, key)))]


def _at(plain: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        plain = plain[key]
    return plain


@st.composite
def changed_specs(draw: Any) -> dict[str, Any]:
    """Draw a shipped spec, or one from the declarations, with up to three changes, most of them to something likely."""
    shipped = draw(st.booleans())
    plain = copy.deepcopy(texts()[draw(st.sampled_from(sorted(texts())))]) if shipped else drawn(draw)
    for _ in range(draw(st.integers(int(shipped), 3))):
        paths = _paths(plain)
        if paths:
            path = draw(st.sampled_from(paths))
            _change(draw, _at(plain, path[:-1]), path[-1])
    return plain


@st.composite
def children(draw: Any) -> dict[str, Any]:
    """Draw a spec that extends a shipped one: a few keys of one drawn from the declarations, perhaps changed."""
    plain = drawn(draw)
    keep = draw(st.integers(0, 6))
    for _ in range(400):
        paths = _paths(plain)
        if len(paths) <= keep + 2:
            break
        path = draw(st.sampled_from(paths))
        del _at(plain, path[:-1])[path[-1]]
    if draw(st.booleans()) and (paths := _paths(plain)):
        path = draw(st.sampled_from(paths))
        _change(draw, _at(plain, path[:-1]), path[-1])
    return {**plain, "extends": str(folder() / f"{draw(st.sampled_from(names()))}.yaml")}


def _change(draw: Any, around: Any, key: Any) -> None:
    """Change a mapping or a list at a key."""
    known = vocabulary()
    act = draw(st.sampled_from(("value", "likely", "likely", "likely", "drop", "key", "add")))
    if act == "drop":
        del around[key]
    elif act in ("likely", "value"):
        values = known.get(key, VALUES) if act == "likely" else VALUES
        around[key] = copy.deepcopy(draw(st.sampled_from(values)))
    elif act == "key" and isinstance(around, dict):
        around[draw(st.sampled_from(sorted(known)))] = around.pop(key)
    elif isinstance(around, dict):
        new = draw(st.sampled_from(sorted(known)))
        around[new] = copy.deepcopy(draw(st.sampled_from(known[new])))
