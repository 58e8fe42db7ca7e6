"""YAML text to a tree of nodes that remember where they stand.

ruamel.yaml scans and parses (YAML 1.2, so ``6e-4`` is a number and ``on`` a string); the tree is composed here from its
events, because every key and value keeps its place, duplicate keys are mistakes, and a document that would exhaust
memory by nesting or by aliases is refused while it is read.
"""

import codecs
import math
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.nodes import ScalarNode

from stlm.spec.diagnostics import Code, Diagnostic, Place

MOST_BYTES = 1 << 20
MOST_NODES = 20_000
MOST_DEPTH = 64
LARGEST_INT = 2**63 - 1

QUOTE_BRACE = "put a text that begins with `{` in quotes: without them YAML takes it for a mapping"
_BEGINS_WITH_BRACE = re.compile(r"[:-]\s+\{")

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq")}
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@attrs.frozen(eq=False)
class Scalar:
    """A string, number, boolean or null; ``text`` is how it was written, ``quoted`` whether in quotes."""

    value: Any
    place: Place
    text: str = ""
    quoted: bool = False


@attrs.frozen(eq=False)
class Sequence:
    """A list."""

    items: tuple["Node", ...]
    place: Place

    def __iter__(self) -> Iterator["Node"]:
        return iter(self.items)


@attrs.frozen(eq=False)
class Entry:
    """One key of a mapping, and where the key stands."""

    key: str
    place: Place
    value: "Node"


@attrs.frozen(eq=False)
class Mapping:
    """A mapping from names to nodes, in the order of the text."""

    entries: dict[str, Entry]
    place: Place

    def get(self, key: str) -> Entry | None:
        """Return the entry of a key, or None."""
        return self.entries.get(key)


Node = Scalar | Sequence | Mapping


class ReadingError(Exception):
    """The text cannot be read as a spec at all; carries the one diagnostic that says why."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(diagnostic.headline())


def refuse(place: Place, message: str, *help_lines: str, code: Code = Code.YAML, key: str = "") -> ReadingError:
    """Make the error that ends reading."""
    return ReadingError(Diagnostic(place, key, code, message, help_lines))


def read_file(path: str | Path) -> tuple[Mapping, list[Diagnostic]]:
    """Read the spec at ``path``; raises `ReadingError` where there is none or it is not YAML."""
    name = str(path)
    start = Place(name, 1, 1)
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise refuse(start, f"`{name}` is {what}; a spec is a YAML file, or the folder of a run", code=Code.YAML)
        if status.st_size > MOST_BYTES:
            raise refuse(start, f"the file has {status.st_size} bytes; a spec has at most {MOST_BYTES}")
        raw = Path(path).read_bytes()
    except OSError as error:
        raise refuse(start, f"cannot read `{name}`: {error.strerror or error}") from None
    except ValueError:  # a NUL byte in the path
        raise refuse(start, f"cannot read {name!r}: this is not a path") from None
    return read_text(_decode(raw, name), name)


def _decode(raw: bytes, name: str) -> str:
    encoding = "UTF-16" if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "UTF-8"
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode(encoding, "replace")
        place = Place(name, before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise refuse(place, f"the text is not {encoding}: {error.reason}") from None


def read_text(text: str, name: str, *, prefix: str = "") -> tuple[Mapping, list[Diagnostic]]:
    """Read a whole spec from text; the diagnostics are mistakes after which the tree is still of use."""
    reader = _Reader(text, name, prefix)
    root = reader.document()
    if isinstance(root, Scalar) and root.value is None:
        raise refuse(root.place, "the spec is empty; it needs at least a `model` section", "`stlm init` writes one")
    if not isinstance(root, Mapping):
        raise refuse(root.place, f"a spec is a mapping of sections, not {describe(root)}")
    return root, reader.diagnostics


def read_value(text: str, name: str, *, prefix: str) -> Node:
    """Read one YAML value, as ``--set`` has it; ``prefix`` is what stands before it on the line shown."""
    reader = _Reader(text, name, prefix)
    node = reader.document()
    if reader.diagnostics:
        raise ReadingError(reader.diagnostics[0])
    return node


def describe(node: Node) -> str:
    """Name a node for a message: "the integer `3`", "a list"."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "nothing" if node.text == "" else f"`{node.text}`"
    kinds = {bool: "the boolean", int: "the integer", float: "the number", str: "the string"}
    shown = node.text if len(node.text) <= 60 else node.text[:57] + "…"
    what = kinds.get(type(node.value)) or f"the {type(node.value).__name__}"  # given by Python, YAML has no others
    return f"{what} `{' '.join(shown.split())}`"


