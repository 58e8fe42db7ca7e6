"""A plugin that is only hooks, and takes part where a spec names it."""

import pytest
import torch

import stlm
from stlm.spec import SpecError, WorkError

HOOK = {"hooks": ["weight_norm"]}


def test_its_number_stands_in_each_line_of_the_metrics(spec):
    run = stlm.train(spec(general=HOOK))
    train = [r for r in run.metrics if r["split"] == "train"]
    assert len(train) == 8
    norm = sum(p.detach().square().sum() for p in run.model.parameters()).sqrt()
    assert train[-1]["weight_norm"] == pytest.approx(float(norm))
    assert train[0]["weight_norm"] != train[-1]["weight_norm"]


def test_it_does_nothing_where_it_is_not_named(spec):
    run = stlm.train(spec())
    assert not any("weight_norm" in record for record in run.metrics)


def test_it_does_not_change_what_is_trained(spec):
    with_hook, without = stlm.train(spec(general=HOOK)), stlm.train(spec())
    theirs = without.model.state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in with_hook.model.state_dict().items())


def test_which_hooks_take_part_is_in_the_digest_for_they_may_change_what_is_trained(spec):
    plain, named, other = spec(), spec(general=HOOK), spec(general={**HOOK, "weight_norm_of": "core."})
    assert len({one.digest for one in (plain, named, other)}) == 3


def test_its_options_stand_beside_the_key_that_names_it(spec):
    run = stlm.train(spec(general={**HOOK, "weight_norm_of": "core."}))
    norm = sum(p.detach().square().sum() for p in run.model.core.parameters()).sqrt()
    assert run.metrics[-2]["weight_norm"] == pytest.approx(float(norm))
    with pytest.raises(SpecError, match="weight_norm_off"):
        spec(general={**HOOK, "weight_norm_off": "head."})
    with pytest.raises(SpecError, match="weight_norm_of"):
        spec(general={"weight_norm_of": "head."})


def test_it_can_end_a_run_before_the_run_has_cost_anything(spec):
    with pytest.raises(WorkError, match="no parameter's name begins so"):
        stlm.train(spec(general={**HOOK, "weight_norm_of": "tail."}))
