"""Every page of the guide does what it says: its files are written and its commands run, in order, in a fresh folder.

What stands on a page and what a test does with it: see `tests.docs.pages`.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from stlm.cli.main import cli
from tests.docs.pages import COMMANDS, GUIDE, NOT_RUN, PAGES, ROOT, blocks, is_run

_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
_INLINE = re.compile(r"(?<!`)`((?:[A-Z_]+=\S+ )*stlm [a-z][^`\n]*)`")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT).with_suffix(""))


@pytest.mark.parametrize("page", [page for page in PAGES if is_run(page)], ids=named)
def test_a_page_does_what_it_says(page: Path, follow: Callable[[Path], Path]) -> None:
    follow(page)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_command_is_run_or_the_page_says_why_not(page: Path) -> None:
    for block in blocks(page):
        place = f"{named(page)}:{block.line}"
        if block.language in COMMANDS:
            assert block.what, f"{place} is neither run, nor marked as what cannot be"
        if block.what == "not run":
            assert block.says in NOT_RUN, f"{place} is not run for a reason of its own: {block.says}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_is_not_run_can_be_read_by_a_shell(page: Path) -> None:
    for block in blocks(page):
        if block.what == "not run" and block.language in ("sh", "bash"):
            done = subprocess.run(["bash", "-n"], input=block.body, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{named(page)}:{block.line} {done.stderr}"
            for script in re.findall(r"python (\S+\.py)", block.body):
                assert (ROOT / script).exists(), script


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_in_the_text_are_those_of_the_command_line(page: Path) -> None:
    for command in _INLINE.findall(page.read_text(encoding="utf-8")):
        words = shlex.split(command.replace("'", "") if command.count("'") % 2 else command)
        words = words[words.index("stlm") + 1 :]
        found: click.Command = cli
        while isinstance(found, click.Group) and words and not words[0].startswith("-"):
            context = click.Context(found)
            inner = [found.get_command(context, name) for name in words.pop(0).split("|")]  # `list|show` in a table
            assert None not in inner, f"{named(page)}: no such command: `{command}`"
            found = inner[0]
        known = {flag for option in found.params for flag in option.opts} | {"--help", "--traceback"}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{named(page)}: no flag {word} in `{command}`"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_page_holds_a_placeholder(page: Path) -> None:
    assert "@@" not in page.read_text(encoding="utf-8")


def test_the_reference_of_components_is_current() -> None:
    from stlm.registry.reference import pages

    folder = ROOT / "docs" / "reference" / "components"
    written = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    assert written == pages(), "run `make docs`"


def test_every_page_of_the_guide_can_be_found_from_the_first() -> None:
    seen, wanted = set(), [ROOT / "docs" / "index.md"]
    while wanted:
        page = wanted.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            wanted += [
                Path(os.path.normpath(page.parent / to)) for to in _LINK.findall(page.read_text(encoding="utf-8"))
            ]
    assert seen.issuperset(GUIDE)