class _Reader:
    """Composes one document from ruamel's events."""

    def __init__(self, text: str, name: str, prefix: str) -> None:
        self.name, self.prefix = name, prefix
        self.lines = text.splitlines() or [""]
        self.diagnostics: list[Diagnostic] = []
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.nodes = 0
        bad = _UNPRINTABLE.search(text)
        if bad:
            line = text.count("\n", 0, bad.start()) + 1
            column = bad.start() - (text.rfind("\n", 0, bad.start()) + 1) + 1
            raise refuse(
                Place(name, line, column), f"the character U+{ord(bad.group()):04X} is not allowed in a YAML text"
            )
        self.yaml = YAML(typ="safe", pure=True)
        self.events = iter(self.yaml.parse(text))

    def place(self, start: Any, end: Any = None) -> Place:
        """Turn ruamel's marks (from 0) into a place (from 1)."""
        length = end.column - start.column if end is not None and end.line == start.line else 1
        source = self.lines[start.line] if start.line < len(self.lines) else ""
        shift = len(self.prefix) if start.line == 0 else 0
        shown = self.prefix + source if start.line == 0 else source
        return Place(self.name, start.line + 1, start.column + 1 + shift, max(1, length), shown)

    def next(self) -> Any:
        try:
            return next(self.events)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = self.place(mark) if mark is not None else Place(self.name, 1, 1)
            message = " ".join((error.problem or error.context or "this is not YAML").split())
            tabbed = ("YAML is indented with spaces, never with tabs",) if "'\\t'" in message else ()
            braced = (QUOTE_BRACE,) if _BEGINS_WITH_BRACE.search(place.text[: place.column - 1]) else ()
            raise refuse(place, message, *tabbed, *braced) from None
        except (YAMLError, RecursionError, ValueError, IndexError) as error:
            raise refuse(Place(self.name, 1, 1), " ".join(str(error).split()) or "this is not YAML") from None

    def document(self) -> Node:
        event = self.next()  # the stream's start
        event = self.next()
        if isinstance(event, StreamEndEvent):
            return Scalar(None, Place(self.name, 1, len(self.prefix) + 1, 1, self.prefix + self.lines[0]))
        if isinstance(event, DocumentStartEvent) and event.version not in (None, (1, 2)):
            raise refuse(self.place(event.start_mark), "a spec is YAML 1.2; take the `%YAML` directive out")
        root, _ = self.node(self.next(), 0)
        self.next()  # the document's end
        after = self.next()
        if not isinstance(after, StreamEndEvent):
            raise refuse(self.place(after.start_mark), "a spec is one YAML document; a second one begins here")
        return root

    def node(self, event: Any, depth: int) -> tuple[Node, int]:
        """Compose the node that begins with ``event``; returns it and the number of nodes it stands for."""
        place = self.place(event.start_mark, event.end_mark)
        if depth > MOST_DEPTH:
            raise refuse(place, f"nested more than {MOST_DEPTH} levels deep")
        if isinstance(event, AliasEvent):
            return self.alias(event.anchor, place)
        if event.anchor is not None:
            self.anchors[event.anchor] = None  # open: an alias to it from inside would never end
        tag = event.tag
        if tag is not None and str(tag) not in _PLAIN_TAGS and str(tag) != "!":
            shown = str(tag).replace(_TAG, "!!")
            raise refuse(place, f"the tag `{shown}` is not allowed; a spec holds plain values only")
        node: Node
        if isinstance(event, ScalarEvent):
            node, size = self.scalar(event, place), 1
        elif isinstance(event, SequenceStartEvent):
            node, size = self.sequence(place, depth)
        else:
            assert isinstance(event, MappingStartEvent)
            node, size = self.mapping(place, depth)
        self.count(1, place)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, size)
        return node, size

    def count(self, more: int, place: Place) -> None:
        self.nodes += more
        if self.nodes > MOST_NODES:
            raise refuse(place, f"more than {MOST_NODES} values, aliases written out; a spec is far smaller")

    def alias(self, anchor: str, place: Place) -> tuple[Node, int]:
        if anchor not in self.anchors:
            raise refuse(place, f"the alias `*{anchor}` has no anchor `&{anchor}` before it")
        found = self.anchors[anchor]
        if found is None:
            raise refuse(place, f"the alias `*{anchor}` stands inside its own anchor")
        self.count(found[1], place)
        return found

    def sequence(self, place: Place, depth: int) -> tuple[Sequence, int]:
        items, size = [], 1
        while not isinstance(event := self.next(), SequenceEndEvent):
            item, more = self.node(event, depth + 1)
            items.append(item)
            size += more
        return Sequence(tuple(items), place), size

    def mapping(self, place: Place, depth: int) -> tuple[Mapping, int]:
        entries: dict[str, Entry] = {}
        merged: list[Mapping] = []
        size = 1
        while not isinstance(event := self.next(), MappingEndEvent):
            key_place = self.place(event.start_mark, event.end_mark)
            key, _ = self.node(event, depth + 1)
            value, more = self.node(self.next(), depth + 1)
            size += more + 1
            if not isinstance(key, Scalar):
                raise refuse(key_place, f"a key is a name, not {describe(key)}")
            if key.text == "<<" and not key.quoted:
                merged.extend(self.merge_sources(value))
            elif key.text in entries:
                first = entries[key.text].place
                message = f"the key `{key.text}` stands twice in this mapping"
                help_lines = (f"it stands first at line {first.line}, column {first.column}",)
                self.diagnostics.append(Diagnostic(key_place, key.text, Code.DUPLICATE_KEY, message, help_lines))
            else:
                entries[key.text] = Entry(key.text, key_place, value)
        for source in merged:  # what the mapping says itself wins, then the earlier source
            for name, entry in source.entries.items():
                entries.setdefault(name, entry)
        return Mapping(entries, place), size

    def merge_sources(self, value: Node) -> list[Mapping]:
        sources = list(value) if isinstance(value, Sequence) else [value]
        for source in sources:
            if not isinstance(source, Mapping):
                raise refuse(source.place, f"`<<` merges a mapping or a list of mappings, not {describe(source)}")
        return [s for s in sources if isinstance(s, Mapping)]

    def scalar(self, event: Any, place: Place) -> Scalar:
        text = event.value
        if event.tag is not None and str(event.tag) in _PLAIN_TAGS:
            tag = str(event.tag)
        elif event.implicit[0] and event.tag is None:
            tag = str(self.yaml.resolver.resolve(ScalarNode, text, (True, False)))
        else:
            tag = _TAG + "str"
        try:
            value = _construct(tag.removeprefix(_TAG), text)
        except ValueError as error:
            raise refuse(place, str(error)) from None
        return Scalar(value, place, text, quoted=event.style in ("'", '"'))


def _construct(tag: str, text: str) -> str | int | float | bool | None:
    plain = text.replace("_", "")
    if tag == "int":
        body = plain.lstrip("+-").lower()
        base = {"0x": 16, "0o": 8, "0b": 2}.get(body[:2], 10)
        if len(body) > 400:
            raise ValueError("a number of more than 400 digits")
        return int(plain, base)
    if tag == "float":
        known = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}.get(plain.lower())
        return float(plain) if known is None else known
    if tag == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"`{text}` is not a boolean; write true or false")
        return text.lower() == "true"
    if tag == "null":
        return None
    return text
