"""A list under `trainer.dataset`, as commands read and tell it."""

import json
from collections.abc import Callable

import pytest

from tests.conftest import TINY, Project

ROWS = "\n".join(json.dumps({"text": f"The cat saw {i} owls and slept {i % 7} times."}) for i in range(200))
BODIES = ROWS.replace('"text"', '"body"').replace("cat", "hen")
MEMBERS = """
    - ./rows.jsonl
    - name: ./bodies.jsonl
      weight: 3
      text_column: body
"""
SPEC = TINY.format(text="rows.jsonl", out="out", data="data").replace("  dataset: rows.jsonl\n", f"  dataset:{MEMBERS}")


@pytest.fixture
def here(project: Callable[..., Project]) -> Project:
    """A folder with two data sets and a spec that mixes them."""
    return project({"spec.yaml": SPEC, "rows.jsonl": ROWS, "bodies.jsonl": BODIES})


def test_checking_and_preparing_a_mixture_import_no_torch(here: Project) -> None:
    code = (
        "import sys\nfrom stlm.cli.main import main\nfor command in ('check', 'prepare'):\n"
        "    try:\n        main([command, 'spec.yaml'])\n"
        "    except SystemExit as end:\n        assert not end.code, end.code\n"
        "    assert not {'torch', 'transformers', 'datasets'} & set(sys.modules), command"
    )
    done = here.start(code=code)
    assert done.status == 0, done.err


def test_a_mistake_in_an_item_is_placed_in_the_file(here: Project) -> None:
    here.write({"spec.yaml": SPEC.replace("text_column: body", "text_colum: body")})
    line = next(i for i, text in enumerate(SPEC.splitlines(), 1) if "text_column: body" in text)
    assert here.run("check", "spec.yaml", "--json").diagnostics == [("unknown-key", line, 7)]


def test_a_value_of_an_item_is_explained_by_its_path(here: Project) -> None:
    assert "trainer.dataset.1.weight = 3.0" in here.run("explain", "spec.yaml", "trainer.dataset").out
    (row,) = here.run("explain", "spec.yaml", "trainer.dataset.1.weight", "--json").json
    assert (row["value"], row["from"]) == (3.0, "file")


def test_an_override_replaces_the_list(here: Project) -> None:
    override = "trainer.dataset=[{name: ./rows.jsonl, weight: 2}]"
    rows = here.run("explain", "spec.yaml", "trainer.dataset", "--json", "--set", override).json
    assert {row["path"]: row["value"] for row in rows}["trainer.dataset.0.weight"] == 2.0
    assert not any(row["path"].startswith("trainer.dataset.1") for row in rows)


def test_the_trainer_says_that_it_takes_a_list(here: Project) -> None:
    assert "or a list: [{name: …, weight: …}, …]" in here.run("plugins", "show", "base_trainer").out


def test_preparing_tells_of_each_data_set_and_finds_it_again(here: Project) -> None:
    first = here.start("prepare", "spec.yaml", "--json")
    said, again = first.json, here.run("prepare", "spec.yaml", "--json").json
    assert [(one["name"], one["share"]) for one in said["members"]] == [("rows.jsonl", 0.25), ("bodies.jsonl", 0.75)]
    assert "75.0% from `bodies.jsonl`" in first.err
    assert (said.pop("reused"), again.pop("reused")) == (False, True)
    assert said == again
    assert here.run("prepare", "spec.yaml").out.startswith(f"folder      {said['folder']}\n")


def test_a_list_of_one_data_set_is_told_as_one(here: Project) -> None:
    err = here.start("prepare", "spec.yaml", "--set", "trainer.dataset=[./rows.jsonl]").err
    assert "tokens of 1 data set: " in err


def test_a_missing_file_of_a_mixture_is_told_at_its_item(here: Project) -> None:
    here.write({"spec.yaml": SPEC.replace("./bodies.jsonl", "./nothing.jsonl")})
    line = next(i for i, text in enumerate(SPEC.splitlines(), 1) if "./bodies.jsonl" in text)
    done = here.run("prepare", "spec.yaml")
    assert done.status == 2
    assert f"spec.yaml:{line}:7: error" in done.err


def test_a_column_that_a_member_lacks_is_told_at_its_item(here: Project) -> None:
    here.write({"spec.yaml": SPEC.replace("text_column: body", "text_column: boddy")})
    line = next(i for i, text in enumerate(SPEC.splitlines(), 1) if "text_column: body" in text)
    done = here.run("prepare", "spec.yaml")
    assert done.status == 2
    assert f"spec.yaml:{line}:7: error" in done.err
    assert "`body`" in done.err
