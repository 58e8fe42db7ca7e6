"""A new package of any kind is complete, passes every check of its kind, and has a spec that trains."""

import json
import re
import shutil
from pathlib import Path

import pytest

from stlm.registry.kinds import KINDS
from stlm.spec import UsageError
from stlm.testing import check_package, scaffold
from stlm.testing.scaffold import Package, kinds, write_package
from tests.conftest import Project


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
    """Run a command in a package's folder; returns what it printed."""
    done = Project(folder, {}).run(*arguments)
    assert done.status == 0, done.err
    return done.out


@pytest.mark.parametrize("kind", kinds())
def test_its_spec_trains_and_what_no_spec_names_is_used_on_the_run(
    kind: str, tmp_path: Path, data_dir: Path, install
) -> None:
    """A few steps are enough; that an author's own process does the same, tests/docs walks."""
    name = f"stlm-trained-{kind.replace('_', '-')}"
    folder, component = write_package(name, kind, tmp_path), Package(name, kind).name
    install(folder)
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
        ("stlm-1", "`stlm-name`, say"),
        ("stlm-2-fast", "`stlm-fast`, say"),
        ("stlm-~", "`stlm-name`, say"),
        ("stlm-Class", "`stlm-my-class`, say"),
        ("stlm-causal", "attention `causal` is there already, of stlm"),
        ("stlm-class", "its component's module would be `class`, a keyword of Python"),
        ("stlm-none", "its class would be `None`, a keyword of Python"),
        ("stlm-true", "its class would be `True`, a keyword of Python"),
        ("stlm-null", "YAML does not read `null` as a text"),
        ("stlm-module", "its component's file would be `module.py`, which holds what it builds"),
        ("stlm-conftest", "its component's file would be `conftest.py`, which pytest takes for its own"),
        ("stlm-any", "its class would be `Any`, which its file imports under that name"),
        ("stlm-module", "a letter first, joined by `-`: `stlm-my-module`, say"),
    ],
)
def test_a_name_that_cannot_be_is_one_line_with_one_that_can(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_package(name, "attention", tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", kinds())
def test_the_name_that_is_said_instead_can_be(kind: str, tmp_path: Path) -> None:
    for name in ("stlm-1", "stlm-null", "stlm-module", "stlm-any", "stlm-", "class"):
        with pytest.raises(UsageError) as caught:
            write_package(name, kind, tmp_path)
        said = str(caught.value).rpartition("`, say")[0].rpartition("`")[2]
        assert (write_package(said, kind, tmp_path) / "pyproject.toml").is_file()
        shutil.rmtree(tmp_path / said)


def test_no_component_takes_the_name_of_another_file_of_its_template(tmp_path: Path) -> None:
    beside = {
        Path(file).stem
        for kind in kinds()
        for file in scaffold.files(Package("stlm-mine", kind))
        if file.startswith("stlm_mine/") and Path(file).stem not in ("mine", "__init__")
    }
    assert beside == {"module"}
    for name in beside:
        with pytest.raises(UsageError, match=f"its component's file would be `{name}.py`"):
            write_package(f"stlm-{name}", "hook", tmp_path)


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
