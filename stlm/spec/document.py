"""A spec as written, parents (``extends``) and overrides (``--set``) merged in, each value at its place."""

import re
from collections.abc import Sequence as Many
from pathlib import Path

import attrs

from stlm.spec.components import Components
from stlm.spec.diagnostics import Code, Diagnostic, Place
from stlm.spec.inherit import inherit, merge, without_replaced
from stlm.spec.reading import (
    Entry,
    Mapping,
    Node,
    ReadingError,
    Scalar,
    Sequence,
    describe,
    read_file,
    read_text,
    read_value,
    refuse,
)

_PATH = re.compile(r"[^\s.=]+(\.[^\s.=]+)*")
MOST_PARENTS = 64


@attrs.frozen(eq=False)
class Document:
    """The merged tree, the mistakes found so far, and the files it was read from."""

    root: Mapping
    place: Place
    diagnostics: tuple[Diagnostic, ...]
    files: tuple[str, ...]
    lacks_parent: bool  # one that it extends could not be read, so that what seems missing may stand there


def document_from_file(path: str | Path, overrides: Many[str], components: Components) -> Document:
    """Read a spec file; raises `ReadingError` where a file cannot be read at all."""
    reader = _Extender(components)
    root = reader.file(str(path), ())
    return _overridden(root, Place(str(path), 1, 1), overrides, reader)


def document_from_text(text: str, name: str, overrides: Many[str], components: Components) -> Document:
    """Read a spec from text; ``extends`` is relative to the directory in which stlm runs."""
    reader = _Extender(components)
    root, mistakes = read_text(text, name)
    reader.diagnostics.extend(mistakes)
    return _overridden(reader.extended(root, name, ()), Place(name, 1, 1), overrides, reader)


def _overridden(root: Mapping, place: Place, overrides: Many[str], reader: "_Extender") -> Document:
    before, said = root, Mapping({}, place)
    for override in overrides:
        try:
            change = _override(root, override)
            root, said = inherit(root, change, reader.components), merge(said, change)
        except ReadingError as error:
            reader.diagnostics.append(error.diagnostic)
    if len(overrides) > 1:  # what the first left open, a later one may have said
        root = without_replaced(before, root, said, reader.components)
    return Document(root, place, tuple(reader.diagnostics), tuple(reader.files), reader.lacks_parent)


class _Extender:
    """Reads a file and those that it extends."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.diagnostics: list[Diagnostic] = []
        self.files: list[str] = []
        self.lacks_parent = False

    def file(self, path: str, chain: tuple[str, ...]) -> Mapping:
        root, mistakes = read_file(path)
        self.diagnostics.extend(mistakes)
        self.files.append(path)
        return self.extended(root, path, chain)

    def extended(self, root: Mapping, path: str, chain: tuple[str, ...]) -> Mapping:
        """Merge a mapping over the parents that it names, and take ``extends`` out of it."""
        entry = root.get("extends")
        if entry is None:
            return root
        rest = Mapping({k: e for k, e in root.entries.items() if k != "extends"}, root.place)
        parents: Mapping | None = None
        here = (*chain, _identity(path))
        for name, place in self.parents(entry):
            parent = self.parent(name, place, path, here)
            if parent is not None:
                parents = parent if parents is None else inherit(parents, parent, self.components)
        return rest if parents is None else inherit(parents, rest, self.components)

    def parents(self, entry: Entry) -> list[tuple[str, Place]]:
        nodes: list[Node] = list(entry.value) if isinstance(entry.value, Sequence) else [entry.value]
        found = []
        for node in nodes:
            if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
                found.append((node.value, node.place))
            else:
                message = f"`extends` takes the path of a spec, or a list of paths, got {describe(node)}"
                self.diagnostics.append(Diagnostic(node.place, "extends", Code.WRONG_TYPE, message))
        return found

    def parent(self, name: str, place: Place, path: str, chain: tuple[str, ...]) -> Mapping | None:
        target = str(Path(path).parent / Path(name).expanduser()) if not Path(name).is_absolute() else name
        try:
            if _identity(target) in chain:
                cycle = " → ".join(Path(p).name for p in (*chain[chain.index(_identity(target)) :], _identity(target)))
                raise refuse(place, f"`extends` goes in a circle: {cycle}", code=Code.EXTENDS, key="extends")
            if len(chain) + len(self.files) > MOST_PARENTS:
                raise refuse(place, f"more than {MOST_PARENTS} parents", code=Code.EXTENDS, key="extends")
            return self.file(target, chain)
        except ReadingError as error:
            found = error.diagnostic
            if found.place.line == 1 and found.place.file == target and not found.place.text:  # it cannot be opened
                found = Diagnostic(place, "extends", Code.EXTENDS, f"`extends`: {found.message}")
            self.diagnostics.append(found)
            self.lacks_parent = True
            return None


def _identity(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, RuntimeError):  # a link to itself
        return str(Path(path).absolute())


def _override(root: Mapping, override: str) -> Mapping:
    """Read one ``PATH=VALUE`` over ``root`` as a spec that says nothing else."""
    path, equals, value = override.partition("=")
    path = path.strip()
    name = f"--set {path}"
    whole = Place(name, 1, 1, max(1, len(path)), override)
    if not equals or not _PATH.fullmatch(path):
        message = f"an override is PATH=VALUE, as in model.hidden_dim=512; got {override!r}"
        raise refuse(whole, message, code=Code.OVERRIDE, key=path)
    node = read_value(value, name, prefix=f"{override.partition('=')[0]}=")
    keys = path.split(".")
    if keys[0] == "extends":
        raise refuse(whole, "`extends` is read before overrides; write it in a file", code=Code.OVERRIDE, key=path)
    around: Node = root
    for depth, key in enumerate(keys[:-1], start=1):
        entry = around.get(key) if isinstance(around, Mapping) else None
        if entry is None:
            break
        if not isinstance(entry.value, Mapping) and not (isinstance(entry.value, Scalar) and entry.value.value is None):
            said = ".".join(keys[:depth])
            message = f"`{path}` cannot be set: `{said}` is {describe(entry.value)}, not a mapping"
            raise refuse(whole, message, f"set `{said}` as a whole", code=Code.OVERRIDE, key=path)
        around = entry.value
    for key in reversed(keys):
        node = Mapping({key: Entry(key, whole, node)}, whole)
    assert isinstance(node, Mapping)
    return node
