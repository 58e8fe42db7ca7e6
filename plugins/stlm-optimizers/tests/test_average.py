"""At which of its two points a run has the model of a schedule-free optimizer, moment by moment."""

import pytest
import torch
from safetensors.torch import load_file

import stlm
from stlm.data.preparation.prepare import prepare
from stlm.registry import hook
from stlm.training import loop
from stlm.training.checkpoint import latest_checkpoint
from stlm.training.folder import RunFolder


class Watch:
    """Notes where the model is; after one step the two points are the same."""

    def __init__(self):
        self.seen = set()

    def note(self, run, moment):
        where = {group["train_mode"] for group in run.optimizer.param_groups}
        states = [(p, run.optimizer.state[p]) for p in run.model.parameters()]
        kept = all("y" in state for _, state in states)  # the training point, kept while the parameters are elsewhere
        moved = kept and any(not torch.equal(p, state["y"]) for p, state in states)
        if run.step > 1:
            assert where == {not kept}
            self.seen.add((moment, "average" if moved else "training"))

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


@pytest.fixture
def watched(small):
    """A run that is over, with what was noted."""
    spec = small("schedule_free")
    program, watch = stlm.compile(spec, "cpu"), Watch()
    data, folder = prepare(spec, program.tokenizer), RunFolder.create("watched", spec.general.paths)
    run = spec.trainer.build(program, folder=folder, data=data, checkpoint=None)
    run.plugins.register(watch)
    loop.train(run)
    return run, watch, latest_checkpoint(folder.checkpoints)


def test_it_is_evaluated_and_stored_at_the_average_and_trained_beside_it(watched):
    run, watch, checkpoint = watched
    assert watch.seen == {
        ("step_ends", "training"),
        ("evaluation_starts", "average"),
        ("evaluation_ends", "average"),
        ("checkpoint_copied", "average"),
    }
    stored, left = load_file(checkpoint.folder / "model.safetensors"), run.model.state_dict()
    assert all(torch.equal(left[name], tensor) for name, tensor in stored.items())
