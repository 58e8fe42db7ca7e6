"""How a row becomes a document."""

import pickle
from typing import Any
from unittest import mock

import pytest

from stlm.data.sources import memory, rows
from stlm.data.sources.rows import RowReader
from stlm.data.sources.source import Example
from stlm.spec.errors import UsageError, WorkError

PAIR = {"prompt_template": "Q: {q}\nA:", "completion_template": " {a}"}


def fails(row: dict[str, Any], **options: str) -> str:
    with pytest.raises((UsageError, WorkError)) as caught:
        RowReader(**options).document(row, "f:7")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_column_is_taken_as_it_is() -> None:
    assert RowReader("body").document({"body": " {x}\n", "text": "y"}, "f:1") == " {x}\n"


def test_a_template_writes_numbers_as_python_does() -> None:
    row = {"s": "x", "n": 3, "f": 0.1, "b": True}
    assert RowReader(template="{s} {n} {f} {b}").document(row, "f:1") == "x 3 0.1 True"


def test_two_templates_make_a_prompt_and_a_completion() -> None:
    reader = RowReader(**PAIR)
    assert reader.has_completions
    assert reader.document({"q": "why", "a": 3}, "f:1") == Example("Q: why\nA:", " 3")


def test_a_name_with_a_dot_is_a_column_or_a_value_within_one() -> None:
    reader = RowReader(template="{a.b}")
    assert reader.document({"a": {"b": "inner"}}, "f:1") == "inner"
    assert reader.document({"a": {"b": "inner"}, "a.b": "plain"}, "f:1") == "plain"
    assert RowReader("a.b").document({"a": {"b": "inner"}}, "f:1") == "inner"


def test_the_columns_are_those_that_are_asked_for_once_each() -> None:
    assert RowReader().columns == ["text"]
    assert RowReader(template="{b} {a.x} {b}").columns == ["b", "a.x"]
    assert RowReader(**PAIR).columns == ["q", "a"]


def test_of_the_columns_that_are_there_the_outermost_are_chosen() -> None:
    reader = RowReader(template="{b} {a.x} {a.y} {c.d}")
    assert reader.needed(["a", "b", "c.d", "c", "e"], "f") == ["b", "a", "c.d"]
    with pytest.raises(UsageError, match=r"f: no column `a\.x`; the columns are: `b`, `c\.d`"):
        reader.needed(["b", "c.d"], "f")


def test_a_reader_survives_pickling() -> None:
    reader = RowReader(**PAIR)
    assert pickle.loads(pickle.dumps(reader)) == reader


@pytest.mark.parametrize(
    ("row", "options", "says"),
    [
        ({"texts": "x"}, {}, "f:7: no column `text` (set `text_column`, or `template`); the columns are: `texts`; did "
         "you mean `texts`?"),
        ({"x": 1}, {"template": "{text}"}, "f:7: no column `text`; the columns are: `x`"),
        ({"text": 3}, {}, "f:7: column `text` holds a number, not a string; `template: \"{text}\"` writes it as text"),
        ({"text": True}, {}, "f:7: column `text` holds a boolean, not a string"),
        ({"text": {"b": 1, "c": 2}}, {}, "f:7: column `text` holds an object, not a string; in it there is `b`, `c`, "
         "which a template has as `{text.b}`, `{text.c}`"),
        ({"text": [{"role": "x", "by": "y"}]}, {}, "f:7: column `text` holds a list, not a string; it begins with an "
         "object with `role`, `by`; no template reaches into a list: make a column of text of it beforehand"),
        ({"a": None}, {"template": "{a}"}, "f:7: column `a` holds null, not a string or a number"),
        ({"a": [1]}, {"template": "{a}"}, "f:7: column `a` holds a list, not a string or a number; it "
         "begins with a number; no template reaches into a list: make a column of text of it beforehand"),
        ({"q": "x", "a": None}, PAIR, "f:7: column `a` holds null, not a string or a number"),
        ({"a": {"in": 1}}, {"template": "{a.inn}"}, "f:7: no `a.inn`; in `a` there is: `in`; did you mean `in`?"),
        ({"a\nb\x1b": 1}, {"template": "{t}"}, "f:7: no column `t`; the columns are: `a\\nb\\x1b`"),
        ({"a": None}, {"template": "{a.b}"}, "f:7: column `a` holds null, so there is no `a.b`"),
        ({"a": {"b": "x"}}, {"template": "{a.b.c}"}, "f:7: column `a.b` holds a string, so there is no `a.b.c`"),
    ],
)  # fmt: skip
def test_what_a_row_lacks_is_told_in_a_line(row: dict[str, Any], options: dict[str, str], says: str) -> None:
    assert fails(row, **options) == says


@pytest.mark.parametrize("options", [{}, {"template": "{text}"}])
def test_a_long_text_is_given_in_pieces(options: dict[str, str]) -> None:
    text = "word " * 3
    with mock.patch.object(rows, "LONG_CHARACTERS", 14), mock.patch.object(memory, "PIECE_CHARACTERS", 4):
        document = RowReader(**options).document({"text": text}, "f:1")
        assert list(document.pieces()) == list(document.pieces()) == ["word", " wor", "d wo", "rd "]
        assert RowReader(**options).document({"text": text[:14]}, "f:1") == text[:14]


def test_each_option_is_told_by_the_fingerprint() -> None:
    readers = [
        *(RowReader(), RowReader("body"), RowReader(template="{text}"), RowReader(template="{text} ")),
        *(RowReader(**PAIR), RowReader(prompt_template=" {q}", completion_template="{a}")),
    ]
    assert len({repr(reader.options()) for reader in readers}) == len(readers)
