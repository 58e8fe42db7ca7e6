"""`--locked`: a run is repeated exactly, or what drifted is named and nothing is left."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from stlm.experiments.train import train
from stlm.spec import UsageError

TIMES = ("tokens_per_second", "mfu")


def numbers(run: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k not in TIMES} for record in run.metrics]


@pytest.fixture
def drifted(run, tmp_path):
    """Write the run's lock with changes into a file of its own."""

    def make(**changes: Any) -> Path:
        lock = json.loads(run.places.lock.read_text())
        session = {k: v for k, v in changes.items() if k in lock["sessions"][0]}
        prints = {k: v for k, v in changes.items() if k not in session}
        lock["fingerprints"] |= prints
        lock["sessions"][0] |= session
        file = tmp_path / "other.json"
        file.write_text(json.dumps(lock))
        return file

    return make


def refused(spec: Any, lock: Path) -> str:
    output = Path(spec.general.paths.output_dir)
    before = sorted(output.glob("*"))
    with pytest.MonkeyPatch.context() as patched, pytest.raises(UsageError) as caught:  # noqa: PT012
        patched.setattr("stlm.experiments.train.prepare", lambda *_: pytest.fail("tokens were prepared"))
        train(spec, locked=lock)
    assert sorted(output.glob("*")) == before
    return str(caught.value)


def test_a_locked_run_is_repeated_bit_for_bit(run, tiny_spec):
    again = train(tiny_spec(), locked=run.places.lock)
    assert again.folder != run.folder
    assert numbers(again) == numbers(run)
    assert all(torch.equal(a, b) for a, b in zip(again.model.parameters(), run.model.parameters(), strict=True))


def test_a_locked_start_is_repeated_bit_for_bit(run, tiny_spec):
    spec = tiny_spec(f"trainer.init_from={run.folder}")
    first = train(spec)
    assert numbers(train(spec, locked=first.places.lock)) == numbers(first)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"torch": "1.0"}, f"the version of torch was 1.0 and is {torch.__version__}"),
        ({"stlm": "0.0.0"}, "the version of stlm was 0.0.0 and is "),
        ({"python": "3.0.0"}, "the version of python was 3.0.0 and is 3."),
        ({"plugins": {"stlm": "0.1.0", "toy": "2.0"}}, "the version of plugin toy was 2.0 and is none"),
        ({"device": "cuda:0"}, "the device was cuda and is cpu"),
        ({"precision": "bf16"}, "the precision was bf16 and is fp32"),
        ({"processes": 2}, "the number of processes was 2 and is 1"),
        ({"data": "sha256:x"}, "the fingerprint of the data set was sha256:x and is "),
        ({"tokenizer": "sha256:x"}, "the fingerprint of the tokenizer was sha256:x and is sha256:"),
    ],
)
def test_what_drifted_is_named_with_both_values(tiny_spec, drifted, changes, message):
    assert message in refused(tiny_spec(), drifted(**changes))


def test_all_that_drifted_is_named_at_once(tiny_spec, drifted):
    said = refused(tiny_spec("trainer.optimizer.lr=0.5"), drifted(torch="1.0", data="sha256:x"))
    assert [part for part in ("torch", "the digest of the spec", "the data set") if part not in said] == []


def test_a_text_that_was_edited_is_noticed_before_a_tokenizer_is_trained(tiny_spec, tiny_text, tmp_path, monkeypatch):
    text = tmp_path / "mine.jsonl"
    shutil.copy(tiny_text, text)
    data = tmp_path / "data"
    said = (f"trainer.dataset={text}", f"model.tokenizer_dataset_name={text}", f"general.paths.data_dir={data}")
    first = train(tiny_spec(*said))
    text.write_text(text.read_text() + '{"text": "One more."}\n')
    before = sorted(data.rglob("*"))
    assert "the fingerprint of the data set was " in refused(tiny_spec(*said), first.places.lock)
    assert sorted(data.rglob("*")) == before


def test_a_start_from_other_weights_is_noticed(run, tiny_spec, tmp_path):
    start = tmp_path / "start"
    shutil.copytree(run.checkpoint.folder, start)
    spec = tiny_spec(f"trainer.init_from={start}")
    first = train(spec)
    shutil.rmtree(start)
    shutil.copytree(run.folder / "checkpoints" / "step-6", start)
    said = refused(spec, first.places.lock)
    assert "the fingerprint of what `init_from` names was sha256:" in said
    assert "the data set" not in said


def test_another_spec_is_told_by_its_keys_where_the_locks_own_is_beside_it(run, tiny_spec):
    said = refused(tiny_spec("trainer.optimizer.lr=0.5", "general.seed=9"), run.folder)
    assert said.endswith("made with: `trainer.optimizer.lr` was 0.01 and is 0.5; `general.seed` was 42 and is 9")


def test_a_run_that_went_on_under_another_spec_cannot_be_repeated(run, tiny_spec):
    longer = tiny_spec("trainer.max_iters=10")
    went_on = train(longer, resume=run.folder, allow_changed=["trainer.max_iters"])
    said = refused(longer, went_on.places.lock)
    assert "cannot be repeated, for it went on under another spec: session 1 was of sha256:" in said
    assert f"session 2 was of {longer.digest}" in said


@pytest.mark.parametrize("by_folder", [True, False])
def test_a_run_that_goes_on_is_no_repetition(run, tiny_spec, by_folder):
    with pytest.raises(UsageError, match="`--locked` is about a new run"):
        train(tiny_spec(), resume=run.folder if by_folder else True, locked=run.places.lock)


def test_a_lock_of_before_processes_were_noted_still_serves(run, tiny_spec):
    lock = json.loads(run.places.lock.read_text())
    for key in ("processes", "precision"):
        del lock["sessions"][0][key]
    run.places.lock.write_text(json.dumps(lock))
    assert train(tiny_spec(), locked=run.folder).step == 8


def test_every_session_of_a_run_counts(run, tiny_spec, tmp_path):
    lock = json.loads(run.places.lock.read_text())
    lock["sessions"].append(lock["sessions"][0] | {"torch": "1.0"})
    run.places.lock.write_text(json.dumps(lock))
    assert "the version of torch was 1.0" in refused(tiny_spec(), run.places.lock)


@pytest.mark.parametrize(("content", "message"), [(None, "is not there"), ("{}", "is not the `lock.json` of a run")])
def test_what_is_no_lock_is_said(tiny_spec, tmp_path, content, message):
    file = tmp_path / "lock.json"
    if content is not None:
        file.write_text(content)
    assert message in refused(tiny_spec(), file)


def test_the_command_line_exits_with_2_and_names_it(project, run, tiny_spec, drifted):
    made = project({"spec.yaml": tiny_spec().dump()})
    lock = drifted(torch="1.0")
    told = made.run("train", "spec.yaml", "--locked", str(lock), "--json")
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(f"error: this is not what `{lock}` was made with: the version of torch was 1.0 and is ")
    assert made.run("train", "spec.yaml", "--locked", str(run.places.lock), "--json").json["steps"] == 8
