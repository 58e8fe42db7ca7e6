"""A package as a whole: what is wrong with it is one line, and what another package claims too is looked at as its."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stlm.registry import importing
from stlm.registry.manager import look_again
from stlm.spec import UsageError
from stlm.testing import check_package
from stlm.testing.installed import installed_from
from stlm.testing.packages import OF_ALL, components_of_package, contested, faults_of_package
from stlm.testing.scaffold import write_package
from tests.registry.installing import NORM, put_norm, put_package


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, in which packages are put."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    look_again()


def why(package: str) -> str:
    """The one line that is told of a package; nothing further is."""
    look_again()
    (outcome,) = check_package(package, only=["shapes"])
    assert outcome.result == "failed"
    return f"{outcome.kind} {outcome.name} {outcome.check}: {outcome.why}"


def test_one_that_needs_another_contract_is_not_looked_at_further(site: Path) -> None:
    put_norm(site, "stlm-ahead", "ahead", None, **{"contract.9": "stlm.registry"})
    says = (
        "package stlm-ahead contract: it needs version 9 of stlm's plugin contract, and stlm 0.1.0 has 1; upgrade stlm"
    )
    assert why("stlm-ahead").startswith(says)


def test_entries_that_mean_nothing_are_told(site: Path) -> None:
    put_package(site, "stlm-odd", {"norm": "stlm_odd:Toy"})
    assert why("stlm-odd") == "package stlm-odd entry-points: its entry `norm` means nothing: an entry is KIND.NAME"


def test_entries_that_cannot_be_read_are_told(site: Path) -> None:
    put_package(site, "stlm-garbled", b"\xff\xfe[stlm\n")
    look_again()
    (fault,) = faults_of_package("stlm-garbled")
    assert (fault.check, "cannot be read" in fault.why) == ("entry-points", True)


def test_the_checks_of_a_whole_package_can_be_asked_for(site: Path) -> None:
    put_norm(site, "stlm-fine", "fine")
    look_again()
    (outcome,) = check_package("stlm-fine", only=["entry-points"])
    assert (outcome.kind, outcome.name, outcome.check, outcome.result) == (
        "package",
        "stlm-fine",
        "entry-points",
        "passed",
    )
    told = [(one.check, one.result) for one in check_package("stlm-fine", only=["loads", "contract"])]
    assert told == [("contract", "passed"), ("loads", "passed")]


def test_a_check_that_is_about_none_of_its_components_is_refused(site: Path) -> None:
    put_norm(site, "stlm-fine", "fine")
    look_again()
    with pytest.raises(UsageError, match="`goes-back` is a check of components of other kinds"):
        list(check_package("stlm-fine", only=["goes-back"]))


def test_one_that_cannot_be_imported_is_told_whichever_check_is_asked_for(site: Path) -> None:
    put_norm(site, "stlm-sad", "sad", "raise RuntimeError('no luck')")
    told = why("stlm_sad")
    assert told.startswith("norm sad loads: `norm.sad` of stlm-sad")
    assert "RuntimeError: no luck" in told


def test_one_whose_import_never_ends_is_given_up(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "PATIENCE_SECONDS", 0.2)
    put_norm(site, "stlm-slow", "slow", "import time; time.sleep(30)")
    assert "it is not done after 0.2 seconds" in why("stlm-slow")


def test_a_name_that_stlm_has_too_is_looked_at_as_the_packages(site: Path) -> None:
    put_norm(
        site,
        "stlm-thief",
        "rms_norm",
        NORM.format(name="rms_norm").replace("...", "return __import__('torch').nn.Identity()"),
    )
    look_again()
    assert components_of_package("stlm-thief") == [("norm", "rms_norm@stlm-thief")]
    told = {one.check: one.result for one in check_package("stlm-thief", only=["loads", "canonical", "shapes"])}
    assert told == {"entry-points": "failed", "loads": "passed", "canonical": "passed", "shapes": "passed"}


def test_a_name_that_another_package_has_fails_and_says_how_specs_choose(site: Path) -> None:
    put_norm(site, "stlm-one", "plain")
    put_norm(site, "stlm-other", "plain")
    put_norm(site, "stlm-fine", "fine")
    look_again()
    for package, other in (("stlm-one", "stlm-other"), ("stlm-other", "stlm-one")):
        (told,) = check_package(package, only=["entry-points"])
        assert (told.kind, told.check, told.result) == ("package", "entry-points", "failed")
        assert told.why.startswith(f"{other} has norm `plain` too: ")
        assert told.why.endswith(f"must say whose it is, as `plain@{package}`")
    assert contested("stlm-fine") == []
    put_norm(site, "stlm-thief", "rms_norm")
    look_again()
    assert contested("stlm") == []


def test_a_component_that_the_bench_itself_uses_may_be_claimed(tmp_path: Path, site: Path) -> None:
    folder = write_package("stlm-mine", "attention", tmp_path)
    for file in (folder / "pyproject.toml", folder / "stlm_mine" / "mine.py"):
        file.write_text(
            file.read_text().replace('attention.mine"', 'attention.causal"').replace('"mine")', '"causal")')
        )
    with installed_from(folder, tmp_path / "more"):
        told = {one.check: one.why for one in check_package("stlm-mine", only=["canonical", "causality"])}
    assert {check: why for check, why in told.items() if check != "entry-points"} == {"canonical": "", "causality": ""}


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("stlmm", "no package `stlmm` that brings components is installed; did you mean `stlm`?"),
        ("numpy", "`numpy` is installed and brings no component: its pyproject.toml has no entry under"),
        ("stlm-here", "`stlm-here` is a folder; install it with `pip install -e stlm-here`, and check it by its name"),
        ("stlm-off", "`stlm-off` is not looked at: STLM_DISABLE_PLUGINS=stlm-off disables it"),
        ("", "no package `` that brings components is installed"),
    ],
)
def test_one_that_brings_nothing_is_a_mistake_of_one_line(
    package: str, says: str, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_norm(site, "stlm-off", "off")
    write_package("stlm-here", "norm", site)
    monkeypatch.setenv("STLM_DISABLE_PLUGINS", "stlm-off")
    monkeypatch.chdir(site)
    look_again()
    with pytest.raises(UsageError) as caught:
        list(check_package(package))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_checks_of_a_whole_package_are_described() -> None:
    assert all(doc.endswith(".") for doc in OF_ALL.values())
