"""``stlm export`` and ``stlm import`` as a user runs them: what they print, and what is left where they cannot end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interchange.models import GPT2, LLAMA, save_tokenizer, spec_of, stored_run, theirs

Make = Callable[..., Any]


@pytest.fixture
def run(tiny_text: Path, tmp_path: Path) -> Path:
    """The folder of a run that can be exported."""
    return stored_run(spec_of(LLAMA, tiny_text), tmp_path / "run")


@pytest.fixture
def hf(tmp_path: Path) -> Path:
    """A folder as transformers writes it, with a tokenizer."""
    theirs("GPT2").save_pretrained(tmp_path / "hf")
    save_tokenizer(tmp_path / "hf")
    return tmp_path / "hf"


def left(folder: Path) -> list[str]:
    """What is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


# What they print


def test_export_tells_the_architecture_the_difference_and_the_folder(project: Make, run: Path) -> None:
    result = project().run("export", "run", "out")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].startswith("architecture  LlamaForCausalLM, ")
    assert lines[1].startswith("logits        at most ")
    assert lines[2] == f"folder        {run.parent / 'out'}"
    assert left(run.parent / "out") == [
        *("README.md", "config.json", "generation_config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    ]


def test_json_is_one_document_either_way(project: Make, run: Path) -> None:
    made = project()
    out = made.run("export", "run", "out", "--json", "--dtype", "float16").json
    keys = ["run", "step", "folder", "export", "architecture", "parameters", "dtype", "max_difference", "tokenizer"]
    assert list(out) == [*keys, "notes"]
    assert (out["step"], out["dtype"], out["tokenizer"], out["notes"]) == (7, "float16", True, [])
    back = made.run("import", "out", "back", "--json").json
    assert list(back) == [
        "run",
        "folder",
        "export",
        "architecture",
        "parameters",
        "max_difference",
        "tokenizer",
        "notes",
    ]
    assert (back["run"], back["folder"]) == (str(run.parent / "back"), "out")


def test_an_imported_run_serves_the_other_commands(project: Make, hf: Path) -> None:
    made = project()
    assert made.run("import", "hf", "back").status == 0
    assert made.run("check", "back/spec.yaml", "back").status == 0
    assert "exports as GPT2LMHeadModel" in made.run("compile", "back", "--dry-run").out
    assert made.run("explain", "back", "model.hidden_dim").out.startswith(
        "model.hidden_dim = 24  written at back/source"
    )
    assert made.run("generate", "back", "-p", "the cat", "--max-new-tokens", "2", "--device", "cpu").status == 0
    result = made.run("train", "back")
    assert result.status == 2
    assert "error[missing-key]: this spec has no `trainer` section" in result.err


def test_what_has_no_tokenizer_says_so_on_stderr_and_whoever_needs_it_gets_one_line(project: Make, hf: Path) -> None:
    for file in hf.glob("tokenizer*"):
        file.unlink()
    made = project()
    result = made.run("import", "hf", "back", "--json")
    assert result.json["tokenizer"] is False
    assert result.err.startswith("imported without a tokenizer")
    result = made.run("generate", "back", "-p", "x", "--device", "cpu")
    assert result.status in (1, 2)
    assert "holds no tokenizer" in result.err
    result = made.run("export", "back", "out")
    assert result.status == 0
    assert result.err.startswith("written without a tokenizer")


# Mistakes


def test_a_spec_that_is_none_of_them_is_one_error_with_each_key_and_its_line(
    project: Make, tiny_text: Path, tmp_path: Path
) -> None:
    stored_run(spec_of(GPT2, tiny_text, "model.attn.qk_norm=rms_norm", "model.lm_head_bias=true"), tmp_path / "run")
    result = project().run("export", "run", "out")
    assert result.status == 2
    first, *others = [line for line in result.err.splitlines() if line.startswith(("run/spec.yaml", "help: "))]
    assert "error[rule]: no export can write this model, GPT2LMHeadModel least far off; 2 keys are in the way" in first
    assert [line.partition(": `")[2].partition("`")[0] for line in others[:-1]] == [
        "model.attn.qk_norm",
        "model.lm_head_bias",
    ]
    assert all(line.startswith("help: run/spec.yaml:") for line in others[:-1])


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("export", "nothing", "out"), "`nothing` is not there"),
        (("export", "run", "run"), "`run` is not empty"),
        (("export", "run", "run/spec.yaml"), "`run/spec.yaml` is a file"),
        (("export", "run", "out", "--as", "lama"), "there is no export `lama`; did you mean `llama`?"),
        (("export", "run", "out", "--dtype", "float8"), "`float8` is no type to write weights in"),
        (("export", "run", "out", "--checkpoint", "step-3"), "has no checkpoint `step-3`"),
        (("import", "run", "out"), "`run` is no model folder of Hugging Face's: it has no `config.json`"),
        (("import", "someone/something", "out"), "`hf download someone/something` puts it there"),
        (("import", "./nothing", "out"), "`./nothing` is no folder"),
        (("import", "run", "run"), "`run` is not empty"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(project: Make, run: Path, command: Any, says: str) -> None:
    result = project().run(*command)
    assert (result.status, result.out) == (2, "")
    assert says in result.err
    assert result.err.count("error") == 1
    assert left(run.parent) == ["run"]


def test_a_place_that_cannot_be_written_is_one_line(project: Make, run: Path) -> None:
    result = project().run("export", "run", "run/spec.yaml/out")
    assert result.status == 1
    assert result.err.startswith("error: cannot ")
    assert len(result.err.splitlines()) == 1


# What does not end: in processes of their own, which import torch and transformers and so take seconds


LIMITED = """
import resource, signal, sys
import stlm.experiments.convert
limit = int(sys.argv.pop(1))
sys.dont_write_bytecode = True  # half a file of it would stay
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from stlm.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("act", ["export", "import"])
def test_a_full_disk_leaves_nothing(project: Make, run: Path, hf: Path, act: str) -> None:
    result = project().start("9000", act, "run" if act == "export" else "hf", "out", code=LIMITED)
    assert result.status == 1
    assert "error: cannot write `" in result.err
    assert "Traceback" not in result.err
    assert left(run.parent) == ["hf", "run"]


STOPPED = """
import sys
from stlm.interchange import verify
import stlm.interchange.export, stlm.experiments.convert as convert

def wait(*arguments):
    print("here", flush=True)
    sys.stdin.read()

stlm.interchange.export.check_logits = wait
write, convert.write_checkpoint = convert.write_checkpoint, lambda *a, **k: (write(*a, **k), wait())
from stlm.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("act", "how"), [("export", signal.SIGKILL), ("import", signal.SIGKILL), ("export", signal.SIGINT)]
)
def test_what_is_killed_while_it_writes_leaves_nothing_under_the_name_and_can_be_done_again(
    project: Make, run: Path, hf: Path, act: str, how: signal.Signals
) -> None:
    source, work = ("run" if act == "export" else "hf"), run.parent
    command = [sys.executable, "-c", STOPPED, act, source, "out"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=work, env=dict(os.environ), **pipes) as process:
        assert process.stdout.readline() == b"here\n"
        assert any(path.name.startswith(".out.") for path in work.iterdir()), "it is being written"
        busy = project().run(act, source, "out")
        assert (busy.status, busy.err) == (2, f"error: another process is writing `{work / 'out'}`\n")
        process.send_signal(how)
        process.wait(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert not (work / "out").exists()
    if how == signal.SIGINT:
        assert left(work) == ["hf", "run"]
    assert project().run(act, source, "out").status == 0
    assert left(work) == ["hf", "out", "run"]
