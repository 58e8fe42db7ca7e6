"""The guide's walk from an empty folder to a trained attention stays short; that it works, tests/docs walks it."""

import re
from pathlib import Path

from stlm.testing.reference import page

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"<!-- (?P<what>file|run)(?:: [^ ]+)? -->\n```\w+\n(?P<body>.*?)\n```", re.DOTALL)


def lines_of(what: str) -> list[str]:
    text = (DOCS / "how-to" / "write-a-plugin.md").read_text(encoding="utf-8")
    return [line for b in _BLOCK.finditer(text) if b["what"] == what for line in b["body"].splitlines() if line.strip()]


def test_it_takes_ten_commands_at_most() -> None:
    commands = lines_of("run")
    assert len(commands) <= 10
    assert commands[0].startswith("stlm plugins new")
    assert commands[-1].startswith("stlm train")


def test_it_takes_sixty_lines_of_own_code_at_most() -> None:
    assert 0 < len(lines_of("file")) <= 60


def test_the_page_of_the_checks_is_current() -> None:
    written = (DOCS / "reference" / "conformance.md").read_text(encoding="utf-8")
    assert written == page(), "run `make docs`"
