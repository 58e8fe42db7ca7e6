"""A plugin that is broken hurts nobody who does not use it, and says what is wrong with it where somebody does."""

from collections.abc import Callable
from typing import Any

import pytest

from stlm.cli.shipped import folder
from tests.registry.installing import put_norm, put_package

Make = Callable[..., Any]

SPEC = str(folder() / "quickstart.yaml")
CHOSEN = "model.lm_head_normalization=toy"
BROKEN = {
    "raise RuntimeError('no luck')": "RuntimeError: no luck",
    "def (:": "SyntaxError",
    "import sys; sys.exit(3)": "SystemExit: 3",
    "import a_library_that_nobody_has": "No module named 'a_library_that_nobody_has'",
    "Toy = 3": "it is not a class under @component",
    "Two = 3": "has no attribute 'Toy'",
    "raise BaseException": "BaseException",
    "class Mute(Exception):\n    def __str__(self): raise RuntimeError\nraise Mute": "Mute",
}
NOWHERE = ("what is this?", ":", "stlm_toy:", "no such/module:Toy")
"""Where an entry cannot lead."""
MEANINGLESS = ("norm", "norm.", ".toy", "toy-norm")
"""Names of entries that are not a kind and a name."""
IMPATIENT = """
import sys
from stlm.cli.main import main
from stlm.registry import importing
importing.PATIENCE_SECONDS = 0.5
main(sys.argv[1:])
"""


@pytest.mark.parametrize("text", BROKEN)
def test_a_module_that_cannot_be_imported_is_told_where_it_is_chosen(text: str, project: Make) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-toy", "toy", text)
    chosen = made.start("check", SPEC, "--set", CHOSEN, PYTHONPATH="site")
    assert chosen.status == 2
    assert "error[plugin]: `norm.toy` of stlm-toy (stlm_toy:Toy)" in chosen.err
    assert BROKEN[text] in chosen.err


def test_all_of_them_together_hurt_no_spec_that_chooses_none_of_them(project: Make) -> None:
    made = project()
    for number, text in enumerate(BROKEN):
        put_norm(made.folder / "site", f"stlm-toy{number}", f"toy{number}", text)
    for number, target in enumerate(NOWHERE):
        put_package(made.folder / "site", f"stlm-lost{number}", {f"norm.lost{number}": target})
    for number, name in enumerate(MEANINGLESS):
        put_package(made.folder / "site", f"stlm-odd{number}", {name: "stlm_odd:Toy"})
    put_norm(made.folder / "site", "stlm-half", "half", "raise ImportError")
    (made.folder / "site" / "stlm_half-1.0.dist-info" / "METADATA").unlink()
    result = made.start("check", SPEC, PYTHONPATH="site")
    assert result.status == 0, result.err
    listed = made.start("plugins", "list", "norm", PYTHONPATH="site")
    assert listed.status == 0, listed.err
    assert listed.out.count("cannot be used: ") == len(BROKEN) + len(NOWHERE) + 1
    assert "`norm.half` of an unknown package (stlm_half:Toy)" in listed.out
    for name in MEANINGLESS:
        assert f"has an entry `{name}` that means nothing: an entry is KIND.NAME" in listed.err


TALKS = """
import torch
from stlm.registry import component

print("IMPORTED")


@component("norm", "toy")
class Toy:
    \"\"\"A norm that talks.\"\"\"

    def build(self, model, dim):
        print("BUILT")
        return torch.nn.Identity()
"""


@pytest.mark.parametrize("command", [("check",), ("compile", "--dry-run"), ("schema",), ("plugins", "list")])
def test_what_a_package_prints_is_no_part_of_a_commands_result(command: tuple[str, ...], project: Make) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-toy", "toy", TALKS)
    of_a_spec = (SPEC, "--set", CHOSEN) if command[0] in ("check", "compile") else ()
    as_json = () if command == ("schema",) else ("--json",)
    done = made.start(*command, *of_a_spec, *as_json, PYTHONPATH="site")
    assert done.status == 0, done.err
    assert done.json
    assert "IMPORTED" in done.err
    assert ("BUILT" in done.err) == (command[0] == "compile")


def test_an_entry_of_a_kind_that_is_nearly_one_is_told_in_listings(project: Make) -> None:
    made = project()
    put_package(made.folder / "site", "stlm-odd", {"attnetion.foo": "stlm_odd:Foo", "zoo.keeper": "stlm_odd:Keeper"})
    listed = made.start("plugins", "list", "attention", PYTHONPATH="site")
    assert listed.status == 0
    assert listed.err.splitlines() == ["stlm-odd has an entry of a kind `attnetion`; did it mean `attention`?"]


