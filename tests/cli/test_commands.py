"""Each command of the front end: what it prints, and what its JSON holds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stlm.cli.shipped import folder, names
from stlm.registry import load_spec

Make = Callable[..., Any]


# check


def test_check_says_ok_with_the_digest(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    result = made.run("check", "a.yaml")
    assert result.out == f"a.yaml: ok  {load_spec(made.folder / 'a.yaml').digest[:19]}\n"
    assert result.err == ""
    assert made.run("check", "a.yaml", "--json").json == {"ok": True, "diagnostics": []}


def test_check_prints_every_mistake_with_its_line_and_their_number(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text.replace("hidden_dim: 32", "hidden_dmi: 32").replace("16", "-16")})
    result = made.run("check", "a.yaml")
    assert result.out == ""
    assert result.err.splitlines()[:3] == [
        "a.yaml:8:3: error[unknown-key]: section `model` has no key `hidden_dmi`",
        "      hidden_dmi: 32",
        "      ^^^^^^^^^^",
    ]
    assert result.err.splitlines()[-1] == "2 mistakes"


def test_check_as_json_is_one_document_whatever_is_wrong(project: Make, spec_text: str) -> None:
    made = project({"good.yaml": spec_text, "bad.yaml": "model: [\n", "worse.yaml": b"\xff\x00"})
    result = made.run("check", "good.yaml", "bad.yaml", "worse.yaml", "gone.yaml", "--json")
    assert (result.status, result.err) == (2, "")
    assert result.json["ok"] is False
    assert [d["file"] for d in result.json["diagnostics"]] == ["bad.yaml", "worse.yaml", "gone.yaml"]
    for found in result.json["diagnostics"]:
        assert set(found) == {"file", "line", "column", "key", "code", "message", "help"}
        assert min(found["line"], found["column"]) >= 1


def test_check_takes_overrides_and_places_their_mistakes(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    assert made.run("check", "a.yaml", "--set", "model.hidden_dim=64").status == 0
    result = made.run("check", "a.yaml", "--set", "model.hidden_dim=x", "--json")
    assert [d["file"] for d in result.json["diagnostics"]] == ["--set model.hidden_dim"]


def test_check_reads_the_source_of_a_runs_folder(project: Make, spec_text: str) -> None:
    made = project({"run/source.yaml": spec_text, "run/spec.yaml": "broken: ["})
    assert made.run("check", "run").status == 0


# init


@pytest.mark.parametrize("name", names())
def test_a_copy_of_a_shipped_spec_passes_from_any_directory(name: str, project: Make) -> None:
    made = project({"elsewhere/x": ""})
    made.folder = made.folder / "elsewhere"
    assert made.run("init", "my.yaml", "--like", name).status == 0
    assert made.run("check", "my.yaml").status == 0
    copy, shipped = (load_spec(p) for p in (made.folder / "my.yaml", folder() / f"{name}.yaml"))
    assert copy == shipped
    assert f"specs/{name}.yaml" not in (made.folder / "my.yaml").read_text(encoding="utf-8")


def test_init_never_overwrites(project: Make) -> None:
    made = project({"my.yaml": "precious"})
    result = made.run("init", "my.yaml")
    assert (result.status, (made.folder / "my.yaml").read_text()) == (2, "precious")
    assert "`my.yaml` exists" in result.err


def test_init_writes_spec_yaml_where_no_name_is_given_and_lists_what_there_is(project: Make) -> None:
    made = project()
    assert made.run("init").status == 0
    assert made.run("check", "spec.yaml").status == 0
    listed = made.run("init", "--list").out
    assert [line.split()[0] for line in listed.splitlines()] == names()


@pytest.mark.parametrize("path", sorted(folder().glob("*.yaml")), ids=lambda p: p.stem)
def test_a_shipped_spec_explains_itself(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert load_spec(path).digest


# explain


def explained(made: Any, *arguments: str) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in made.run("explain", *arguments, "--json").json}


def test_explain_tells_where_a_value_came_from(project: Make, spec_text: str) -> None:
    made = project({"base.yaml": spec_text, "a.yaml": "extends: base.yaml\nmodel:\n  hidden_dim: 64\n"})
    rows = explained(made, "a.yaml", "--set", "model.num_layers=3")
    assert (rows["model.hidden_dim"]["file"], rows["model.hidden_dim"]["line"]) == ("a.yaml", 3)
    assert (rows["model.context_window"]["file"], rows["model.context_window"]["line"]) == ("base.yaml", 9)
    assert (rows["model.num_layers"]["from"], rows["model.num_layers"]["value"]) == ("override", 3)
    assert rows["model.norm_eps"]["from"] == "default"
    assert rows["model.attn.head_dim"]["from"] == "derived"
    assert rows["model.attn.head_dim"]["sources"] == {"model.hidden_dim": 64, "model.attn.num_q_heads": 2}


def test_explain_prints_one_value_or_a_mapping(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    assert made.run("explain", "a.yaml", "model.hidden_dim").out == "model.hidden_dim = 32  written at a.yaml:8:15\n"
    result = made.run("explain", "a.yaml", "model.attn.head_dim")
    assert result.out.splitlines() == [
        "model.attn.head_dim = 16  worked out as `hidden_dim` / `num_q_heads`, "
        "from `model.hidden_dim`, `model.attn.num_q_heads`",
        "    model.hidden_dim = 32",
        "    model.attn.num_q_heads = 2",
    ]
    assert len(made.run("explain", "a.yaml", "model.attn").out.splitlines()) > 8
    assert "did you mean `model.hidden_dim`" in made.run("explain", "a.yaml", "model.hiden_dim").err


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain words", "plain words"),
        ("'12'", '"12"'),
        ("'null'", '"null"'),
        ("'a: b'", '"a: b"'),
        ('"two\\nlines"', '"two\\nlines"'),
        ("' '", '" "'),
        ("café", "café"),
    ],
)
def test_explain_shows_a_string_on_one_line_as_yaml_would_read_it(
    project: Make, spec_text: str, written: str, shown: str
) -> None:
    made = project({"a.yaml": spec_text})
    key = "general.logging.wandb_run_name"
    out = made.run("explain", "a.yaml", key, "--set", f"{key}={written}").out
    assert out.startswith(f"{key} = {shown}  set by")
    assert len(out.splitlines()) == 1


# compile


def test_compile_prints_the_report_as_tables_or_json(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    text = made.run("compile", "a.yaml", "--dry-run").out
    report = made.run("compile", "a.yaml", "--dry-run", "--json").json
    assert f"{report['parameters']['total']:,}" in text
    assert report["run_name"] in text
    assert "exports as nothing; in the way of" in text
    assert "line 11, `model.attn" in text or "line 6, `model.positional_encoding_type`" in text or "line 12" in text


def test_compile_shows_the_canonical_spec(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    canonical = made.run("compile", "a.yaml", "--show-spec").out
    made.write({"b.yaml": canonical})
    assert made.run("compile", "b.yaml", "--show-spec").out == canonical
    assert made.run("compile", "a.yaml", "--show-spec", "--json").json["model"]["hidden_dim"] == 32


def test_compile_for_a_device_that_is_not_there_is_a_mistake(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text.replace("device: cpu", "device: cuda:99")})
    result = made.run("compile", "a.yaml")
    assert result.status == 2
    assert result.err.startswith("a.yaml:13:11: error[device]: the device `cuda:99` is not there")


# plugins


def test_plugins_are_listed_by_kind(project: Make) -> None:
    out = project().run("plugins", "list").out
    assert "attention\n" in out
    assert "(also GPT-2)" in out


def test_a_plugin_is_shown_with_its_options_defaults_and_rules(project: Make) -> None:
    made = project()
    out = made.run("plugins", "show", "attention", "causal").out
    assert "num_kv_heads: an integer, greater than 0 (required)" in out
    assert "(default `hidden_dim` / `num_q_heads`)" in out
    assert "rule: " in out
    shown = made.run("plugins", "show", "attention", "causal", "--json").json
    assert json.dumps(shown)
    assert shown["name"] == "causal"
