"""A run as a value: loaded, and generating."""

import json
import shutil

import pytest
import torch

from stlm.components.sampler.standard import StandardSampler
from stlm.data.tokenizers.bpe import BPETokenizer
from stlm.experiments.run import load_run
from stlm.experiments.train import train
from stlm.spec import SpecError, StlmError, UsageError, WorkError


def test_a_run_loads_from_its_folder_and_from_each_checkpoint(run):
    for path in (run.folder, str(run.folder), run.checkpoint.folder):
        loaded = load_run(path, device="cpu")
        assert (loaded.step, loaded.folder.name, loaded.spec) == (8, run.folder.name, run.spec)
        assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), run.model.parameters(), strict=True))
        assert not loaded.model.training
        assert loaded.metrics == run.metrics


def test_a_checkpoint_is_chosen_by_name(run):
    assert load_run(run.folder, "step-6").step == 6
    assert load_run(run.folder, "latest").step == 8
    assert load_run(run.folder, "best").step == 8
    with pytest.raises(UsageError, match=r"no checkpoint `step-7`; it has step-6, step-8"):
        load_run(run.folder, "step-7")


def test_a_folder_that_moved_still_loads(run, tmp_path):
    moved = shutil.move(run.folder, tmp_path / "moved")
    assert load_run(moved).generate("The", max_new_tokens=3, temperature=0) == run.generate(
        "The", max_new_tokens=3, temperature=0
    )


def test_a_damaged_checkpoint_that_is_named_is_an_error_not_another_one(run):
    (run.checkpoint.folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(WorkError, match="is not what was written"):
        load_run(run.folder, "step-8")


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("")])
def test_what_is_no_run_is_said_in_one_line(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(UsageError, match=r"x` is "):
        load_run(tmp_path / "x")


def test_generating_gives_new_text_alone_and_streams_the_same(run):
    text = run.generate("The cat", max_new_tokens=12, temperature=0)
    assert text == "".join(run.stream("The cat", max_new_tokens=12, temperature=0))
    assert text == run.generate("The cat", max_new_tokens=12, temperature=0, cached=False)
    ids = run.tokenizer.encode_batch(["The cat" + text])[0]
    assert run.tokenizer.decode(ids) == "The cat" + text
    assert run.generate("The cat", max_new_tokens=0) == ""


def test_samples_of_one_seed_differ_and_repeat(run):
    texts = run.generate("The", max_new_tokens=12, seed=1, num_samples=3)
    assert len(set(texts)) == 3
    assert run.generate("The", max_new_tokens=12, seed=1) == texts[0]
    assert run.generate("The", max_new_tokens=12, seed=1, num_samples=2) == texts[:2]
    assert run.generate("The", max_new_tokens=12, seed=2, num_samples=3) != texts


def test_several_prompts_give_what_each_gives_alone(run):
    prompts = ["The cat", "", "A very long prompt that does not fit into the window of sixteen tokens at all"]
    how = {"max_new_tokens": 12, "num_samples": 2, "stop": ["e"]}
    alone = [text for prompt in prompts for text in run.generate(prompt, **how)]
    assert run.generate(prompts, **how) == alone
    assert not any("e" in text for text in alone)


def test_a_prompt_longer_than_the_window_loses_its_beginning_and_says_so(run, caplog):
    tail = "the window of sixteen tokens at all"
    (ids,) = run.tokenizer.encode_batch([tail])
    last = run.tokenizer.decode(ids[-16:])
    assert run.tokenizer.encode_batch([last])[0] == ids[-16:]
    text = run.generate(tail, max_new_tokens=5, temperature=0)
    assert caplog.messages == [f"the prompt has {len(ids)} tokens, of which the model sees the last 16"]
    assert text == run.generate(last, max_new_tokens=5, temperature=0)


def test_the_summary_is_what_the_command_line_prints(run):
    summary = run.summary()
    assert list(summary) == ["run", "steps", "loss", "val_loss", "tokens_per_second", "checkpoint"]
    assert summary["steps"] == 8
    assert summary["loss"] == [r["loss"] for r in run.metrics if r["split"] == "train"][-1]
    assert summary["checkpoint"] == str(run.folder / "checkpoints" / "step-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "has no option `temprature`"),
        ({"temperature": -1.0}, "`temperature` must be 0 or greater"),
        ({"sampler": "standrad"}, "there is no sampler `standrad`"),
        ({"max_new_tokens": -1}, "`max_new_tokens` must be 0 or greater"),
        ({"num_samples": 0}, "`num_samples` must be 1 or greater"),
        ({"stop": ["x", ""]}, "a stop string must not be empty"),
    ],
)
def test_wrong_options_are_said_in_one_line(run, options, message):
    with pytest.raises(StlmError, match=message):
        run.generate("The", **options)