@pytest.mark.parametrize("text", ["import time\nwhile True: time.sleep(1)", "while True: pass"])
def test_an_import_that_is_never_done_is_given_up_by_those_who_did_not_choose_it(text: str, project: Make) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-toy", "toy", text)
    assert made.start("check", SPEC, PYTHONPATH="site").status == 0
    mistaken = made.start("check", SPEC, "--set", "model.nrom_eps=1.0", code=IMPATIENT, PYTHONPATH="site")
    assert mistaken.status == 2
    assert "did you mean `norm_eps`?" in mistaken.err
    listed = made.start("plugins", "list", "norm", code=IMPATIENT, PYTHONPATH="site")
    assert listed.status == 0
    assert "cannot be used: `norm.toy` of stlm-toy (stlm_toy:Toy) cannot be imported: it is not done" in listed.out
    assert "rms_norm" in listed.out


@pytest.mark.parametrize("target", NOWHERE)
def test_an_entry_that_leads_nowhere_is_told_where_it_is_chosen(target: str, project: Make) -> None:
    made = project()
    put_package(made.folder / "site", "stlm-toy", {"norm.toy": target})
    chosen = made.start("check", SPEC, "--set", CHOSEN, PYTHONPATH="site")
    assert chosen.status == 2
    assert "error[plugin]: `norm.toy` of stlm-toy" in chosen.err


@pytest.mark.parametrize("text", [b"[stlm]\nno entry at all\n", b"[stlm]\nnorm.toy = caf\xe9\n"])
def test_entry_points_that_cannot_be_read_leave_those_of_others(text: bytes, project: Make) -> None:
    made = project()
    put_package(made.folder / "site", "stlm-toy", text)
    put_norm(made.folder / "site", "stlm-other", "other")
    result = made.start("check", SPEC, "--set", "model.lm_head_normalization=other", PYTHONPATH="site")
    assert result.status == 0, result.err
    assert "the entry points of stlm-toy cannot be read" in made.start("plugins", "list", PYTHONPATH="site").err


def test_a_name_that_two_packages_claim_is_told_with_both_and_resolved_by_the_full_name(project: Make) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-one", "toy")
    put_norm(made.folder / "site", "stlm-two", "toy")
    claimed = made.start("check", SPEC, "--set", CHOSEN, PYTHONPATH="site")
    assert claimed.status == 2
    assert "error[conflict]: norm `toy` is claimed twice" in claimed.err
    assert "`norm.toy` of stlm-one (stlm_one:Toy)" in claimed.err
    assert "`norm.toy` of stlm-two (stlm_two:Toy)" in claimed.err
    assert "help: write `toy@stlm-one`" in claimed.err
    picked = made.start("compile", SPEC, "--show-spec", "--set", f"{CHOSEN}@stlm-two", PYTHONPATH="site")
    assert picked.status == 0, picked.err
    assert "lm_head_normalization: toy@stlm-two" in picked.out


# Versions of the contract


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        (("2",), "needs version 2 of stlm's plugin contract, and stlm"),
        (("0",), "needs version 0 of stlm's plugin contract, and stlm"),
        (("one",), "states the contract `contract.one`, which is no number"),
    ],
)
def test_a_plugin_of_another_contract_is_told_where_it_is_chosen_and_not_imported(
    stated: tuple[str, ...], says: str, project: Make
) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-toy", "toy", "raise SystemExit", **contracts(*stated))
    chosen = made.start("check", SPEC, "--set", CHOSEN, PYTHONPATH="site")
    assert chosen.status == 2
    assert f"error[plugin]: `norm.toy` of stlm-toy (stlm_toy:Toy) {says}" in chosen.err
    assert "SystemExit" not in chosen.err
    listed = made.start("plugins", "list", "norm", PYTHONPATH="site")
    assert f"cannot be used: `norm.toy` of stlm-toy (stlm_toy:Toy) {says}" in listed.out


@pytest.mark.parametrize("stated", [(), ("1",), ("1", "2")])
def test_a_plugin_of_this_contract_is_used(stated: tuple[str, ...], project: Make) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-toy", "toy", **contracts(*stated))
    put_norm(made.folder / "site", "stlm-new", "new", **contracts("2"))
    chosen = made.start("check", SPEC, "--set", CHOSEN, PYTHONPATH="site")
    assert chosen.status == 0, chosen.err


def test_the_contract_is_no_kind(project: Make) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-toy", "toy", **contracts("1"))
    kinds = {row["kind"] for row in made.start("plugins", "list", "--json", PYTHONPATH="site").json}
    assert "norm" in kinds
    assert "contract" not in kinds


def contracts(*numbers: str) -> dict[str, str]:
    return {f"contract.{number}": "stlm.registry" for number in numbers}
