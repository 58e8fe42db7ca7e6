"""Every page of the guide does what it says: its files are written and its commands run, in order, in a fresh folder.

A block is taken when a comment stands above it: ``<!-- file: NAME -->`` writes it, ``<!-- run -->`` runs it.
``<!-- run: install -->`` installs a package for the rest of the page; the test puts it on the path instead of into the
environment that it runs in.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/tutorial/*.md"), *ROOT.glob("docs/how-to/*.md")])
_BLOCK = re.compile(r"<!-- (?P<what>file|run)(?:: (?P<name>[^ ]+))? -->\n```\w+\n(?P<body>.*?)\n```", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def installed(package: Path, into: Path) -> None:
    """Do what ``pip install -e`` does for a package: its folder on the path, and its entry points in a dist-info."""
    import tomllib

    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = into / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["stlm"]
    (info / "entry_points.txt").write_text("[stlm]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    work = tmp_path / "work"
    work.mkdir()
    search = [str(site)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["what"] == "file":
            (work / block["name"]).parent.mkdir(parents=True, exist_ok=True)
            (work / block["name"]).write_text(block["body"] + "\n", encoding="utf-8")
        elif block["name"] == "install":
            package = work / re.search(r"\./(\S+)", block["body"])[1]
            installed(package, site)
            search.append(str(package))
        else:
            environment["PYTHONPATH"] = os.pathsep.join(search)
            script = ["bash", "-euo", "pipefail", "-c", block["body"]]
            done = subprocess.run(script, cwd=work, env=environment, capture_output=True, text=True, timeout=240)
            assert done.returncode == 0, f"{block['body']}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]), ids=lambda p: p.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]), ids=lambda p: p.stem)
def test_no_page_holds_a_placeholder(page: Path) -> None:
    assert "@@" not in page.read_text(encoding="utf-8")


def test_the_reference_of_components_is_current() -> None:
    from stlm.registry.reference import pages

    folder = ROOT / "docs" / "reference" / "components"
    written = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    assert written == pages(), "run `make docs`"
