"""What the shell offers, asked as bash asks: by words and the number of the one that is being written."""

from collections.abc import Callable
from typing import Any

import pytest

from stlm.cli.shipped import names
from stlm.registry.manager import installed
from tests.registry.installing import put_norm

Make = Callable[..., Any]


def offered(made: Any, line: str, **environment: str) -> set[str]:
    """The words that are offered for the last one of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    result = made.start(_STLM_COMPLETE="bash_complete", **words, **environment)
    assert result.err == ""
    return {one.partition(",")[2] for one in result.out.splitlines() if one}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stlm sch", {"schema"}),
        ("stlm plugins list atte", {"attention"}),
        ("stlm plugins show attention ", set(installed().names("attention"))),
        ("stlm plugins show optimizer Ad", {"AdamW"}),
        ("stlm plugins show rop", {"rope"}),
        ("stlm init my.yaml --like ", set(names())),
        ("stlm plugins show nothing ", set()),
    ],
)
def test_what_may_stand_there_is_offered(line: str, words: set[str], project: Make) -> None:
    assert offered(project(), line) == words


def test_what_a_plugin_brings_is_offered_and_not_imported(project: Make) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-toy", "toy", "raise SystemExit")
    assert "toy" in offered(made, "stlm plugins show norm ", PYTHONPATH="site")
