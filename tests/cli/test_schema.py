"""``stlm schema``, and the schema that ``stlm init`` writes beside a spec."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from stlm.cli.shipped import SCHEMA
from stlm.registry.schema import schema
from tests.registry.installing import put_norm

Make = Callable[..., Any]


def test_stdout_is_the_schema(project: Make) -> None:
    result = project().run("schema")
    assert (result.status, result.err) == (0, "")
    assert result.json == schema()


def test_it_is_written_to_a_file_in_the_place_of_an_older_one(project: Make) -> None:
    made = project({"a.json": "older"})
    result = made.run("schema", "--output", "a.json")
    assert (result.status, result.out) == (0, "a.json\n")
    assert json.loads((made.folder / "a.json").read_text(encoding="utf-8")) == schema()
    assert [path.name for path in made.folder.iterdir()] == ["a.json"]


@pytest.mark.parametrize("file", ["nowhere/a.json", "."])
def test_a_place_where_no_file_can_be_is_a_mistake(file: str, project: Make) -> None:
    made = project()
    result = made.run("schema", "--output", file)
    assert (result.status, result.out, list(made.folder.iterdir())) == (2, "", [])
    assert file.split("/")[0] in result.err


def test_what_a_plugin_brings_is_in_it_and_torch_is_not_imported(project: Make) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-toy", "toy")
    code = (
        "import sys\nfrom stlm.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    result = made.start("schema", code=code, PYTHONPATH="site")
    assert (result.status, result.err) == (0, "False\n")
    assert "toy" in [one.get("const") for one in result.json["$defs"]["name of kind norm"]["anyOf"]]
    alone = made.start("--no-plugins", "schema", PYTHONPATH="site").json
    assert "toy" not in [one.get("const") for one in alone["$defs"]["name of kind norm"]["anyOf"]]


def test_a_spec_that_is_begun_has_its_schema_beside_it(project: Make) -> None:
    made = project({"deep/x": "", f"deep/{SCHEMA}": "older"})
    result = made.run("init", "deep/my.yaml")
    assert result.status == 0
    assert SCHEMA in result.err
    assert f"# yaml-language-server: $schema={SCHEMA}\n" in (made.folder / "deep/my.yaml").read_text(encoding="utf-8")
    assert json.loads((made.folder / "deep" / SCHEMA).read_text(encoding="utf-8")) == schema()


def test_where_no_spec_is_begun_no_schema_is_written(project: Make) -> None:
    made = project({"my.yaml": "precious"})
    assert made.run("init", "my.yaml").status == 2
    assert not (made.folder / SCHEMA).exists()
