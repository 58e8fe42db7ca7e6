"""The type of an option says what may be written: strictly, and in words."""

from typing import Any, Literal

import pytest

from stlm.spec import Code
from stlm.spec.reading import QUOTE_BRACE, read_value
from stlm.spec.structure import MismatchesError, can_structure, structure, type_words

Auto = bool | Literal["auto"]


def value(text: str, wanted: Any) -> Any:
    return structure(read_value(text, "t", prefix=""), wanted)


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("3", int, 3),
        ("-9223372036854775807", int, -(2**63) + 1),
        ("3", float, 3.0),
        ("6e-4", float, 6e-4),
        ("true", bool, True),
        ("no", str, "no"),
        ("''", str, ""),
        ("null", int | None, None),
        ("3", int | None, 3),
        ("3", float | None, 3.0),
        ("auto", Auto, "auto"),
        ("false", Auto, False),
        ("b", Literal["a", "b"], "b"),
        ("1", Literal[1, "1"], 1),
        ("[]", tuple[int, ...], ()),
        ("[1, 2]", tuple[float, ...], (1.0, 2.0)),
        ("[[1], []]", tuple[tuple[int, ...], ...], ((1,), ())),
        ("[auto, true]", tuple[Auto, ...], ("auto", True)),
        ("{a: [1, no]}", Any, {"a": [1, "no"]}),
        ("3", int | float, 3),
        ("3.5", int | float, 3.5),
    ],
)
def test_a_value_of_the_right_type_is_taken(text: str, wanted: Any, expected: Any) -> None:
    found = value(text, wanted)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "wanted", "code", "message", "hint"),
    [
        ("3.5", int, Code.WRONG_TYPE, "takes an integer, got the number `3.5`", None),
        ("1e3", int, Code.WRONG_TYPE, "takes an integer, got the number `1e3`", "write 1000"),
        ("true", int, Code.WRONG_TYPE, "takes an integer, got the boolean `true`", None),
        ("20%", float, Code.WRONG_TYPE, "takes a number, got the string `20%`", "write 0.2"),
        ("{a}", str | None, Code.WRONG_TYPE, "takes a string, got a mapping", QUOTE_BRACE),
        ("'3'", int, Code.WRONG_TYPE, "takes an integer, got the string `3`", "take the quotes off: 3"),
        ("", int, Code.WRONG_TYPE, "takes an integer, got nothing", None),
        ("~", int, Code.WRONG_TYPE, "takes an integer, got `~`", None),
        ("9223372036854775808", int, Code.OUT_OF_RANGE, "must be at most 9223372036854775807", None),
        ("1" + "0" * 399, float, Code.OUT_OF_RANGE, "must be finite in 32 bits, got 1000", None),
        ("1e300", float, Code.OUT_OF_RANGE, "must be finite in 32 bits, got 1e300", None),
        (".nan", float, Code.OUT_OF_RANGE, "must be finite in 32 bits, got .nan", None),
        ("-.inf", float, Code.OUT_OF_RANGE, "must be finite in 32 bits, got -.inf", None),
        ("1e-320", float, Code.OUT_OF_RANGE, "is too near to 0 for 32 bits, got 1e-320", None),
        ("false", float, Code.WRONG_TYPE, "takes a number, got the boolean `false`", None),
        ("yes", bool, Code.WRONG_TYPE, "takes true or false, got the string `yes`", "write true"),
        ("off", bool, Code.WRONG_TYPE, "takes true or false, got the string `off`", "write false"),
        ("1", bool, Code.WRONG_TYPE, "takes true or false, got the integer `1`", None),
        ("3", str, Code.WRONG_TYPE, "takes a string, got the integer `3`", 'put it in quotes: "3"'),
        ("[a]", str, Code.WRONG_TYPE, "takes a string, got a list", None),
        ("c", Literal["cat", "dog"], Code.UNKNOWN_NAME, "takes `cat`, `dog`, got `c`", None),
        ("dgo", Literal["cat", "dog"], Code.UNKNOWN_NAME, "takes `cat`, `dog`, got `dgo`", "did you mean `dog`?"),
        ("true", Literal[1], Code.WRONG_TYPE, "takes `1`, got the boolean `true`", None),
        ("on", Auto, Code.UNKNOWN_NAME, "takes true or false or `auto`", None),
        ("3", Auto, Code.WRONG_TYPE, "takes true or false or `auto`, got the integer `3`", None),
        ("{}", int | None, Code.WRONG_TYPE, "takes an integer, got a mapping", None),
        ("3", tuple[int, ...], Code.WRONG_TYPE, "takes a list, each item an integer, got the integer `3`", "write [3]"),
        ("{}", tuple[int, ...], Code.WRONG_TYPE, "takes a list, each item an integer, got a mapping", None),
    ],
)
def test_a_value_of_a_wrong_type_says_what_is_taken(
    text: str, wanted: Any, code: Code, message: str, hint: str | None
) -> None:
    with pytest.raises(MismatchesError) as caught:
        value(text, wanted)
    (found,) = caught.value.errors
    assert (found.code, found.message.startswith(message)) == (code, True), found.message
    if hint is not None:
        assert found.help == (hint,)


def test_every_wrong_item_of_a_list_is_told_at_its_own_place() -> None:
    with pytest.raises(MismatchesError) as caught:
        value("[1, a, [2, b], true]", tuple[int, ...])
    assert [e.node.place.column for e in caught.value.errors] == [5, 8, 16]
    with pytest.raises(MismatchesError) as caught:
        value("[[1, a], [b]]", tuple[tuple[int, ...], ...])
    assert [e.node.place.column for e in caught.value.errors] == [6, 11]


def test_a_long_value_is_cut_short_in_a_message() -> None:
    with pytest.raises(MismatchesError) as caught:
        value("x" * 10_000, int)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("wanted", [int, str | None, Auto, tuple[float, ...], tuple[tuple[int, ...], ...], Any])
def test_a_type_that_a_spec_can_say_has_words(wanted: Any) -> None:
    assert can_structure(wanted)
    assert "typing" not in type_words(wanted)
    assert "class" not in type_words(wanted)


@pytest.mark.parametrize("wanted", [list[int], dict[str, int], tuple[int, str], bytes, set[int], int | list[int], None])
def test_a_type_that_a_spec_cannot_say_is_known_beforehand(wanted: Any) -> None:
    assert not can_structure(wanted)
