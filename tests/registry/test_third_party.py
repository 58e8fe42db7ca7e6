"""A package of somebody else's, installed by pip beside stlm: its component is there, and stlm knows nothing of it."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parent / "packages" / "stlm-window"
SPEC = """\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  positional_encoding_type: rope
  tokenizer_type: gpt2
  hidden_dim: 32
  context_window: 16
  num_layers: 2
  attn: {attn_type: causal, num_kv_heads: 4, head_dim: 8}
  ffn: {ffn_type: generic, ffn_dim: 64}
"""
WINDOW = "{attn_type: window, num_heads: 4, window: 5}"
QKV_AND_OUT = 2 * (3 * 32 * 32 + 32 * 32)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed_beside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """An environment of its own that sees the packages of this one, with the third-party package installed by pip."""
    folder = tmp_path_factory.mktemp("third-party")
    pip = ["--without-pip"] if find_spec("pip") else []
    subprocess.run([sys.executable, "-m", "venv", *pip, str(folder / "env")], check=True, timeout=120)
    python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    here = sysconfig.get_path("purelib")
    (Path(site) / "beside.pth").write_text(f"import site; site.addsitedir({here!r})\n")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        return subprocess.run(
            [str(python), *command], cwd=folder, env=clean, capture_output=True, text=True, timeout=300, check=False
        )

    source = str(PACKAGE) if find_spec("hatchling") else str(hand_made_wheel(folder))
    done = run("-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", "--quiet", source)
    assert done.returncode == 0, done.stderr
    return folder, run


def hand_made_wheel(folder: Path) -> Path:
    """The wheel that a build backend would make, for environments without one."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    points = "".join(f"{name} = {target}\n" for name, target in project["entry-points"]["stlm"].items())
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    files = {
        "stlm_window.py": (PACKAGE / "stlm_window.py").read_text(),
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/entry_points.txt": f"[stlm]\n{points}",
    }
    sums = {name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for name, text in files.items()}
    record = "".join(f"{name},sha256={s.rstrip(b'=').decode()},{len(files[name])}\n" for name, s in sums.items())
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{stem}.dist-info/RECORD": f"{record}{stem}.dist-info/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return wheel


def stlm(run: Run, *arguments: str) -> Any:
    done = run("-m", "stlm", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write(folder: Path, attn: str) -> str:
    (folder / "spec.yaml").write_text(SPEC.replace("{attn_type: causal, num_kv_heads: 4, head_dim: 8}", attn))
    return "spec.yaml"


def test_a_spec_that_uses_it_is_checked(installed_beside: tuple[Path, Run]) -> None:
    folder, run = installed_beside
    assert stlm(run, "check", write(folder, WINDOW)) == {"ok": True, "diagnostics": []}


def test_its_options_and_rules_are_held_to_like_any_others(installed_beside: tuple[Path, Run]) -> None:
    folder, run = installed_beside
    spec = write(folder, "{attn_type: window, num_heads: 5, windw: 3}")
    found = json.loads(run("-m", "stlm", "check", spec, "--json").stdout)["diagnostics"]
    assert [(d["code"], d["line"], d["column"]) for d in found] == [("rule", 11, 40), ("unknown-key", 11, 43)]
    assert "did you mean `window`?" in found[1]["help"]


def test_it_is_listed_and_shown_with_its_distribution(installed_beside: tuple[Path, Run]) -> None:
    _, run = installed_beside
    (row,) = (r for r in stlm(run, "plugins", "list", "attention") if r["name"] == "window")
    assert (row["plugin"], row["version"]) == ("stlm-window", "0.3.1")
    shown = stlm(run, "plugins", "show", "attention", "window")
    assert [o["key"] for o in shown["options"]] == ["num_heads", "window", "normalization"]
    assert "[stlm-window 0.3.1]" in run("-m", "stlm", "plugins", "list", "attention").stdout


def test_it_is_compiled_counted_and_named_in_the_report(installed_beside: tuple[Path, Run]) -> None:
    folder, run = installed_beside
    report = stlm(run, "compile", write(folder, WINDOW), "--dry-run")
    assert {"kind": "attention", "name": "window", "plugin": "stlm-window", "version": "0.3.1"} in report["components"]
    attention = sum(n for path, n in report["parameters"]["by_module"].items() if path.endswith(("qkv", "out_proj")))
    assert attention == QKV_AND_OUT
    assert report["exports_as"] is None
    assert ("model.attn.attn_type", 11) in {(b["key"], b["line"]) for b in report["export_blockers"]}


def test_without_it_the_name_is_unknown(project: Callable[..., Any]) -> None:
    spec = SPEC.replace("attn_type: causal", "attn_type: window")
    result = project({"spec.yaml": spec}).run("check", "spec.yaml")
    assert result.status == 2
    assert "there is no attention `window`" in result.err
