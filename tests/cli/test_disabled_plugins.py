"""``STLM_DISABLE_PLUGINS`` and ``--no-plugins``: stlm without some packages, or without any."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from stlm.cli.shipped import folder
from tests.registry.installing import put_norm

Make = Callable[..., Any]

SPEC = str(folder() / "quickstart.yaml")
ONE = ("check", SPEC, "--set", "model.lm_head_normalization=one")
TWO = ("check", SPEC, "--set", "model.lm_head_normalization=two")


@pytest.fixture
def made(project: Make) -> Any:
    """A folder beside which two packages are installed."""
    folder_of = project()
    put_norm(folder_of.folder / "site", "stlm-one", "one")
    put_norm(folder_of.folder / "site", "stlm_two", "two")
    return folder_of


@pytest.mark.parametrize("disabled", ["stlm-one", "STLM.One", "stlm_one, stlm-three"])
def test_a_package_is_disabled_by_its_name_and_the_others_are_not(disabled: str, made: Any) -> None:
    here = {"PYTHONPATH": "site", "STLM_DISABLE_PLUGINS": disabled}
    assert made.start(*TWO, **here).status == 0
    result = made.start(*ONE, **here)
    assert result.status == 2
    assert "error[plugin]: there is no norm `one` while stlm-one, which brings it, is disabled" in result.err
    assert f"help: STLM_DISABLE_PLUGINS={disabled} disables it" in result.err


@pytest.mark.parametrize("way", ["all", "flag"])
def test_all_packages_are_disabled_but_stlm(way: str, made: Any) -> None:
    flag, here = (("--no-plugins",), {}) if way == "flag" else ((), {"STLM_DISABLE_PLUGINS": "all"})
    for arguments in (ONE, TWO, (*ONE[:3], "model.lm_head_normalization=one@stlm-one")):
        result = made.start(*flag, *arguments, PYTHONPATH="site", **here)
        assert result.status == 2
        assert "is disabled" in result.err
        assert "help: STLM_DISABLE_PLUGINS=all (`--no-plugins`) disables it" in result.err
    assert made.start(*flag, "check", SPEC, PYTHONPATH="site", **here).status == 0
    rows = made.start(*flag, "plugins", "list", "--json", PYTHONPATH="site", **here).json
    assert {row["plugin"] for row in rows} == {"stlm"}


def test_the_listing_says_what_is_disabled(made: Any) -> None:
    listed = made.start("plugins", "list", PYTHONPATH="site", STLM_DISABLE_PLUGINS="stlm-one")
    assert "\n  one " not in listed.out
    assert "\n  two " in listed.out
    assert "disabled by STLM_DISABLE_PLUGINS=stlm-one: stlm-one 1.0 (norm.one)" in listed.err


def test_every_command_warns_of_a_disabled_name_that_no_package_has(made: Any) -> None:
    checked = made.start("check", SPEC, PYTHONPATH="site", STLM_DISABLE_PLUGINS="stlm-onne")
    assert checked.status == 0
    assert "names `stlm-onne`, which is not installed; did you mean `stlm-one`?\n" in checked.err
    assert "warning" not in made.start("check", SPEC, PYTHONPATH="site", STLM_DISABLE_PLUGINS="STLM_one").err


def test_stlm_itself_cannot_be_disabled(made: Any) -> None:
    result = made.start("check", SPEC, STLM_DISABLE_PLUGINS="stlm")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert result.err.startswith("error: STLM_DISABLE_PLUGINS names stlm itself")


def test_a_disabled_name_is_no_claim(made: Any) -> None:
    put_norm(made.folder / "site", "stlm-three", "one")
    assert "claimed twice" in made.start(*ONE, PYTHONPATH="site").err
    assert made.start(*ONE, PYTHONPATH="site", STLM_DISABLE_PLUGINS="stlm-three").status == 0


def test_the_flag_holds_for_one_command(project: Make) -> None:
    before = os.environ.get("STLM_DISABLE_PLUGINS")
    assert project().run("--no-plugins", "check", SPEC).status == 0
    assert os.environ.get("STLM_DISABLE_PLUGINS") == before
