"""What modules may have, as it is told to those who write them."""

import re
from pathlib import Path

import pytest

import stlm
from stlm.registry.kinds import KINDS
from stlm.registry.module_acts import OF_ANY, OF_KIND
from stlm.registry.reference import pages

ROOMS = ("nn", "training", "compiler", "generation", "evaluation", "testing/kits")


@pytest.mark.parametrize("act", sorted({*OF_ANY, *(act for acts in OF_KIND.values() for act in acts)}))
def test_what_a_module_may_have_is_asked_for_somewhere(act: str) -> None:
    """An act that nobody asks for any more would go on being promised."""
    files = (file for room in ROOMS for file in (Path(stlm.__file__).parent / room).rglob("*.py"))
    asked = re.compile(rf"(getattr|hasattr|stands_for|takes_branches)\([^()]*\"{act}\"|\.{act}\b")
    assert any(asked.search(file.read_text(encoding="utf-8")) for file in files)


def test_the_acts_of_a_kind_are_of_one_that_builds_modules_and_stand_on_its_page() -> None:
    written = pages()
    for kind, acts in OF_KIND.items():
        assert KINDS[kind].gives_module
        for act in acts:
            assert f"- What it returns may have `{act}`: " in written[f"{kind}.md"]
    for act in OF_ANY:
        assert f"| `{act}` | " in written["modules.md"]
