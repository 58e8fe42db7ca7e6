"""An optimizer that evaluates at one point and trains at another, and must be told which is wanted."""

import json

import pytest
import torch
from safetensors.torch import load_file

import stlm
from stlm.compiler import compile
from stlm.data.preparation.prepare import prepare
from stlm.registry import hook
from stlm.training import loop
from stlm.training.checkpoint import latest_checkpoint
from stlm.training.folder import RunFolder
from tests.contract import checks

FREE = {
    "optimizer": {"optimizer_name": "schedule_free", "lr": 1e-2, "weight_decay": 0.1},
    "trainer": {"decay_lr": False},
    "ffn": {"ffn_type": "generic", "ffn_dim": 32, "ffn_dropout": 0.1},
}


def optimizer(**options):
    from stlm_acid.nn.schedule_free import ScheduleFreeAdamW

    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    return parameter, ScheduleFreeAdamW([parameter], lr=0.1, **options)


def test_the_average_of_the_first_steps_by_hand():
    """With β2 = 0 and equal rates: z moves by the sign of the gradient, x is the plain mean of the z."""
    p, free = optimizer(betas=(0.9, 0.0), eps=0.0)
    z, seen = torch.tensor([1.0, -2.0]), []
    for gradient in ([1.0, -1.0], [2.0, 5.0], [-3.0, 1.0]):
        p.grad = torch.tensor(gradient)
        free.step()
        z = z - 0.1 * torch.tensor(gradient).sign()
        seen.append(z)
        x = torch.stack(seen).mean(0)
        torch.testing.assert_close(p.detach(), 0.1 * z + 0.9 * x)
    free.eval()
    torch.testing.assert_close(p.detach(), x)


def test_going_to_the_average_and_back_changes_no_bit():
    p, free = optimizer()
    for _ in range(3):
        p.grad = torch.randn(2, generator=torch.Generator().manual_seed(0))
        free.step()
    at_training = p.detach().clone()
    free.eval()
    assert not torch.equal(p, at_training)
    with pytest.raises(RuntimeError, match="call `train` before `step`"):
        free.step()
    free.train()
    assert torch.equal(p, at_training)


class Watch:
    """Notes, at each moment, which of the optimizer's two points the model is at; after one step they are the same."""

    def __init__(self):
        self.seen = []

    def note(self, run, moment):
        states = [(p, run.optimizer.state[p]) for p in run.model.parameters()]
        average = all(torch.equal(p, s["x"]) for p, s in states)
        training = all(torch.equal(p, torch.lerp(s["z"], s["x"], 0.9)) for p, s in states)
        assert run.step == 1 or average != training
        if run.step > 1:
            self.seen.append((moment, "average" if average else "training"))

    @hook(tryfirst=True)
    def step_ends(self, run):
        self.note(run, "step_ends")

    @hook(trylast=True)
    def evaluation_starts(self, run):
        self.note(run, "evaluation_starts")

    @hook(tryfirst=True)
    def evaluation_ends(self, run):
        self.note(run, "evaluation_ends")

    @hook(tryfirst=True)
    def checkpoint_copied(self, run):
        self.note(run, "checkpoint_copied")


def test_it_is_evaluated_and_stored_at_the_average_and_trained_beside_it(spec):
    chosen = spec(**FREE)
    program = compile(chosen, "cpu")
    watch = Watch()
    data = prepare(chosen, program.tokenizer)
    folder = RunFolder.create("watched", chosen.general.paths)
    state = chosen.trainer.build(program, folder=folder, data=data, checkpoint=None)
    state.plugins.register(watch)
    loop.train(state)
    assert {place for moment, place in watch.seen if moment == "step_ends"} == {"training"}
    assert {place for moment, place in watch.seen if moment != "step_ends"} == {"average"}
    assert {moment for moment, _ in watch.seen} == {
        "step_ends",
        "evaluation_starts",
        "evaluation_ends",
        "checkpoint_copied",
    }


def test_the_trained_model_is_the_stored_one(spec):
    run = stlm.train(spec(**FREE))
    stored = load_file(run.checkpoint.folder / "model.safetensors")
    model = run.model.state_dict()
    assert all(torch.equal(model[name], tensor) for name, tensor in stored.items())
    losses = [r["loss"] for r in run.metrics if r["split"] == "train"]
    assert losses[-1] < losses[0]
    assert {r["lr"] for r in run.metrics if r["step"] > 1 and r["split"] == "train"} == {1e-2}


def test_groups_are_its_own_and_are_stored_by_name(spec):
    run = stlm.train(spec(**FREE))
    groups = json.loads((run.checkpoint.folder / "optimizer.json").read_text())["param_groups"]
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert [g["t"] for g in groups] == [8, 8]
    assert "core.blocks.0.ffn.up.weight" in groups[0]["params"]
    assert not any("embedder" in name or "norm" in name for name in groups[0]["params"])
    assert any("embedder" in name or "head.linear" in name for name in groups[1]["params"])


@pytest.mark.parametrize("stop", [3, 5])
def test_a_run_that_goes_on_is_the_run_that_never_stopped(spec, stop):
    """Stopped at a checkpoint's step, and between two."""
    whole = spec(**FREE)
    uninterrupted = stlm.train(whole)
    program = compile(whole, "cpu")
    data = prepare(whole, program.tokenizer)

    class Stop:
        @hook
        def step_ends(self, run):
            run.stop = run.step == stop

    folder = RunFolder.create("stopped", whole.general.paths)
    state = whole.trainer.build(program, folder=folder, data=data, checkpoint=None)
    state.plugins.register(Stop())
    loop.train(state)
    again = compile(whole, "cpu")
    checkpoint = latest_checkpoint(folder.checkpoints)
    assert checkpoint.step == stop
    loop.train(whole.trainer.build(again, folder=folder, data=data, checkpoint=checkpoint))
    for name, tensor in uninterrupted.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name
    one, other = (f / "step-8" for f in (uninterrupted.folder / "checkpoints", folder.checkpoints))
    assert (one / "optimizer.json").read_bytes() == (other / "optimizer.json").read_bytes()
    tensors, same = (load_file(f / "optimizer.safetensors") for f in (one, other))
    assert tensors.keys() == same.keys()
    assert all(torch.equal(tensor, same[name]) for name, tensor in tensors.items())


def test_a_dry_run_counts_its_three_tensors(spec):
    memory = compile(spec(**FREE), "meta").report.memory
    assert memory.optimizer == 3 * memory.gradients


def test_it_trains_any_network(spec):
    mixture = {"ffn_type": "mixture", "num_experts": 2, "expert": {"ffn_type": "generic", "ffn_dim": 8}}
    run = stlm.train(spec(**{**FREE, "ffn": mixture, "attn": {"attn_type": "linear", "num_heads": 2}}))
    checks.assert_generates(run.model)
