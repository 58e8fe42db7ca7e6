"""The command line as a whole: statuses, streams, and surroundings that are not kind to it."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]

LOADED = """
import sys
from stlm.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print("loaded", *sorted({m.partition(".")[0] for m in sys.modules} & {"torch", "numpy", "transformers", "datasets",
        "wandb", "tokenizers", "tiktoken", "rich", "triton"}), file=sys.stderr)
"""


def loaded(made: Any, *arguments: str) -> set[str]:
    """The heavy libraries that a command imported."""
    result = made.start(*arguments, code=LOADED)
    assert result.status == 0, result.err
    return set(result.err.splitlines()[-1].split()[1:])


def test_a_good_spec_is_0_and_a_bad_one_is_2(project: Make, spec_text: str) -> None:
    made = project({"good.yaml": spec_text, "bad.yaml": "model: {}\n"})
    assert made.run("check", "good.yaml").status == 0
    assert made.run("check", "bad.yaml").status == 2
    assert made.run("check", "good.yaml", "bad.yaml").status == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("check", "--no-such-option"),
        ("check", "nothing.yaml"),
        ("check", "."),
        ("compile", "nothing.yaml"),
        ("chekc", "good.yaml"),
        ("--wrong",),
        ("init", "a.yaml", "--like", "nothing"),
        ("init", "nowhere/a.yaml"),
        ("explain", "good.yaml", "model.nothing"),
        ("plugins", "show", "attention", "nothing"),
        ("plugins", "list", "nothing"),
    ],
    ids=" ".join,
)
def test_what_the_user_got_wrong_is_2_and_says_so_on_stderr(
    arguments: tuple[str, ...], project: Make, spec_text: str
) -> None:
    result = project({"good.yaml": spec_text}).run(*arguments)
    assert result.status == 2
    assert result.out == ""
    assert "error" in result.err
    assert "Traceback" not in result.err


def test_no_arguments_at_all_are_a_mistake_with_help(project: Make) -> None:
    result = project().run()
    assert (result.status, result.out) == (2, "")
    assert "stlm check my.yaml" in result.err
    assert result.err.startswith("Usage: stlm")


def test_a_shell_can_complete_commands(project: Make) -> None:
    result = project().start(_STLM_COMPLETE="bash_complete", COMP_WORDS="stlm che", COMP_CWORD="1")
    assert result.out.splitlines() == ["plain,check"]


def test_an_unknown_command_names_the_nearest(project: Make) -> None:
    assert "did you mean `check`?" in project().run("chekc").err


def test_help_and_version_are_0_and_on_stdout(project: Make) -> None:
    made = project()
    for arguments in (("--help",), ("-h",), ("check", "--help"), ("--version",), ("plugins", "list", "-h")):
        result = made.run(*arguments)
        assert (result.status, result.err) == (0, "")
        assert result.out


def test_every_command_has_help_with_an_example_or_a_sentence(project: Make) -> None:
    from stlm.cli.main import _COMMANDS

    for name in _COMMANDS:
        result = project().run(name, "--help")
        assert result.status == 0, name
        assert len(result.out.splitlines()) > 5, name


def test_an_error_of_our_own_is_1_without_a_traceback_unless_asked_for(
    project: Make, spec_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stlm.cli.check

    def fail(*_: Any) -> None:
        raise RuntimeError("our own\nfault")

    monkeypatch.setattr(stlm.cli.check, "load_spec", fail)
    made = project({"a.yaml": spec_text})
    quiet, loud = made.run("check", "a.yaml"), made.run("--traceback", "check", "a.yaml")
    assert (quiet.status, loud.status) == (1, 1)
    assert quiet.err.splitlines()[0] == "error: RuntimeError: our own fault"
    assert "Traceback" not in quiet.err
    assert "Traceback (most recent call last)" in loud.err
    assert "Traceback" in made.run("check", "a.yaml", "--traceback").err
    monkeypatch.setenv("STLM_TRACEBACK", "1")
    assert "Traceback" in made.run("check", "a.yaml").err


@pytest.mark.parametrize(("raised", "status"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left"), 1)])
def test_an_interrupt_is_130_and_a_full_disk_1(
    raised: BaseException, status: int, project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stlm.cli.check

    def fail(*_: Any) -> None:
        raise raised

    monkeypatch.setattr(stlm.cli.check, "load_spec", fail)
    result = project().run("check", "a.yaml")
    assert result.status == status
    assert "Traceback" not in result.err


@pytest.mark.skipif(os.name == "nt", reason="needs a pipe that closes")
@pytest.mark.parametrize(
    "command", ["plugins list", "explain a.yaml", "compile a.yaml --dry-run", "plugins list --json"]
)
def test_a_reader_that_leaves_is_no_error(command: str, project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    read, write = os.pipe()
    os.close(read)  # the reader has left before the first line
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "stlm", *command.split()],
            cwd=made.folder,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_streams_are_no_error(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text, "b.yaml": "x: 1\n"})
    for closed, spec, status in ((0, "a.yaml", 0), (1, "a.yaml", 0), (2, "a.yaml", 0), (2, "b.yaml", 2)):
        python = shlex.quote(sys.executable)
        script = f"exec {python} -m stlm check {spec} {'<' if closed == 0 else closed}{'>' if closed else ''}&-"
        done = subprocess.run(
            ["sh", "-c", script.replace("<>", "<")], cwd=made.folder, capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, b"Traceback" in done.stderr + done.stdout) == (status, False), (script, done)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no device that is always full")
def test_a_full_disk_under_stdout_is_told_in_one_line(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    command = [sys.executable, "-m", "stlm", "compile", "a.yaml", "--dry-run"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=made.folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: cannot write to stdout: No space left on device\n")


@pytest.mark.parametrize(
    "environment",
    [
        {"LANG": "C", "LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"NO_COLOR": "1", "COLUMNS": "20"},
        {"COLUMNS": "0"},
        {"COLUMNS": "many"},
        {"TERM": "dumb", "COLUMNS": "1"},
        {"HOME": "/nowhere", "XDG_CACHE_HOME": "/nowhere"},
    ],
    ids=str,
)
def test_no_locale_or_terminal_breaks_it(environment: dict[str, str], project: Make, spec_text: str) -> None:
    made = project({"ü.yaml": spec_text.replace("gpt2", "gpt2 # ünï → 中"), "bad.yaml": "mödel: 1 → 2\n"})
    bad = made.start("check", "bad.yaml", **environment)
    assert (bad.status, "Traceback" in bad.err) == (2, False)
    for command in ("check ü.yaml", "plugins list", "compile ü.yaml --dry-run", "init new-→.yaml"):
        result = made.start(*command.split(), **environment)
        assert result.status == 0, (command, result.err)
        (made.folder / "new-→.yaml").unlink(missing_ok=True)


def test_no_escape_codes_are_written_where_nobody_sees_colors(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    for command in ("plugins list", "compile a.yaml --dry-run", "plugins show attention causal"):
        assert "\x1b" not in made.start(*command.split()).out


def test_the_front_end_imports_nothing_heavy(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    assert loaded(made, "check", "a.yaml") == set()
    assert loaded(made, "explain", "a.yaml") == set()
    assert loaded(made, "plugins", "list") == set()
    assert loaded(made, "compile", "a.yaml", "--show-spec") == set()
    assert loaded(made, "--help") == set()


def test_a_dry_run_imports_torch_and_no_other_library(project: Make, spec_text: str) -> None:
    made = project({"a.yaml": spec_text})
    assert not loaded(made, "compile", "a.yaml", "--dry-run", "--json") & {
        *("transformers", "datasets", "wandb", "tokenizers", "tiktoken")
    }


@pytest.mark.parametrize("arguments", [("--traceback", "check", "none.yaml"), ("check", "none.yaml", "--traceback")])
def test_a_traceback_can_be_asked_for_before_or_after_the_command(arguments: tuple[str, ...], project: Make) -> None:
    result = project({}).run(*arguments)
    assert result.status == 2
    assert project({}).run("generate", "nowhere", "-p", "--traceback").err.startswith("error: `nowhere` is")


def test_a_setting_of_the_sampler_is_a_key_and_a_value(project: Make) -> None:
    result = project({}).run("generate", "nowhere", "-p", "x", "--set", "top_k")
    assert result.status == 2
    assert result.err == "error: a setting is KEY=VALUE, as in top_p=0.9; got 'top_k'\n"


@pytest.mark.parametrize("setting", ["seed=3", "max_new_tokens=3", "prompts=x", "sampler=standard"])
def test_a_setting_that_has_a_flag_of_its_own_is_refused(setting: str, project: Make) -> None:
    result = project({}).run("generate", "nowhere", "-p", "x", "--set", setting)
    assert result.status == 2
    assert "has a flag of its own" in result.err
    result = project({}).run("generate", "nowhere", "-p", "x", "--top-k", "3", "--set", "top_k=1")
    assert "`top_k` has a flag of its own, `--top-k`" in result.err


def test_a_failure_that_nobody_hears_keeps_its_status(project: Make) -> None:
    made = project({})
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        command = [sys.executable, "-m", "stlm", "check", "none.yaml"]
        done = subprocess.run(command, cwd=made.folder, stdout=pipe, stderr=pipe, timeout=60, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_torch_is_imported_ends_the_command_with_130(number: int, project: Make, spec_text: str) -> None:
    """Half an import may swallow an interrupt; so it waits until the import is over."""
    made = project({"a.yaml": spec_text})
    command = [sys.executable, "-X", "importtime", "-m", "stlm", "compile", "a.yaml", "--dry-run"]
    with subprocess.Popen(
        command, cwd=made.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:  # each import is told as it ends
            if "numpy" in line or "| torch" in line.replace("  ", ""):
                process.send_signal(number)
                break
        rest = process.stderr.read()
        process.wait(60)
    told = [line for line in rest.splitlines() if not line.startswith("import time:")]
    assert (process.returncode, told) == (130, ["interrupted"])


def test_a_plugin_that_leaves_is_no_success(project: Make, spec_text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import stlm.cli.check

    monkeypatch.setattr(stlm.cli.check, "load_spec", lambda *_: sys.exit(0))
    result = project().run("check", "a.yaml")
    assert result.status == 1
    assert result.err.startswith("error: something called sys.exit(0); raised at ")


def test_control_characters_of_a_spec_do_not_reach_the_terminal(project: Make) -> None:
    result = project({"a.yaml": 'model: {}\n"\\e[31mred\\n": 1\n'}).run("check", "a.yaml")
    assert result.status == 2
    assert "\x1b" not in result.err
    assert "`\\x1b[31mred\\n`" in result.err


def test_a_mistake_keeps_its_status_when_the_reader_of_the_json_has_left(project: Make) -> None:
    made = project({"a.yaml": "modle: 1\n"})
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        command = [sys.executable, "-m", "stlm", "check", "a.yaml", "--json"]
        done = subprocess.run(command, cwd=made.folder, stdout=pipe, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, b"")


def test_a_pipe_that_breaks_inside_the_work_is_a_failure(project: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import stlm.cli.check

    def fail(*_: Any) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(stlm.cli.check, "load_spec", fail)
    result = project().run("check", "a.yaml")
    assert (result.status, result.err) == (1, "error: cannot read or write: Broken pipe\n")
