"""YAML as a spec reads it: version 1.2, nothing but plain values, every place exact, no text that hangs or explodes."""

import contextlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stlm.spec import Code, Diagnostic
from stlm.spec.reading import (
    MOST_BYTES,
    QUOTE_BRACE,
    Mapping,
    Node,
    ReadingError,
    Sequence,
    read_file,
    read_text,
    read_value,
)
from stlm.spec.structure import plain


def read(text: str) -> Any:
    root, mistakes = read_text(text, "t.yaml")
    assert mistakes == []
    return plain(root)


def refusal(text: str | bytes, tmp_path: Path | None = None) -> Diagnostic:
    """The diagnostic that ends the reading of a text, or of bytes in a file."""
    if isinstance(text, bytes):
        assert tmp_path is not None
        (tmp_path / "t.yaml").write_bytes(text)
    with pytest.raises(ReadingError) as caught:
        read_text(text, "t.yaml") if isinstance(text, str) else read_file(tmp_path / "t.yaml")  # type: ignore[operator]
    return caught.value.diagnostic


def at(diagnostic: Diagnostic) -> tuple[int, int]:
    return diagnostic.place.line, diagnostic.place.column


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("6e-4", 6e-4),
        ("1E3", 1e3),
        ("-.5", -0.5),
        ("1_000", 1000),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("on", "on"),
        ("off", "off"),
        ("no", "no"),
        ("yes", "yes"),
        ("y", "y"),
        ("True", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("1:30", "1:30"),
        ("2001-12-14", "2001-12-14"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("'6e-4'", "6e-4"),
        ('"true"', "true"),
        ("!!str 3", "3"),
        ("!!float 3", 3.0),
        ("! 3", "3"),
        ("1.2.3", "1.2.3"),
        ("1e", "1e"),
        ("=", "="),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(written: str, value: Any) -> None:
    found = read(f"a: {written}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read_as_one() -> None:
    assert math.isnan(read("a: .nan")["a"])


def test_a_key_that_stands_twice_is_a_mistake_at_the_second() -> None:
    root, mistakes = read_text("a: 1\nb: 2\na: 3\n", "t.yaml")
    assert plain(root) == {"a": 1, "b": 2}
    assert [(d.code, *at(d)) for d in mistakes] == [(Code.DUPLICATE_KEY, 3, 1)]
    assert mistakes[0].help == ("it stands first at line 1, column 1",)


def test_anchors_and_merge_keys_are_plain_values_in_the_end() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {z: 0, <<: [{x: 9}, *b]}\nlist: &l [1]\nagain: *l\n"
    found = read(text)
    assert found["one"] == {"y": 3, "x": 1}
    assert found["two"] == {"z": 0, "x": 9, "y": 2}
    assert found["again"] == [1]


def test_a_merged_key_keeps_the_place_where_it_was_written() -> None:
    root, _ = read_text("base: &b\n  x: 1\none:\n  <<: *b\n", "t.yaml")
    one = root.entries["one"].value
    assert isinstance(one, Mapping)
    assert (one.entries["x"].place.line, one.entries["x"].place.column) == (2, 3)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: *nobody\n", (1, 4), "no anchor"),
        ("a: &x [*x]\n", (1, 8), "inside its own anchor"),
        ("a: {<<: 3}\n", (1, 9), "`<<` merges a mapping"),
        ("a: !!python/object/apply:os.system ['true']\n", (1, 4), "`!!python/object/apply:os.system`"),
        ("a: !!binary aGk=\n", (1, 4), "`!!binary`"),
        ("a: !!set {b}\n", (1, 4), "`!!set`"),
        ("a: !own 3\n", (1, 4), "`!own`"),
        ("a: !!int three\n", (1, 4), "three"),
        ("a: !!bool yes\n", (1, 4), "write true or false"),
        ("a: 1\n---\nb: 2\n", (2, 1), "second one begins"),
        ("%YAML 1.1\n---\na: 1\n", (2, 1), "YAML 1.2"),
        ("? [a, b]\n: 1\n", (1, 3), "a key is a name, not a list"),
        ("{a: 1}: 2\n", (1, 1), "a key is a name, not a mapping"),
        ("a:\n\tb: 1\n", (2, 1), "'\\t'"),
        ("a: [1, 2\n", (2, 1), ""),
        ("a: 'open\n", (2, 1), ""),
        ("a: b: c\n", (1, 5), "not allowed here"),
        ("a: 1\n b: 2\n", (2, 3), "not allowed here"),
        ("a: \x00\n", (1, 4), "U+0000"),
        ("b: 1\na: x\x07y\n", (2, 5), "U+0007"),
        ("- 1\n- 2\n", (1, 1), "not a list"),
        ("just words\n", (1, 1), "not the string `just words`"),
        ("", (1, 1), "empty"),
        ("# only a comment\n", (1, 1), "empty"),
        ("---\n...\n", (2, 1), "empty"),
        ("null\n", (1, 1), "empty"),
        (f"a: {'1' * 500}\n", (1, 4), "400 digits"),
    ],
)
def test_a_text_that_is_no_spec_is_refused_where_it_goes_wrong(text: str, place: tuple[int, int], words: str) -> None:
    found = refusal(text)
    assert found.code is Code.YAML
    assert words in found.message
    assert at(found) == place


@pytest.mark.parametrize("text", ["a: {b} c\n", "- {b} c\n", "a:\n  - b: {c}{d}\n"])
def test_a_text_that_begins_with_a_brace_is_told_to_want_quotes(text: str) -> None:
    assert refusal(text).help == (QUOTE_BRACE,)


@pytest.mark.parametrize("text", ["a: b: c\n", 'a: "{b}" c\n', "{a: b\n"])
def test_other_mistakes_are_not_told_to_want_quotes(text: str) -> None:
    assert refusal(text).help == ()


def test_a_yaml_1_2_directive_and_document_marks_are_fine() -> None:
    assert read("%YAML 1.2\n---\na: 1\n...\n") == {"a": 1}


@pytest.mark.parametrize("key", ["3", "true", "~", "1.5", "on"])
def test_a_key_is_the_text_that_was_written(key: str) -> None:
    assert read(f"{key}: 1\n") == {key: 1}


@pytest.mark.parametrize(
    "raw",
    [
        b"a: \xc3\xa9\nb: 1\n",
        b"\xef\xbb\xbfa: \xc3\xa9\nb: 1\n",
        "a: é\nb: 1\n".encode("utf-16"),
        b"a: \xc3\xa9\r\nb: 1\r\n",
        b"a: \xc3\xa9\rb: 1\r",
        b"a: \xc3\xa9\nb: 1",
    ],
    ids=["utf-8", "byte order mark", "utf-16", "CRLF", "CR", "no final newline"],
)
def test_an_encoding_or_a_line_end_changes_neither_values_nor_places(raw: bytes, tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_bytes(raw)
    root, mistakes = read_file(file)
    assert (plain(root), mistakes) == ({"a": "é", "b": 1}, [])
    place = root.entries["b"].value.place
    assert (place.line, place.column, place.text) == (2, 4, "b: 1")


@pytest.mark.parametrize(
    ("raw", "place"),
    [(b"a: 1\nb: \xff\n", (2, 4)), (b"\xc3", (1, 1)), (b"a: 1\r\nbc: \xe9\r\n", (2, 5))],
)
def test_bytes_that_are_not_utf_8_are_refused_where_they_stand(
    raw: bytes, place: tuple[int, int], tmp_path: Path
) -> None:
    found = refusal(raw, tmp_path)
    assert "not UTF-8" in found.message
    assert at(found) == place


def test_utf_16_that_breaks_off_is_refused(tmp_path: Path) -> None:
    assert "UTF-16" in refusal("a: 1".encode("utf-16")[:-1], tmp_path).message


def test_utf_16_without_its_mark_is_refused(tmp_path: Path) -> None:
    assert "U+0000" in refusal("a: 1".encode("utf-16-le"), tmp_path).message


def test_a_file_of_nothing_but_zeros_is_refused(tmp_path: Path) -> None:
    assert "U+0000" in refusal(bytes(1000), tmp_path).message


def test_a_file_larger_than_any_spec_is_refused_unread(tmp_path: Path) -> None:
    assert str(MOST_BYTES) in refusal(b"#" * (MOST_BYTES + 1), tmp_path).message


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda p: p.symlink_to(p), lambda p: None])
def test_what_is_not_a_file_is_refused_and_nothing_waits(make: Callable[[Path], Any], tmp_path: Path) -> None:
    make(tmp_path / "t.yaml")
    with pytest.raises(ReadingError) as caught:
        read_file(tmp_path / "t.yaml")
    assert (caught.value.diagnostic.code, *at(caught.value.diagnostic)) == (Code.YAML, 1, 1)


