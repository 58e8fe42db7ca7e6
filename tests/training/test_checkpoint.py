"""What a checkpoint holds, and that nothing in it can run code."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

from stlm.experiments.evaluate import prepared_data
from stlm.experiments.train import train
from stlm.spec import WorkError
from stlm.training.checkpoint import (
    DamagedError,
    best_checkpoint,
    checkpoint_folders,
    read_checkpoint,
    remove_old,
    save_checkpoint,
    were_written,
)
from stlm.training.flatten import flatten, named_optimizer_state, numbered_optimizer_state, unflatten
from stlm.training.weights import load_weights, save_weights

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
keys = st.text() | st.integers()
states = st.recursive(
    scalars,
    lambda s: st.lists(s) | st.dictionaries(keys, s) | st.lists(s).map(tuple),
    max_leaves=20,
)


@given(states)
def test_any_state_survives_json(state):
    tensors = {}
    assert unflatten(json.loads(json.dumps(flatten(state, "s", tensors))), tensors) == state


def test_tensors_survive_with_their_dtype_wherever_they_stand():
    moments = torch.randn(2, 3).to(torch.bfloat16)
    state = {0: {"step": torch.tensor(3.0), "pair": (moments, [torch.tensor([1, 2])])}, "k": 0.1 + 0.2}
    tensors = {}
    back = unflatten(json.loads(json.dumps(flatten(state, "s", tensors))), tensors)
    assert back[0]["pair"][0].dtype == torch.bfloat16
    assert torch.equal(back[0]["pair"][0], moments)
    assert torch.equal(back[0]["pair"][1][0], torch.tensor([1, 2]))
    assert back["k"] == 0.1 + 0.2


def test_what_json_cannot_say_is_refused_by_name():
    with pytest.raises(TypeError, match=r"`s.a.0` is a object"):
        flatten({"a": [object()]}, "s", {})


@pytest.mark.parametrize(
    "make", [lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), torch.optim.Adafactor, torch.optim.NAdam]
)
def test_other_optimizers_go_on_where_they_were(make):
    def step(optimizer, parameters, times):
        for seed in times:
            generator = torch.Generator().manual_seed(seed)
            for p in parameters:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()

    def parameters():
        return [nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(2))]

    names = ["a", "b"]
    straight, broken = parameters(), parameters()
    step(make(straight), straight, range(4))
    first = make(broken)
    step(first, broken, range(2))
    tensors = {}
    text = json.dumps(flatten(named_optimizer_state(first.state_dict(), names), "o", tensors))
    second = make(broken)
    second.load_state_dict(numbered_optimizer_state(unflatten(json.loads(text), tensors), names))
    step(second, broken, range(2, 4))
    assert all(torch.equal(a, b) for a, b in zip(straight, broken, strict=True))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def test_a_shared_weight_is_stored_once_and_still_shared_after_loading(tmp_path):
    source, target = Tied(), Tied()
    save_weights(source, tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert list(file.keys()) == ["embed.weight"]
        assert json.loads(file.metadata()["shared"]) == {"head.weight": "embed.weight"}
    load_weights(target, tmp_path / "w.safetensors")
    assert torch.equal(target.head.weight, source.embed.weight)
    assert target.head.weight is target.embed.weight


def test_weights_of_another_model_are_refused_before_anything_changes(tmp_path):
    save_weights(nn.Linear(3, 5), tmp_path / "w.safetensors")
    other = nn.Linear(4, 5)
    before = other.bias.clone()
    with pytest.raises(ValueError, match=r"`weight` is \(5, 3\), and \(5, 4\) in this model"):
        load_weights(other, tmp_path / "w.safetensors")
    assert torch.equal(other.bias, before)


def test_the_files_of_a_run_and_of_its_checkpoints(tiny_spec):
    run = train(tiny_spec())
    assert {p.name for p in run.folder.iterdir()} == {
        ".lock", "checkpoints", "evals", "lock.json", "metrics.jsonl", "source.yaml", "spec.yaml",
    }  # fmt: skip
    assert sorted(p.name for p in run.places.checkpoints.iterdir()) == ["best", "latest", "step-6", "step-8"]
    assert (run.places.checkpoints / "latest").read_text() == "step-8\n"
    files = {p.relative_to(run.checkpoint.folder).as_posix() for p in run.checkpoint.folder.rglob("*") if p.is_file()}
    assert {f for f in files if not f.startswith("tokenizer/")} == {
        "model.safetensors", "optimizer.json", "optimizer.safetensors", "spec.yaml", "state.json",
    }  # fmt: skip
    assert json.loads((run.folder / "evals" / "step-4.json").read_text())["step"] == 4


def write_states(folder, losses):
    for step, loss in losses.items():
        (folder / f"step-{step}").mkdir(parents=True)
        state = {"step": step, "tokens_seen": 0, "run": "r", "held_out_loss": loss, "files": {}}
        (folder / f"step-{step}" / "state.json").write_text(json.dumps(state))


def test_the_latest_and_the_best_checkpoints_stay(tmp_path):
    write_states(tmp_path, {9: 3.0, 10: 1.0, 20: 2.0, 30: None, 100: 4.0})
    remove_old(tmp_path, keep=2)
    assert [p.name for p in checkpoint_folders(tmp_path)] == ["step-100", "step-30", "step-10"]
    assert best_checkpoint(tmp_path).step == 10
    assert (tmp_path / "best").read_text() == "step-10\n"


def test_a_full_disk_is_one_clear_line_and_leaves_nothing_behind(tiny_spec, monkeypatch):
    from safetensors import SafetensorError

    from stlm.training import weights

    run = train(tiny_spec())
    state = tiny_spec().trainer.build(
        run.program, folder=run.places, data=prepared_data(run), checkpoint=run.checkpoint
    )
    state.step = 99

    def full(*args, **kwargs):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights, "save_file", full)
    before = sorted(run.places.checkpoints.iterdir())
    with pytest.raises(WorkError, match=r"step-99.*No space left"):
        save_checkpoint(state)
    assert sorted(run.places.checkpoints.iterdir()) == before


@pytest.mark.parametrize("said", ['{"step": "x", "tokens_seen": 0, "run": "r", "files": {}}', "[" * 100_000, "[]"])
def test_a_state_that_makes_no_sense_is_damage(tmp_path, said):
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-1" / "state.json").write_text(said)
    with pytest.raises(DamagedError):
        read_checkpoint(tmp_path / "step-1")


def test_a_checkpoint_under_the_name_of_another_step_is_damage(tmp_path):
    write_states(tmp_path, {3: 1.0})
    (tmp_path / "step-3").rename(tmp_path / "step-4")
    with pytest.raises(DamagedError, match="is the checkpoint of step 3 under another name"):
        read_checkpoint(tmp_path / "step-4")


def test_a_half_made_folder_is_no_trace_of_a_checkpoint(tmp_path):
    """A run that was killed while it wrote its first checkpoint has none, and may begin anew."""
    (tmp_path / ".step-10.x1y2.tmp").mkdir()
    assert not were_written(tmp_path)
    (tmp_path / "damaged-step-10-1").mkdir()
    assert were_written(tmp_path)
