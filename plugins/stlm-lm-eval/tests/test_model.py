"""A model of stlm's in the harness answers as the harness's own model does of the same weights."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="lm_eval is not installed; `make test-lm-eval` has an environment for it")
pytest.importorskip("peft", reason="the harness's own model is not installed (`lm_eval[hf]`)")

import lm_eval
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from stlm_lm_eval.cli import register
from stlm_lm_eval.model import StlmLM

import stlm
from stlm.experiments.convert import export_run
from stlm.spec import UsageError

PACKAGE = Path(__file__).parents[1]
TEXT = "The list holds items, and each item of the list has a name. " * 12


@pytest.fixture(scope="session")
def both(run: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[StlmLM, HFLM]:
    """The same weights on either side."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_run(run.folder, folder)
    theirs = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=4)
    return StlmLM(run=str(run.folder), device="cpu"), theirs


def asked(*arguments: tuple[Any, ...]) -> list[Any]:
    return [SimpleNamespace(args=args) for args in arguments]


def test_log_likelihoods_are_those_of_the_harness(both):
    requests = asked(
        ("The list", " holds items"),
        ("The list", " has a name"),
        ("", "The list holds"),
        ("A space at the end ", "goes to the other side"),
        ("A line\n", "\n and another"),
        (TEXT, " which is longer than the window"),
        ("é", "è 🙂"),
    )
    ours, theirs = (model.loglikelihood(requests, disable_tqdm=True) for model in both)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], rel=1e-5, abs=1e-3)


def test_one_token_of_all_is_greedy(both):
    context = both[0].tok_encode("The list")
    requests = [(("", ""), context, [token_id]) for token_id in range(512)]
    ours, theirs = (model._loglikelihood_tokens(requests, disable_tqdm=True) for model in both)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert sum(greedy for _, greedy in ours) == 1


def test_texts_longer_than_the_window_are_scored_by_the_harness_rule(both):
    requests = asked((TEXT,), ("The list.",), (TEXT[: len(TEXT) // 3],))
    ours, theirs = (model.loglikelihood_rolling(requests, disable_tqdm=True) for model in both)
    assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-3)


def test_generated_texts_are_those_of_the_harness(both):
    requests = asked(
        ("The list", {"until": ["zzz"], "max_gen_toks": 9}),
        ("An item", {"until": ["e"], "max_gen_toks": 9, "do_sample": False}),
        ("It is", {"until": "a", "max_gen_toks": 9}),
        ("The", {"until": ["zzz"], "max_gen_toks": 9}),
    )
    ours, theirs = (model.generate_until(requests, disable_tqdm=True) for model in both)
    assert ours == theirs
    assert any(ours)
    assert "e" not in ours[1]


def test_a_benchmark_scores_here_what_the_task_scores_there(here, run, both):
    ours = stlm.evaluate(run, ["lm_eval:opposites.yaml"], num_samples=0)["benchmarks"]["lm_eval:opposites.yaml"]
    for model in both:
        manager = TaskManager(include_path=str(PACKAGE), include_defaults=False)
        found = lm_eval.simple_evaluate(model, tasks=["opposites"], task_manager=manager)
        theirs = found["results"]["opposites"]
        assert (ours["acc"], ours["acc_norm"]) == (theirs["acc,none"], theirs["acc_norm,none"])
        assert ours["stderr"] == pytest.approx(theirs["acc_stderr,none"])


def test_the_harness_knows_the_model_by_its_name():
    register()
    assert get_model("stlm") is StlmLM
    assert get_model("hf") is HFLM


def test_an_argument_of_the_model_wins_over_the_harness_option(run):
    made = StlmLM.create_from_arg_obj({"run": str(run.folder), "device": "cpu"}, {"device": "cuda", "batch_size": 1})
    assert made.device.type == "cpu"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "must name the run"),
        ({"run": "x", "chekpoint": "best"}, "`--model_args chekpoint` is no argument of an stlm"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments, told):
    with pytest.raises(UsageError, match=told) as caught:
        StlmLM.create_from_arg_obj(arguments, {"batch_size": 1})
    assert "\n" not in str(caught.value)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from stlm_lm_eval.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=PACKAGE, capture_output=True, text=True)


def test_the_command_is_the_harness_with_one_more_model(run, tmp_path):
    model = f"run={run.folder},checkpoint=latest,device=cpu"
    where = ("--tasks", "opposites.yaml", "--output_path", str(tmp_path))
    done = command("--model", "stlm", "--model_args", model, *where)
    assert done.returncode == 0, done.stderr
    assert "|opposites|" in done.stdout
    (file,) = tmp_path.rglob("results_*.json")
    assert json.loads(file.read_text())["results"]["opposites"]["sample_len"] == 16


def test_a_run_that_is_not_there_is_one_line_and_the_users_mistake():
    done = command("--model", "stlm", "--model_args", "run=nowhere", "--tasks", "opposites.yaml")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: `nowhere` is not there"