def test_the_tokenizer_of_a_checkpoint_is_what_it_was(run, tiny_spec):
    loaded = load_run(run.folder).tokenizer
    assert isinstance(loaded, BPETokenizer)
    assert loaded.fingerprint == run.program.tokenizer.fingerprint
    text = "caf\u00e9s \u6771"
    assert loaded.normalize(text) == run.program.tokenizer.normalize(text)


@pytest.mark.parametrize("name", ["", "../checkpoints/step-8", "step-8/", "./step-8", "tokenizer"])
def test_only_the_name_of_a_checkpoint_is_one(run, name):
    with pytest.raises(UsageError, match="has no checkpoint"):
        load_run(run.folder, name)


def test_a_checkpoint_of_another_run_is_not_loaded_as_this_ones(run, tiny_spec, tmp_path):
    other = train(tiny_spec("trainer.optimizer.lr=0.5", f"general.paths.output_dir={tmp_path / 'other'}"))
    shutil.rmtree(run.checkpoint.folder)
    shutil.copytree(other.checkpoint.folder, run.checkpoint.folder)
    assert load_run(run.folder).step == 6
    with pytest.raises(WorkError, match="is of another run"):
        load_run(run.folder, "step-8")


def test_a_run_shows_its_folder_and_step(run):
    assert repr(run) == f"Run({str(run.folder)!r}, step=8)"


def test_a_prompt_that_is_not_utf_8_is_said_in_one_line(run):
    with pytest.raises(UsageError, match="the prompt is not UTF-8: character 3 of it"):
        run.generate("ab\udcff")


def test_a_prompt_is_a_string(run):
    with pytest.raises(UsageError, match="a prompt must be a string"):
        run.generate(["a", 3])
    with pytest.raises(UsageError, match="a prompt must be a string"):
        run.stream(["The"])


@pytest.mark.parametrize(
    ("drawn", "reason"),
    [
        (lambda logits: torch.tensor([logits.shape[-1]]), r"ValueError: it drew \[300\], and there are 300 tokens"),
        (lambda logits: torch.tensor([-1]), r"ValueError: it drew \[-1\]"),
        (lambda logits: "x", "AttributeError"),
        (lambda logits: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_goes_wrong_in_a_sampler_is_told_as_its_own(run, monkeypatch, drawn, reason):
    monkeypatch.setattr(StandardSampler, "build", lambda self: lambda logits, history, generator: drawn(logits))
    with pytest.raises(WorkError, match=f"sampler `standard` of stlm failed: {reason}"):
        run.generate("The")


def test_a_model_folder_of_hugging_faces_is_told_from_a_run(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="`stlm import` makes a run of it"):
        load_run(tmp_path)


def test_a_device_that_the_caller_named_is_not_blamed_on_the_spec(run):
    with pytest.raises(UsageError, match="the device `cuda:77` is not there; this machine has"):
        load_run(run.folder, device="cuda:77")


def test_a_run_whose_package_is_gone_says_which(run):
    """As it is where pip has taken away what brought an attention that the run was trained with."""
    spec, lock = run.folder / "spec.yaml", run.folder / "lock.json"
    spec.write_text(spec.read_text().replace("attn_type: causal", "attn_type: gone"))
    said = json.loads(lock.read_text())
    said["sessions"][0]["plugins"] |= {"stlm-gone": "1.2"}
    lock.write_text(json.dumps(said))
    with pytest.raises(SpecError) as caught:
        load_run(run.folder)
    (found,) = caught.value.diagnostics
    assert found.message == "there is no attention `gone`"
    assert found.help[0] == "the run was trained with stlm-gone 1.2, which is not installed"
