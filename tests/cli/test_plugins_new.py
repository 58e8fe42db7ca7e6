"""`stlm plugins new`."""

import json
import sys

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from stlm.cli.shipped import SCHEMA
from stlm.registry.manager import installed
from stlm.testing.scaffold import kinds


def test_a_package_is_written_and_its_next_steps_are_told(project, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # as Python is started, mostly
    here = project()
    done = here.run("plugins", "new", "stlm-probe", "--kind", "attention")
    assert (done.status, done.out) == (0, "")
    assert "pip install -e ./stlm-probe, then stlm plugins check stlm-probe" in done.err
    written = sorted(str(p.relative_to(here.folder / "stlm-probe")) for p in here.folder.rglob("*") if p.is_file())
    assert sys.dont_write_bytecode is False
    assert written == [
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "probe.yaml",
        "pyproject.toml",
        "stlm.schema.json",
        "stlm_probe/__init__.py",
        "stlm_probe/module.py",
        "stlm_probe/probe.py",
        "tests/test_contract.py",
    ]


def test_what_is_there_is_not_overwritten(project):
    here = project({"stlm-probe/mine.txt": "mine"})
    done = here.run("plugins", "new", "stlm-probe", "--kind", "attention")
    assert (done.status, done.out) == (2, "")
    assert done.err == "error: `stlm-probe` exists; choose another name, or remove it first\n"
    assert [p.name for p in (here.folder / "stlm-probe").iterdir()] == ["mine.txt"]


def test_a_bad_name_and_a_bad_kind_are_one_line(project):
    done = project().run("plugins", "new", "probe", "--kind", "attention")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "`stlm-probe`, say" in done.err
    done = project().run("plugins", "new", "stlm-probe", "--kind", "atention")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "did you mean `attention`?" in done.err


@pytest.mark.parametrize("kind", kinds())
def test_editors_find_no_mistake_in_its_spec_before_it_is_installed(project, kind):
    here, name = project(), f"edited_{kind}"
    done = here.run("plugins", "new", f"stlm-{name.replace('_', '-')}", "--kind", kind)
    assert done.status == 0, done.err
    folder = here.folder / f"stlm-{name.replace('_', '-')}"
    text = (folder / f"{name}.yaml").read_text()
    assert f"# yaml-language-server: $schema={SCHEMA}" in text.partition("model:")[0].splitlines()
    validator = Draft202012Validator(json.loads((folder / SCHEMA).read_text()))
    assert [error.message for error in validator.iter_errors(YAML(typ="safe").load(text))] == []
    assert SCHEMA in (folder / ".gitignore").read_text().splitlines()
    assert name not in installed().names(kind)
