"""What the shell offers, asked as bash asks: by words and the number of the one that is being written."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from stlm.cli.shipped import names
from stlm.registry.manager import installed
from tests.registry.installing import put_norm

Make = Callable[..., Any]


def offered(made: Any, line: str, **environment: str) -> set[str]:
    """The words that are offered for the last one of a line, which bash also takes apart at each `=`."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    result = made.start(_STLM_COMPLETE="bash_complete", **words, **environment)
    assert result.err == ""
    return {one.partition(",")[2] for one in result.out.splitlines() if one}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stlm sch", {"schema"}),
        ("stlm plugins list atte", {"attention"}),
        ("stlm plugins show attention ", set(installed().names("attention"))),
        ("stlm plugins show optimizer Ad", {"AdamW"}),
        ("stlm plugins show rop", {"rope"}),
        ("stlm init my.yaml --like ", set(names())),
        ("stlm plugins show nothing ", set()),
        ("stlm plugins check st", {entry.distribution for entry in installed().entries()}),
        ("stlm plugins check --kind norm --name rms", {"rms_norm"}),
        ("stlm plugins check --name swi", set()),
        ("stlm plugins check --kind loss --only loss-v", {"loss-value"}),
        ("stlm plugins check stlm --only cont", {"contract"}),
        ("stlm plugins check stlm --only entry", {"entry-points"}),
        ("stlm plugins check --name rms_norm --only cont", set()),
        ("stlm plugins check --kind tokenizer --name bpe --set vocab", {"vocab_size="}),
        ("stlm generate run --sampler st", {"standard"}),
        ("stlm generate run --set top", {"top_k=", "top_p="}),
        ("stlm eval run --benchmarks pi", {"piqa"}),
        ("stlm eval run --benchmarks piqa,boo", {"piqa,boolq"}),
        ("stlm eval run --benchmarks piqa,pi", set()),
        ("stlm export run folder --as qw", {"qwen3"}),
    ],
)
def test_what_may_stand_there_is_offered(line: str, words: set[str], project: Make) -> None:
    assert offered(project(), line) == words


def test_what_a_plugin_brings_is_offered_and_not_imported(project: Make) -> None:
    made = project()
    put_norm(made.folder / "site", "stlm-toy", "toy", "raise SystemExit")
    assert "toy" in offered(made, "stlm plugins show norm ", PYTHONPATH="site")


SETTINGS = [
    ("trainer.optimizer.l", {"trainer.optimizer.lr="}),
    ("model.attn.attn_type =", set(installed().names("attention"))),
    ("model.attn.attn_type = bi", {"bidirectional"}),
    ("model.attn.bias = t", {"true"}),
    ("trainer.precision =", {"auto", "fp32", "bf16"}),
    ("trainer.eval.mcq_benchmarks = [pi", {"[piqa]"}),
    ("model.hidden_dim =", {"40"}),
    ("model.hidden_dim.x =", set()),
]


@pytest.mark.parametrize(("begun", "words"), SETTINGS)
def test_of_a_setting_the_keys_of_the_spec_are_offered_and_what_they_may_say(
    begun: str, words: set[str], project: Make, tiny_spec: Callable[..., Any]
) -> None:
    made = project({"mine.yaml": tiny_spec("model.hidden_dim=40").dump()})
    assert offered(made, f"stlm train mine.yaml --set {begun}") == words


def test_of_a_setting_in_one_word_the_whole_is_offered_to_other_shells(project: Make) -> None:
    words = {"COMP_WORDS": "stlm check --set model.ffn.ffn_type=si", "COMP_CWORD": "model.ffn.ffn_type=si"}
    result = project().start(_STLM_COMPLETE="fish_complete", **words)
    assert (result.out, result.err) == ("plain,model.ffn.ffn_type=silu_ffn\n", "")


def test_where_a_spec_cannot_be_read_the_keys_of_the_quick_start_are_offered(project: Make) -> None:
    made = project({"mine.yaml": "model: {hiden_dim: 3}"})
    assert offered(made, "stlm train mine.yaml --set general.se") == {"general.seed="}


def test_bash_itself_goes_on_with_a_word(project: Make) -> None:
    """By the script that users load, in a bash of its own."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    folder = project({"bin/stlm": f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m stlm "$@"\n'}).folder
    (folder / "bin" / "stlm").chmod(0o755)
    script = (
        'complete() { :; }; compopt() { echo "compopt $2"; }\n'
        'eval "$(_STLM_COMPLETE=bash_source stlm)"\n'
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _stlm_completion stlm\n'
        'echo "${COMPREPLY[*]}"; }\n'
        "ask stlm check --set model.ffn.ffn_t\nask stlm check --set model.ffn.ffn_type = si\nask stlm pl\n"
    )
    path = os.pathsep.join((str(folder / "bin"), os.environ["PATH"]))
    command = [bash, "--norc", "-c", script]
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["compopt nospace", "model.ffn.ffn_type=", "silu_ffn", "plugins"], done.stderr
