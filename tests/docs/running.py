"""Doing what a page says, block by block, in a folder of its own."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks
from tests.docs.served import write_scripts

_BASH = ["bash", "-euo", "pipefail"]


class Folder:
    """Where a page's commands are run: the files that it writes, what it installs, and the data that pages share."""

    def __init__(self, place: Path, data: Path, server: Path) -> None:
        self.work, self.site, self.commands, self.server = place / "work", place / "site", place / "bin", server
        for folder in (self.work, self.site, self.commands):
            folder.mkdir(parents=True)
        write_scripts(self.commands, server, "stlm", "python", "torchrun")
        (self.work / "data").symlink_to(data)
        self.search = [str(self.site)]

    def follow(self, page: Path) -> None:
        """Do what a page says."""
        for block in blocks(page):
            self.do(block, f"{page.relative_to(ROOT)}:{block.line}")

    def do(self, block: Block, place: str) -> None:
        """Do what a block says, or the mark above it."""
        match block.what, block.says:
            case "file", name:
                (self.work / name).parent.mkdir(parents=True, exist_ok=True)
                (self.work / name).write_text(block.body + "\n", encoding="utf-8")
            case "run", "install":
                self.install(re.findall(r"(?<= )\./\S+", block.body))
                rest = "\n".join(line for line in block.body.splitlines() if not line.startswith("pip install "))
                if rest:
                    self.run(_BASH, rest, place)
            case "run", how:
                script = ["python"] if block.language == "python" else _BASH
                self.run(script, block.body, place, shortened=how == "shortened")
            case "set up", command if command.startswith("pip install"):
                self.install(re.findall(r"\./\S+", command))
            case "set up", command:
                self.run(_BASH, command, place, shortened=True)
            case "prints", command:
                told = self.run(["bash"], f"{command} || true", place)
                assert block.body.strip() in told, f"{place}: `{command}` prints\n{told}"
            case "", _ if block.language == "yaml":
                (self.work / "part.yaml").write_text(block.body + "\n", encoding="utf-8")
                base = ROOT / "specs" / "quickstart.yaml"
                (self.work / "whole.yaml").write_text(f"extends: [{base}, part.yaml]\n", encoding="utf-8")
                self.run(_BASH, "stlm check whole.yaml", place)

    def run(self, command: list[str], text: str, place: str, *, shortened: bool = False) -> str:
        """Run a script and give what it prints; a traceback is a failure whatever the status."""
        done = subprocess.run(
            [*command, "-c", text],
            cwd=self.work,
            env=self.environment(shortened),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{place}\n{text}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{place}\n{text}\n{done.stderr}"
        return done.stdout + done.stderr

    def environment(self, shortened: bool) -> dict[str, str]:
        """The environment: this Python's commands first, what the page has installed, and no network."""
        found = [str(self.commands), str(Path(sys.executable).parent), os.environ["PATH"]]
        search = [*self.search, *filter(None, [os.environ.get("PYTHONPATH")])]
        paths = {"PATH": os.pathsep.join(found), "PYTHONPATH": os.pathsep.join(search)}
        asked = {"SHORTENED": "1"} if shortened else {}
        return {**os.environ, **paths, **asked, "HF_HUB_OFFLINE": "1", "WORKERS": "0"}

    def install(self, packages: list[str]) -> None:
        """Do what ``pip install -e`` does: a package's folder on the path, and its entry points in a dist-info."""
        assert packages
        for name in packages:
            package = next(p for p in (self.work / name, ROOT / name) if (p / "pyproject.toml").exists())
            project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            for needed in (re.match(r"[\w.-]+", one)[0] for one in project.get("dependencies", [])):
                if not any(importlib.metadata.distributions(name=needed)):
                    pytest.skip(f"{needed}, which {project['name']} needs, is not installed")
            info = self.site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
            info.mkdir()
            head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
            (info / "METADATA").write_text(head, encoding="utf-8")
            points = project.get("entry-points", {}).get("stlm", {})
            lines = ["[stlm]", *(f"{key} = {value}" for key, value in points.items())]
            (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            self.search.append(str(package))

    def take(self, other: Path) -> None:
        """Begin with what another folder holds, the shared data aside."""
        for path in other.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, self.work / path.name, symlinks=True, dirs_exist_ok=True)
            elif path.name != "data":
                shutil.copy2(path, self.work / path.name)

    def lay_out(self, package: Path) -> None:
        """Begin with the specs of a package, where the package's folder is the directory and where the clone's is."""
        for folder in (self.work, self.work / package.relative_to(ROOT)):
            folder.mkdir(parents=True, exist_ok=True)
            for beside in (*package.glob("*.yaml"), *package.glob("*.jsonl")):
                shutil.copy2(beside, folder)

    def clone(self) -> None:
        """Begin with what `make` wants of a clone: the environment is this one, and the tests are one that passes."""
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy2(ROOT / name, self.work)
        shutil.copytree(ROOT / "specs", self.work / "specs")
        for package in ROOT.glob("plugins/*/pyproject.toml"):
            (self.work / package.parent.relative_to(ROOT)).mkdir(parents=True)
            shutil.copy2(package, self.work / package.relative_to(ROOT))
        (self.work / "tests").mkdir()
        (self.work / "tests" / "test_nothing.py").write_text(
            "def test_nothing() -> None:\n    pass\n", encoding="utf-8"
        )
        (self.work / ".venv" / "bin").mkdir(parents=True)
        write_scripts(self.work / ".venv" / "bin", self.server, "python")
        (self.work / ".venv" / "bin" / "activate").touch()
        (self.work / ".venv" / "installed").touch()
