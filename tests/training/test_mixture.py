"""A run that is trained on several data sets, drawn from by weight."""

import json
import logging

import pytest
import torch

from stlm.compiler import compile
from stlm.data.preparation.prepare import prepare
from stlm.experiments.evaluate import evaluate
from stlm.experiments.run import load_run
from stlm.experiments.train import train
from stlm.registry import hook
from stlm.spec import Code, SpecError, UsageError
from stlm.training.lock import read_lock

TIMES = ("tokens_per_second", "mfu")


@pytest.fixture
def texts(tmp_path):
    """Two files of documents in which each token tells which file it is from."""
    for name, word, count in (("owls", "ooooo ooo ooooo", 120), ("hens", "eee eee eeeee", 60)):
        lines = [json.dumps({"text": f"{word} " * (2 + i % 7)}) for i in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def mixed(tiny_spec, texts):
    """Resolve the tiny spec with the two files as its data, by the weights that are given."""

    def make(*overrides, owls=3, hens=1):
        members = f"[{{name: {texts}/owls.jsonl, weight: {owls}}}, {{name: {texts}/hens.jsonl, weight: {hens}}}]"
        own = (f"trainer.dataset={members}", f"general.paths.data_dir={texts / 'data'}")
        return tiny_spec(*own, *overrides)

    return make


def prepared(spec):
    return prepare(spec, compile(spec, "meta").tokenizer)


def numbers(run):
    return [{k: v for k, v in record.items() if k not in TIMES} for record in run.metrics]


class StopAfter:
    """A plugin that stops a run after a step."""

    @hook
    def step_ends(self, run):
        if run.step == 5:
            run.stop = run.signalled = True


# What is prepared


def test_each_data_set_is_prepared_as_if_it_were_used_alone(mixed, texts):
    mixture = prepared(mixed())
    alone = prepared(mixed(f"trainer.dataset={texts}/owls.jsonl"))
    assert mixture.members[0].folder == alone.folder
    assert alone.reused
    assert not mixture.reused
    assert prepared(mixed()).reused


def test_the_manifest_of_a_mixture_names_its_members_and_their_shards(mixed):
    mixture = prepared(mixed())
    said = json.loads((mixture.folder / "manifest.json").read_text())
    assert [(m["name"], m["share"]) for m in said["members"]] == [
        ("owls.jsonl", 0.75),
        ("hens.jsonl", 0.25),
    ]
    assert [(mixture.folder / m["folder"]).resolve() for m in said["members"]] == [
        one.folder.resolve() for one in mixture.members
    ]
    assert all((mixture.folder / shard["file"]).is_file() for shard in said["shards"])
    assert said["tokens"] == {
        split: sum(shard["tokens"] for shard in said["shards"] if shard["split"] == split) for split in ("train", "val")
    }
    assert said["tokens"]["train"] == len(mixture.train)
    assert said["documents"] == 180


def test_the_fingerprint_of_a_mixture_is_that_of_its_source(mixed):
    spec = mixed()
    assert prepared(spec).fingerprint == spec.trainer.dataset.build(spec).fingerprint()


def test_shares_decide_the_fingerprint_and_their_scale_does_not(mixed):
    prints = [prepared(mixed(owls=owls, hens=hens)).fingerprint for owls, hens in ((3, 1), (6, 2), (1, 1), (1, 3))]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_it_is_told_how_often_a_run_sees_each_data_set(mixed, caplog):
    caplog.set_level(logging.INFO)
    mixture = prepared(mixed())
    samples = 8 * 2 * 2
    wanted = [
        samples * share / one.train.num_windows(16) for share, one in zip((0.75, 0.25), mixture.members, strict=True)
    ]
    for name, share, epochs in zip(("owls", "hens"), ("75.0%", "25.0%"), wanted, strict=True):
        (line,) = [r.getMessage() for r in caplog.records if "epochs" in r.getMessage() and name in r.getMessage()]
        assert share in line
        assert f"{epochs:.3g} epochs" in line


def test_a_data_set_without_a_window_is_named(mixed, texts):
    (texts / "few.jsonl").write_text('{"text": "o"}\n')
    with pytest.raises(Exception, match=r"few\.jsonl.* of the mixture holds no whole window"):
        prepared(mixed(f"trainer.dataset=[{texts}/owls.jsonl, {texts}/few.jsonl]"))


def test_a_data_set_that_is_not_there_is_told_at_its_name(mixed, texts):
    with pytest.raises(SpecError) as caught:
        train(mixed(f"trainer.dataset=[{texts}/owls.jsonl, {texts}/nowhere.jsonl]"))
    assert [d.key for d in caught.value.diagnostics] == ["trainer.dataset.1.name"]


def test_data_sets_are_called_by_their_last_part_where_that_tells_them_apart(mixed, texts):
    (texts / "more").mkdir()
    for file in (texts / "two.jsonl", texts / "more" / "owls.jsonl"):
        file.write_text("".join(f'{{"text": "{"o" * i}", "b": "{"e" * i}"}}\n' for i in range(60)))
    two, owls, more = (f"{texts}/{name}" for name in ("two.jsonl", "owls.jsonl", "more/owls.jsonl"))
    mixture = prepared(mixed(f"trainer.dataset=[{two}, {{name: {two}, text_column: b}}, {owls}, {more}, python_docs]"))
    assert mixture.names == [two, f"{two}#2", owls, more, "python_docs"]
    assert prepared(mixed()).names == ["owls.jsonl", "hens.jsonl"]


# What is trained on


def test_batches_hold_the_data_sets_by_their_weights(mixed):
    spec = mixed("trainer.batch_size=64", owls=3, hens=1)
    program = compile(spec, "cpu")
    data = prepare(spec, program.tokenizer)
    state = spec.trainer.build(program, folder=None, data=data)
    owl, hen = (program.tokenizer.encode_batch([letter])[0][0] for letter in "oe")
    rows = [state.loader.batch(step, micro).token_ids for step in range(32) for micro in range(2)]
    of_owls = sum(int(((ids == owl).any(dim=1) & ~(ids == hen).any(dim=1)).sum()) for ids in rows)
    of_hens = sum(int(((ids == hen).any(dim=1) & ~(ids == owl).any(dim=1)).sum()) for ids in rows)
    assert (of_owls, of_hens) == (3072, 1024)  # of a block of 4096 samples


def test_a_run_on_a_mixture_goes_on_bit_for_bit(mixed, tmp_path, monkeypatch):
    from stlm.training import setup

    whole = train(mixed(f"general.paths.output_dir={tmp_path / 'whole'}"))
    plain = setup.lifecycle
    with monkeypatch.context() as patched:
        patched.setattr(setup, "lifecycle", lambda *plugins, **how: plain(*plugins, StopAfter(), **how))
        first = train(mixed())
    assert (first.interrupted, first.step) == (True, 5)
    second = train(mixed(), resume=True)
    assert second.folder == first.folder
    assert numbers(second) == numbers(whole)
    assert all(torch.equal(a, b) for a, b in zip(second.model.parameters(), whole.model.parameters(), strict=True))


def test_a_run_whose_data_changed_in_one_data_set_is_refused(mixed, texts):
    run = train(mixed("trainer.max_iters=2"))
    (texts / "hens.jsonl").write_text((texts / "hens.jsonl").read_text().replace("eee", "eEe"))
    with pytest.raises(UsageError, match="the data set `mixture` changed since the run"):
        train(mixed("trainer.max_iters=4"), resume=run.folder, allow_changed=["trainer.max_iters"])


def test_other_weights_are_another_run(mixed):
    run = train(mixed("trainer.max_iters=2"))
    with pytest.raises(UsageError, match=r"is of another spec: `trainer.dataset.0.weight` was 3.0 and is 1.0"):
        train(mixed("trainer.max_iters=2", owls=1), resume=True)
    assert read_lock(run.places.lock)["fingerprints"]["data"] == prepared(mixed()).fingerprint


# What is measured


def test_the_held_out_loss_is_told_of_each_data_set_and_of_all(mixed):
    run = train(mixed("trainer.eval.dataset_loss_eval_iters=1000"))
    held_out = [record for record in run.metrics if record["split"] == "val"][-1]
    losses = {key.removeprefix("loss/"): value for key, value in held_out.items() if key.startswith("loss/")}
    assert set(losses) == {"owls.jsonl", "hens.jsonl"}
    tokens = [member.manifest["tokens"]["val"] for member in prepared(run.spec).members]
    mean = (losses["owls.jsonl"] * tokens[0] + losses["hens.jsonl"] * tokens[1]) / sum(tokens)
    assert held_out["loss"] == pytest.approx(mean, rel=1e-6)


def test_the_held_out_loss_of_a_data_set_is_what_it_is_alone(mixed):
    every = "trainer.eval.dataset_loss_eval_iters=1000"
    run = train(mixed(every))
    together = evaluate(run)["dataset_loss"]
    alone = load_run(run.folder)
    from stlm.evaluation.held_out import HeldOut, measure_held_out
    from stlm.evaluation.subject import Subject

    trainer = run.spec.trainer
    for member, name in zip(prepared(run.spec).members, ("owls", "hens"), strict=True):
        held_out = HeldOut.of(member, trainer, trainer.loss_fn.build(trainer))
        loss = measure_held_out(Subject.of(alone.program, alone.tokenizer), held_out)["dataset_loss"]["loss"]
        assert together[f"loss/{name}.jsonl"] == pytest.approx(loss, rel=1e-6)


def test_a_trained_run_finds_its_mixture_again_without_preparing(mixed, monkeypatch, caplog):
    run = train(mixed())
    before = evaluate(run)
    monkeypatch.setattr("stlm.experiments.evaluate.prepare", None)
    assert evaluate(load_run(run.folder)) == before
    assert "damaged" not in caplog.text


def test_a_damaged_shard_of_a_member_is_made_again(mixed, caplog):
    first = prepared(mixed())
    shard = next(first.members[1].folder.glob("train-*.bin"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-2])
    prepared(mixed())
    assert shard.read_bytes() == whole
    assert shard.name in caplog.text


# Mistakes


def test_a_mixture_of_plain_texts_cannot_be_trained_on_completions(mixed):
    with pytest.raises(SpecError) as caught:
        train(mixed("trainer.loss_on=completion"))
    assert [(d.code, d.key) for d in caught.value.diagnostics] == [(Code.RULE, "trainer.loss_on")]