def test_a_path_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ReadingError, match="not a path"):
        read_file("a\x00b")


BOMBS = {
    "aliases": "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)),
    "merges": "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60)),
    "brackets": "a: " + "[" * 100_000,
    "braces": "a: " + "{b: " * 100_000,
    "indentation": "".join(" " * i + "a:\n" for i in range(1000)),
    "dashes": "a: " + "- " * 50_000,
    "items": "a: [" + "1, " * 300_000 + "]",
    "keys": "".join(f"k{i}: 1\n" for i in range(100_000)),
    "one long word": "a: " + "x" * 1_000_000,
    "comments": "# x\n" * 250_000,
    "questions": "? " * 300_000,
    "quotes": "a: '" + "''" * 400_000,
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in BOMBS.items()])
def test_a_text_made_to_exhaust_the_reader_is_answered_in_seconds(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(ReadingError):
        read_text(text, "t.yaml")
    assert time.process_time() - started < 20


def test_a_value_for_an_override_is_read_as_in_a_file() -> None:
    assert plain(read_value("[1, 6e-4, {a: no}]", "--set x", prefix="x=")) == [1, 6e-4, {"a": "no"}]
    assert plain(read_value("", "--set x", prefix="x=")) is None


def test_every_value_knows_where_it_stands() -> None:
    text = 'a: 1\nb:\n  - "two"\n  - {c: é, d: [3]}\n'
    root, _ = read_text(text, "t.yaml")
    places = {str(plain(node)): (node.place.line, node.place.column, node.place.length) for node in leaves(root)}
    assert places == {"1": (1, 4, 1), "two": (3, 5, 5), "é": (4, 9, 1), "3": (4, 16, 1)}


def leaves(node: Node) -> list[Node]:
    if isinstance(node, Mapping):
        return [leaf for entry in node.entries.values() for leaf in leaves(entry.value)]
    if isinstance(node, Sequence):
        return [leaf for item in node for leaf in leaves(item)]
    return [node]
