"""Templates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stlm.data.sources.template import Template, mistake_in


def filled(template: str, **values: str) -> str:
    return Template.parse(template).fill(values.__getitem__)


def test_a_name_in_braces_stands_for_a_value_and_two_braces_for_one() -> None:
    assert filled("Q: {q}\n{{A}}: {a}{q}", q="why", a="so") == "Q: why\n{A}: sowhy"


def test_a_value_is_not_a_template() -> None:
    assert filled("{a}", a="{b} {{") == "{b} {{"


@given(st.text(), st.text(), st.text())
def test_text_with_its_braces_written_twice_comes_back(before: str, value: str, after: str) -> None:
    escaped = [text.replace("{", "{{").replace("}", "}}") for text in (before, after)]
    assert filled("{x}".join(escaped), x=value) == before + value + after


def test_columns_may_have_blanks_signs_and_inner_names() -> None:
    template = Template.parse("{the question?} {a.b.c}")
    assert list(template.columns) == ["the question?", "a.b.c"]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{", "written twice"),
        ("a}", "written twice"),
        ("{}", "`{}` names no column"),
        ("{ }", "`{}` names no column"),
        ("{a!r}", "`{a!r}` says how to write a value, which a template cannot; write `{a}`"),
        ("{a:>3}", "`{a:>3}` says how to write a value"),
        ("{a:{b}}", "says how to write a value"),
        ("{a[0]}", "`{a[0]}` is no column's name"),
        ("{a.}", "`{a.}` is no column's name"),
        ("{.a}", "`{.a}` is no column's name"),
        ("no column", "names no column, so that all rows would become the same"),
        ("", "names no column"),
    ],
)
def test_what_is_no_template_is_said_in_a_line(template: str, says: str) -> None:
    mistake = mistake_in("template", template)
    assert mistake is not None
    assert says in mistake
    assert "\n" not in mistake


def test_a_text_that_is_always_the_same_may_be_allowed() -> None:
    assert mistake_in("prompt_template", "Write a story.", may_be_constant=True) is None
    assert mistake_in("prompt_template", None) is None
