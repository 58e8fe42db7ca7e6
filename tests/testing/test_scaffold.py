"""A new package of any kind is complete, passes every check of its kind, and has a spec that trains."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stlm.registry.kinds import KINDS
from stlm.spec import UsageError
from stlm.testing import check_package
from stlm.testing.installed import put_metadata
from stlm.testing.scaffold import Package, kinds, write_package


def test_there_is_a_template_for_every_kind() -> None:
    assert kinds() == sorted(KINDS)


@pytest.mark.parametrize("kind", kinds())
def test_a_fresh_package_keeps_its_contract(kind: str, tmp_path: Path, install) -> None:
    name = f"stlm-fresh-{kind.replace('_', '-')}"
    install(write_package(name, kind, tmp_path))
    outcomes = list(check_package(name))
    assert [(one.check, one.why) for one in outcomes if one.result == "failed"] == []
    loaded = [(one.name, one.result) for one in outcomes if one.check == "loads"]
    assert loaded == [(Package(name, kind).name, "passed")]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tokens are kept, for all specs."""
    return tmp_path_factory.mktemp("data")


def run(folder: Path, *arguments: str) -> str:
    """Run a command in a package's folder, in a process that has it installed; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "stlm", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder.parent / "site"), str(folder)))},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", kinds())
def test_its_spec_trains_and_what_no_spec_names_is_used_on_the_run(kind: str, tmp_path: Path, data_dir: Path) -> None:
    """In a process of its own, as its author would; a few steps are enough."""
    name = f"stlm-trained-{kind.replace('_', '-')}"
    folder, component = write_package(name, kind, tmp_path), Package(name, kind).name
    put_metadata(folder, tmp_path / "site")
    settings = [
        *("trainer.max_iters=4", "trainer.warmup_iters=1", "trainer.eval.num_samples=5", "general.device=cpu"),
        *("trainer.eval.dataset_loss_eval_iters=1", f"general.paths.data_dir={data_dir}"),
    ]
    sets = [part for setting in settings for part in ("--set", setting)]
    assert re.search(r"^held-out +\d", run(folder, "train", f"{component}.yaml", *sets), re.MULTILINE)
    (trained,) = (folder / "outputs").iterdir()
    if kind == "sampler":
        assert run(folder, "generate", str(trained), "-p", "The", "--sampler", component, "--max-new-tokens", "4")
    if kind == "export":
        run(folder, "export", str(trained), "written", "--as", component)
        assert json.loads((folder / "written" / "config.json").read_text())["model_type"] == "mistral"


def test_a_mask_that_is_taken_out_is_found(tmp_path: Path, install) -> None:
    folder = write_package("stlm-unmasked", "attention", tmp_path)
    module = folder / "stlm_unmasked" / "module.py"
    source = module.read_text()
    assert "scaled_dot_product_attention(q, k, v, is_causal=True)" in source
    module.write_text(source.replace("is_causal=True", "is_causal=False"))
    install(folder)
    failed = {one.check: one.why for one in check_package("stlm-unmasked") if one.result == "failed"}
    assert "not causal: position 0 depends on position" in failed["causality"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "stlm-mine").mkdir()
    with pytest.raises(UsageError, match="exists; choose another name, or remove it first"):
        write_package("stlm-mine", "norm", tmp_path)
    assert list((tmp_path / "stlm-mine").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("probe", "`stlm-probe`, say"),
        ("stlm-Probe", "`stlm-probe`, say"),
        ("stlm_probe", "`stlm-probe`, say"),
        ("stlm-", "`stlm-name`, say"),
        ("stlm-../up", "`stlm-up`, say"),
        ("stlm-causal", "attention `causal` is there already, of stlm"),
        ("stlm-class", "its component's module would be `class`, a keyword of Python"),
        ("stlm-none", "its class would be `None`, a keyword of Python"),
    ],
)
def test_a_name_that_cannot_be_is_one_line_with_one_that_can(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_package(name, "attention", tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_installed_is_not_written_anew(tmp_path: Path, install) -> None:
    (tmp_path / "there").mkdir()
    install(write_package("stlm-fresh", "attention", tmp_path / "there"))
    with pytest.raises(UsageError, match=r"`stlm-fresh` 0\.1\.0 is installed already; choose another name"):
        write_package("stlm-fresh", "norm", tmp_path)
    assert not (tmp_path / "stlm-fresh").exists()


def test_a_kind_that_there_is_not_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean `attention`"):
        write_package("stlm-mine", "atention", tmp_path)


def test_no_word_is_left_to_fill_in(tmp_path: Path) -> None:
    for kind in kinds():
        folder = write_package(f"stlm-filled-{kind.replace('_', '-')}", kind, tmp_path)
        for file in folder.rglob("*"):
            text = file.read_text() if file.is_file() else ""
            assert "@name@" not in text
            assert "@Class@" not in text
            assert "@module@" not in text
            assert "@kind@" not in text
