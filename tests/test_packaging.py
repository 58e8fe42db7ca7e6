"""What is built is what is promised: the wheel holds the package, its data, its entry points and the shipped specs."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_wheel_holds_the_package_its_data_its_entry_points_and_the_shipped_specs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        points = archive.read(f"stlm-{PROJECT['version']}.dist-info/entry_points.txt").decode()
    assert {f"stlm/specs/{path.name}" for path in (ROOT / "specs").glob("*.yaml")} <= names
    read = [path for kind in ("*.py", "*.jsonl", "*.md", "*.txt") for path in (ROOT / "stlm").rglob(kind)]
    assert {str(path.relative_to(ROOT)) for path in read} <= names
    for ours in ("stlm/components/benchmark/shipped/stlm_eval_hellaswag.jsonl", "stlm/evaluation/passages/README.md"):
        assert ours in names
    for name in PROJECT["entry-points"]["stlm"]:
        assert f"\n{name} = " in points


def test_every_entry_point_leads_to_the_file_of_its_name() -> None:
    """A newcomer finds a component's file by its name in the spec (an alias and a path aside)."""
    for name, target in PROJECT["entry-points"]["stlm"].items():
        kind, _, component = name.partition(".")
        module = target.partition(":")[0]
        if re.fullmatch(r"[a-z_0-9]+", component):
            assert module == f"stlm.components.{kind}.{component}"
        else:
            assert module.startswith(f"stlm.components.{kind}.")


def test_every_requirement_has_a_lower_bound_that_is_tested() -> None:
    lowest = dict(
        line.split("==")
        for line in (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    for requirement in PROJECT["dependencies"]:
        name, bound = requirement.split(">=")
        if name != "torch":  # its lower bound is read off its documentation; see pyproject.toml
            tested = [int(n) for n in lowest[name].split(".")]
            promised = [int(n) for n in bound.split(".")]
            assert tested[: len(promised)] == promised, name
