"""``stlm train``: new runs, runs that go on, and keys that may differ."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from stlm.registry import load_spec
from tests.conftest import TINY

SPEC = TINY.format(text="text.jsonl", out="outputs", data="data").replace(
    "general:", "general:\n  logging: {wandb_run_name: tiny}"
)


@pytest.fixture
def made(project, tiny_text) -> Any:
    """A project with a spec whose paths are relative, and its text."""
    return project({"tiny.yaml": SPEC, "text.jsonl": tiny_text.read_bytes()})


@pytest.fixture
def begun(made) -> Any:
    """The project, with a run of eight steps in it."""
    assert made.run("train", "tiny.yaml").status == 0
    return made


def losses(run: Path) -> list[Any]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_is_trained_and_its_summary_is_one_document(made):
    done = made.run("train", "tiny.yaml", "--json")
    assert (done.status, done.json["steps"], done.json["run"]) == (0, 8, "outputs/tiny")
    assert list(done.json) == ["run", "steps", "loss", "val_loss", "tokens_per_second", "checkpoint"]


def test_training_again_makes_a_new_run(begun):
    assert begun.run("train", "tiny.yaml", "--json").json["run"] == "outputs/tiny-2"


def test_resuming_starts_a_run_where_there_is_none(made):
    done = made.run("train", "tiny.yaml", "--resume", "--json")
    assert (done.json["run"], done.json["steps"]) == ("outputs/tiny", 8)


def test_a_longer_run_is_allowed_by_its_key_and_what_follows_from_it_follows(begun):
    longer = ("train", "outputs/tiny", "--set", "trainer.max_iters=12")
    refused = begun.run(*longer)
    assert refused.status == 2
    assert (
        "`trainer.max_iters` was 8 and is 12. To go on all the same: --allow-changed trainer.max_iters" in refused.err
    )
    assert "lr_decay_iters" not in refused.err
    done = begun.run(*longer, "--allow-changed", "trainer.max_iters", "--json")
    assert (done.json["run"], done.json["steps"]) == ("outputs/tiny", 12)
    spec = load_spec(begun.folder / "outputs" / "tiny" / "spec.yaml")
    assert spec.trainer.lr_scheduler.lr_decay_iters == 12
    assert "lr_decay_iters" not in (begun.folder / "outputs" / "tiny" / "source.yaml").read_text()
    again = begun.run("train", "outputs/tiny", "--json")
    assert (again.status, again.json["steps"]) == (0, 12)


def test_a_value_that_was_written_does_not_follow(made):
    written = ("--set", "trainer.lr_decay_iters=8")
    assert made.run("train", "tiny.yaml", *written).status == 0
    longer = ("train", "outputs/tiny", "--set", "trainer.max_iters=12", "--allow-changed", "trainer.max_iters")
    assert made.run(*longer).status == 0
    assert load_spec(made.folder / "outputs" / "tiny" / "spec.yaml").trainer.lr_scheduler.lr_decay_iters == 8


def test_resuming_another_spec_of_the_same_name_lists_every_key_that_differs(begun):
    other = ("train", "tiny.yaml", "--resume", "--set", "trainer.optimizer.lr=0.02", "--set", "trainer.max_iters=9")
    refused = begun.run(*other, "--allow-changed", "trainer.max_iters")
    assert refused.status == 2
    assert "`trainer.optimizer.lr` was 0.01 and is 0.02. To go on" in refused.err
    allowed = ("--allow-changed", "trainer.max_iters", "--allow-changed", "trainer.optimizer.lr")
    assert begun.run(*other, *allowed, "--json").json["steps"] == 9
    assert [path.name for path in (begun.folder / "outputs").iterdir()] == ["tiny"]


def test_where_it_happens_may_change(begun):
    moved = ("--set", "general.paths.data_dir=elsewhere", "--set", "general.logging.wandb_project=other")
    assert begun.run("train", "outputs/tiny", *moved).status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("outputs/tiny", "--allow-changed", "trainer.max_iter"), "no such key; did you mean `trainer.max_iters`?"),
        (
            ("tiny.yaml", "--allow-changed", "trainer.max_iters"),
            "`--allow-changed` is about the run that is gone on with",
        ),
        (("outputs/tiny/checkpoints/step-8",), "is a checkpoint of the run in `outputs/tiny`; a spec is a YAML file"),
        (("data",), "`data` is"),
        (("outputs/nothing",), "outputs/nothing"),
    ],
)
def test_what_cannot_go_on_is_one_line_and_2(begun, arguments, message):
    told = begun.run("train", *arguments, *(("--resume",) if "max_iter" in arguments else ()))
    assert told.status == 2
    assert message in told.err
    assert "Traceback" not in told.err
    assert [path.name for path in (begun.folder / "outputs").iterdir()] == ["tiny"]


def test_a_run_goes_on_from_another_directory(begun, caplog):
    """Its paths are relative to where it began: its own tokenizer and tokens are used."""
    longer = ("--set", "trainer.max_iters=12", "--allow-changed", "trainer.max_iters")
    caplog.set_level(logging.INFO, "stlm")
    shutil.copytree(begun.folder / "outputs", begun.folder / "other" / "outputs")
    here = begun.run("train", "outputs/tiny", *longer)
    assert here.status == 0
    elsewhere = type(begun)(begun.folder / "other", {})
    done = elsewhere.run("train", "outputs/tiny", *longer)
    assert done.status == 0
    assert "the data set `text.jsonl` is not at hand here; its tokens in" in caplog.text
    assert losses(elsewhere.folder / "outputs" / "tiny") == losses(begun.folder / "outputs" / "tiny")
    assert not (elsewhere.folder / "data").exists()


def test_tokens_that_are_no_longer_what_a_run_was_trained_on_are_not_taken_for_a_text_that_is_gone(begun):
    (begun.folder / "text.jsonl").unlink()
    longer = ("train", "outputs/tiny", "--set", "trainer.max_iters=12", "--allow-changed", "trainer.max_iters")
    lock = begun.folder / "outputs" / "tiny" / "lock.json"
    before = lock.read_text()
    content = json.loads(before)
    content["fingerprints"]["data"] = "sha256:other"
    lock.write_text(json.dumps(content))
    told = begun.run(*longer)
    assert told.status == 2
    assert "text.jsonl" in told.err
    lock.write_text(before)
    assert begun.run(*longer).status == 0


def test_another_text_at_the_same_path_is_refused(begun):
    (begun.folder / "text.jsonl").write_text('{"text": "Another text."}\n' * 50)
    told = begun.run("train", "outputs/tiny", "--set", "trainer.max_iters=12", "--allow-changed", "trainer.max_iters")
    assert told.status == 2
    assert "the data set `text.jsonl` changed since the run in outputs/tiny began; put the text back" in told.err


def test_a_data_set_of_another_name_may_be_allowed(begun, tiny_text):
    lines = tiny_text.read_text().splitlines()
    (begun.folder / "more.jsonl").write_text("\n".join(lines[:150]) + "\n")
    changed = ("--set", "trainer.dataset=more.jsonl", "--set", "trainer.max_iters=12")
    refused = begun.run("train", "outputs/tiny", *changed, "--allow-changed", "trainer.max_iters")
    assert "`trainer.dataset` was 'text.jsonl' and is 'more.jsonl'" in refused.err
    allowed = ("--allow-changed", "trainer.dataset", "--allow-changed", "trainer.max_iters")
    assert begun.run("train", "outputs/tiny", *changed, *allowed).status == 0
    lock = json.loads((begun.folder / "outputs" / "tiny" / "lock.json").read_text())
    assert "more" in lock["data_folder"]
    assert begun.run("train", "outputs/tiny").status == 0


def test_another_tokenizer_is_refused_whatever_is_allowed(begun, tiny_text):
    (begun.folder / "more.jsonl").write_text("\n".join(tiny_text.read_text().splitlines()[:150]) + "\n")
    changed = ("--set", "model.tokenizer_dataset_name=more.jsonl", "--allow-changed", "model.tokenizer_dataset_name")
    told = begun.run("train", "outputs/tiny", *changed)
    assert told.status == 2
    assert "is not that of the run in outputs/tiny, whose weights mean other tokens" in told.err


def test_a_run_whose_tokenizer_was_deleted_goes_on_with_its_own(begun):
    shutil.rmtree(begun.folder / "data" / "tokenizers")
    longer = ("--set", "trainer.max_iters=12", "--allow-changed", "trainer.max_iters")
    assert begun.run("train", "outputs/tiny", *longer).status == 0
    assert not (begun.folder / "data" / "tokenizers").exists()


def test_an_imported_model_says_how_it_is_trained_further(begun):
    assert begun.run("init", "base.yaml").status == 0
    source = (begun.folder / "outputs" / "tiny" / "source.yaml").read_text()
    untrained = source[: source.index("trainer:")] + source[source.index("general:") :]
    (begun.folder / "outputs" / "tiny" / "source.yaml").write_text(untrained)
    told = begun.run("train", "outputs/tiny")
    assert told.status == 2
    assert "help: a spec with a `trainer` and `init_from: outputs/tiny` trains its model further" in told.err
