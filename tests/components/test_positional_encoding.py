"""Where an encoding acts, as its component says it: of each that is installed, and of those of a third party."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stlm.compiler import compile
from stlm.components.positional_encoding.options import EVERYWHERE, acts_on
from stlm.registry.manager import installed
from stlm.testing import installed_from

ACTS = {"at_input": "input", "on_qk": "qk", "on_heads": "qk"}
TOML = """
[project]
name = "theirs"
version = "1"
[project.entry-points.stlm]
"positional_encoding.quiet" = "theirs_encodings:Quiet"
"positional_encoding.waves" = "theirs_encodings:Waves"
"""
CODE = '''
from stlm.registry import component

@component("positional_encoding", "quiet")
class Quiet:
    """Says nothing."""
    def build(self, model):
        """Build it."""

@component("positional_encoding", "waves")
class Waves:
    """Says where."""
    acts_on = ("input",)
    def build(self, model):
        """Build it."""
'''


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[None]:
    """A package of a third party with two encodings."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "pyproject.toml").write_text(TOML)
    (tmp_path / "package" / "theirs_encodings.py").write_text(CODE)
    with installed_from(tmp_path / "package", tmp_path / "site"):
        yield
    with contextlib.suppress(KeyError):
        del sys.modules["theirs_encodings"]


def names() -> list[str]:
    return [found.selector for found in installed().all_of("positional_encoding")]


@pytest.mark.parametrize("name", names())
def test_an_encoding_acts_where_it_says(tiny_spec, name):
    module = compile(tiny_spec(f"model.positional_encoding_type={name}"), "meta").model.positional_encoding
    assert {where for act, where in ACTS.items() if hasattr(module, act)} == set(acts_on(name))


def test_the_four_of_stlm_act_in_three_ways():
    assert [acts_on(name) for name in ("none", "learned", "sincos", "rope", "rope@stlm")] == [
        *((), ("input",), ("input",), ("qk",), ("qk",))
    ]


def test_one_of_a_third_party_acts_where_it_says_and_everywhere_where_it_says_nothing(theirs):
    assert (acts_on("waves"), acts_on("quiet")) == (("input",), EVERYWHERE)


def test_one_that_is_not_there_may_act_everywhere():
    assert acts_on("no such encoding") == EVERYWHERE
