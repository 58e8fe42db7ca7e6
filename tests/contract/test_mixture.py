"""A feed-forward network with a loss of its own, weights that a token does not use, and a part in the run."""

import json

import pytest
import torch

import stlm
from stlm.compiler import compile
from stlm.nn.cost import flops_per_token
from stlm.spec import SpecError
from tests.contract import checks

MIXTURE = {
    "ffn_type": "mixture",
    "num_experts": 4,
    "experts_per_token": 2,
    "expert": {"ffn_type": "silu_ffn", "ffn_dim": 8},
}
EXPERT = 16 + 3 * 16 * 8
ATTENTION = 16 + 16 * 48 + 16 * 16


def test_it_is_a_component_like_any_other(spec, tmp_path):
    chosen = spec(ffn=MIXTURE)
    checks.assert_counted_as_built(chosen, 300 * 16 + 2 * (ATTENTION + 16 + 16 * 4 + 4 * EXPERT) + 16)
    model = checks.built(chosen)
    checks.assert_gradients_reach_every_parameter(model, checks.token_ids())
    checks.assert_causal(model)
    checks.assert_generates(model)
    checks.assert_saves_and_loads(chosen, tmp_path)


def test_the_report_tells_active_parameters_and_operations_from_all(spec):
    report = compile(spec(ffn=MIXTURE), "meta").report
    assert report.parameters.total - report.parameters.active == 2 * 2 * EXPERT
    assert report.as_json()["parameters"]["active"] == report.parameters.active
    products = ATTENTION - 16 + 16 * 4 + 2 * (EXPERT - 16)
    scores_and_sums = 4 * 16 * 16 / 2
    assert report.flops_per_token["forward"] == 2 * (2 * products + scores_and_sums) + 2 * 300 * 16


def test_experts_that_blocks_share_are_active_once(spec):
    tied = {"core_model_type": "generic", "num_layers": 3, "ffn_weight_tying": True}
    counts = compile(spec(core=tied, ffn=MIXTURE), "meta").report.parameters
    assert counts.total - counts.active == 2 * EXPERT


def test_each_token_is_a_weighted_sum_of_its_experts(spec):
    model = checks.built(spec(ffn=MIXTURE))
    ffn = model.core.blocks[0].ffn
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    _, context = model.token_states(checks.token_ids())
    said = torch.stack([expert(x, context) for expert in ffn.experts])
    probabilities = ffn.router(ffn.norm(x)).softmax(-1)
    kept = probabilities * (probabilities >= probabilities.topk(2).values[..., -1:])
    torch.testing.assert_close(ffn(x, context), torch.einsum("ebsd,bse->bsd", said, kept))


def test_its_loss_is_least_when_the_experts_share_the_work(spec):
    model = checks.built(spec(ffn=MIXTURE))
    _, context = model.token_states(checks.token_ids())
    loss = context.losses["mixture_balance"]
    assert loss > 2 * 0.01  # two layers, each at least its weight, which is an even router's
    ffn = model.core.blocks[-1].ffn
    gradients = torch.autograd.grad(loss, [ffn.router.weight, ffn.experts[0].up.weight], allow_unused=True)
    assert gradients[0].any()
    assert gradients[1] is None


def test_an_expert_without_a_token_has_no_gradient_to_speak_of(spec):
    model = checks.built(spec(ffn=MIXTURE)).train()
    checks.objective(model, torch.zeros(1, 1, dtype=torch.long)).backward()
    gradients = [expert.up.weight.grad for expert in model.core.blocks[0].ffn.experts]
    assert sorted(bool(g.any()) for g in gradients) == [False, False, True, True]


def test_its_loss_is_trained_on_and_its_balance_is_logged(spec):
    def shares(weight):
        run = stlm.train(spec(ffn={**MIXTURE, "balance_weight": weight}, trainer={"max_iters": 30}))
        records = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        train = [r for r in records if r["split"] == "train"]
        assert train[-1]["loss"] < train[0]["loss"]
        return [r["mixture/busiest_share"] for r in train]

    free, held = shares(0.0), shares(1.0)
    assert len(free) == len(held) == 30
    assert 0.25 <= min(held) <= max(free) <= 0.5  # a token's two experts differ, so no expert has more than half
    assert sum(held[-10:]) < sum(free[-10:])


def test_its_expert_is_read_like_any_other_block(spec):
    with pytest.raises(SpecError) as error:
        spec(ffn={**MIXTURE, "experts_per_token": 5, "expert": {"ffn_type": "silu_ffn", "ffn_dims": 8}})
    told = {(d.key, d.code.value) for d in error.value.diagnostics}
    assert told == {("model.ffn.experts_per_token", "rule"), ("model.ffn.expert.ffn_dims", "unknown-key")}


def test_experts_may_be_mixtures(spec):
    nested = {**MIXTURE, "expert": {**MIXTURE, "expert": {"ffn_type": "generic", "ffn_dim": 8}}}
    model = checks.built(spec(ffn=nested))
    checks.assert_causal(model)
    assert flops_per_token(model, 16) > flops_per_token(checks.built(spec(ffn=MIXTURE)), 16)
