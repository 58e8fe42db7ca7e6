"""What the class itself must be, whatever its kind: a frozen, documented declaration that imports nothing heavy."""

import json
import subprocess
import sys
from typing import Any

import attrs

from stlm.registry import identity_of, make_component
from stlm.registry.kinds import KINDS
from stlm.spec import Code, SpecError
from stlm.spec.declaration import Option, declaration_of
from stlm.spec.suggest import nearest
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.plain import changed
from stlm.testing.subject import Subject
from stlm.testing.values import of_wrong_type, out_of_range

HEAVY = ("torch", "transformers", "datasets")


@check("loads")
def loads(subject: Subject) -> None:
    """Its entry point leads to a class under `@component` of that kind and name, with the acts that the kind needs."""
    name, kind = identity_of(subject.cls).name, subject.kind  # type: ignore[union-attr]
    named = name in subject.bench.registry.installed.entries[kind]
    hold(named, f"the class says the name `{name}`, and no entry point has it: the stored spec could not be read")
    home = subject.bench.homes.get(kind)
    clashes = home is not None and home.key in {slot.key for slot in declaration_of(subject.cls).slots.values()}
    hold(not clashes, f"the option `{home.key if home else ''}` has the name of the key that chooses the {kind}")
    if kind not in KINDS:
        hint = "; ".join(("", *nearest(kind, [*KINDS, *subject.bench.homes])))
        hold(kind in subject.bench.homes, f"nothing that is installed asks for a component of kind `{kind}`{hint}")


@check("frozen")
def frozen(subject: Subject) -> None:
    """Its object cannot be changed, and two that say the same are equal: a spec is a value."""
    subject.found  # noqa: B018
    component = subject.component
    for field in attrs.fields(type(component)):
        before = getattr(component, field.name)
        try:
            setattr(component, field.name, before)
        except attrs.exceptions.FrozenInstanceError:
            pass
        else:
            hold(False, f"`{field.name}` of its object can be assigned to; a component is frozen")
        hold(not isinstance(before, list | dict | set), f"`{field.name}` holds a {type(before).__name__}, not a tuple")
    hold(attrs.evolve(component) == component, "a copy of its object is not equal to it")


@check("documented")
def documented(subject: Subject) -> None:
    """It, each of its options and each of its rules has a sentence: that is its help, its schema and its page.

    Each field whose name begins with no `_` is an option, or chooses another component.
    """
    declaration = declaration_of(subject.cls)
    hold(declaration.doc, "its class has no docstring")
    given = {"selector", "member", *declaration.slots}
    plain = [field.name for field in attrs.fields(subject.cls) if field.name not in given and field.name[0] != "_"]
    hold(not plain, f"`{plain[0] if plain else ''}` is a field without `option(…)`, so no spec can say it")
    for slot in declaration.slots.values():
        text = slot.doc.strip()
        hold(" " in text and text[-1:] in ".!?", f"the doc of `{slot.key}` is no sentence: {text!r}")
    for rule in declaration.rules:
        hold(rule.check.__doc__, f"the rule `{rule.name}` has no docstring, which is what is told of it")


@check("bad-values")
def bad_values(subject: Subject) -> None:
    """Each option refuses a value of another type, and one outside its range, as one mistake at that key."""
    declaration = declaration_of(subject.cls)
    if not declaration.slots:
        no_promise("it has no options")
    subject.component  # noqa: B018 - where its spec cannot be had, that is told
    for field, slot in declaration.slots.items():
        wanted = declaration.types[field]
        cases = [(value, Code.WRONG_TYPE) for value in of_wrong_type(slot, wanted)]
        if subject.home is None:  # what is said on the command line is no mapping
            cases = [(value, code) for value, code in cases if not isinstance(value, dict)]
        for value, code in (*cases, *out_of_range(slot, wanted)):
            told = _mistakes(subject, slot.key, value)
            shown = json.dumps(value)
            hold(told, f"`{slot.key}: {shown}` is accepted, and should be `{code.value}`")
            hold(
                told == [(slot.key, code)],
                f"`{slot.key}: {shown}` should be `{code.value}` there, and is {_shown(told)}",
            )
        if isinstance(slot, Option):
            for one in slot.checks:
                hold(
                    one.outside is None or not one.holds(one.outside),
                    f"a check of `{slot.key}` lets its `outside` pass",
                )


def _mistakes(subject: Subject, key: str, value: Any) -> list[tuple[str, Code]]:
    try:
        if subject.home is None:
            make_component(subject.kind, subject.name, {key: value}, registry=subject.bench.registry)
        else:
            subject.bench.parse(changed(subject.plain, subject.home.blocks, {key: value}))
    except SpecError as error:
        return [(d.key.rpartition(".")[2], d.code) for d in error.diagnostics]
    return []


def _shown(told: list[tuple[str, Code]]) -> str:
    return ", ".join(f"`{code.value}` at `{key}`" for key, code in told)


@check("canonical")
def canonical(subject: Subject) -> None:
    """Its spec is read back as it was written, and chooses the same component: the stored form loses nothing."""
    if subject.home is None:
        no_promise(f"no spec chooses a component of kind {subject.kind}")
    spec, registry = subject.spec, subject.bench.registry
    from stlm.registry.loading import parse_spec

    again = parse_spec(spec.dump(), registry=registry)
    said = [json.dumps(one.to_plain()) for one in (again, spec)]  # of which texts and digests are made
    hold(again == spec and said[0] == said[1], "its spec, written and read, is another one")


@check("imports")
def imports(subject: Subject) -> None:
    """Importing its declaration brings in no torch: `stlm check` reads it at every save."""
    module = subject.cls.__module__
    entries, plugin = subject.bench.registry.entries(), subject.found.plugin
    package = {entry.module for entry in entries if entry.distribution == plugin} | {module}
    culprits = _heavy(subject, package) and _heavy(subject, {module})  # one process for all of a package, mostly
    hold(not culprits, f"importing `{module}` brings in {', '.join(culprits)}; import that inside `build`")


def _heavy(subject: Subject, modules: set[str]) -> list[str]:
    """Import modules in a process of their own, and list what is heavy there; kept, for it takes its time."""
    key = ("imports", frozenset(modules))
    if key not in subject.bench.kept:
        program = (
            "import contextlib, importlib, sys\n"
            f"sys.path[:] = {[path for path in sys.path if path]!r}\n"
            f"for name in {sorted(modules)!r}:\n"
            "    with contextlib.suppress(Exception):\n"  # what cannot be imported brings in nothing, and `loads` tells
            "        importlib.import_module(name)\n"
            f"print(*sorted(set(sys.modules) & set({HEAVY!r})))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
        subject.bench.kept[key] = done.stdout.split()
    found: list[str] = subject.bench.kept[key]
    return found
