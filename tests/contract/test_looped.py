"""A core that uses its weights several times: parameters once, operations and states for each use."""

import pytest
import torch

import stlm
from stlm.compiler import compile
from stlm.nn import cost
from tests.contract import checks

LOOPED = {"core_model_type": "looped", "layers_per_loop": 2, "num_loops": 3}
ONCE = {**LOOPED, "num_loops": 1}


@pytest.mark.parametrize(
    "attn", [{"attn_type": "causal", "num_kv_heads": 1, "num_q_heads": 2}, {"attn_type": "linear", "num_heads": 2}]
)
def test_it_is_a_component_like_any_other(spec, attn, tmp_path):
    chosen = spec(core=LOOPED, attn=attn, model={"positional_encoding_type": "rope"})
    checks.assert_counted_as_built(chosen)
    model = checks.built(chosen)
    checks.assert_gradients_reach_every_parameter(model, checks.token_ids())
    checks.assert_causal(model)
    checks.assert_segments_keep_apart(model)
    checks.assert_going_on_is_starting_anew(model)
    checks.assert_generates(model)
    checks.assert_saves_and_loads(chosen, tmp_path)


def test_parameters_count_once_and_operations_for_each_use(spec):
    looped, once = (compile(spec(core=core), "meta") for core in (LOOPED, ONCE))
    assert looped.report.parameters == once.report.parameters
    head = cost.flops_per_token(once.model.head, 16)
    assert looped.report.flops_per_token["forward"] - head == 3 * (once.report.flops_per_token["forward"] - head)


def test_activations_count_for_each_use_rotated_q_and_k_too(spec):
    rope = {"positional_encoding_type": "rope"}
    looped, once = (compile(spec(core=core, model=rope), "meta").model for core in (LOOPED, ONCE))
    ends = sum(cost.saved_bytes_per_token(part, 16, 4) for part in (once.embedder, once.head))
    assert cost.saved_bytes_per_token(looped, 16, 4) - ends == 3 * (cost.saved_bytes_per_token(once, 16, 4) - ends)


def test_there_is_a_state_for_each_use_of_a_layer(spec):
    model = checks.built(spec(core=LOOPED))
    state = model.init_state(1, 8)
    with torch.no_grad():
        model(checks.token_ids(1, 8), state=state)
    caches = [cache for loop in state.core for cache in loop]
    assert len(caches) == 6
    assert len({cache.keys.data_ptr() for cache in caches}) == 6
    assert not any(torch.equal(a.keys, b.keys) for a, b in zip(caches, caches[2:], strict=False))


def test_no_state_where_an_attention_has_none(spec):
    model = checks.built(spec(core=LOOPED, attn={"attn_type": "bidirectional", "num_kv_heads": 2}))
    assert model.init_state(1, 8) is None


def test_initialization_knows_the_depth_that_a_token_goes_through(spec):
    chosen = spec(core=LOOPED)
    assert chosen.model.initialization.build(chosen.model).residual_std == pytest.approx(0.2 / (2 * 6) ** 0.5)


def test_it_learns(spec):
    run = stlm.train(spec(core=LOOPED, model={"std": 0.02}, trainer={"max_iters": 20}))
    losses = [r["loss"] for r in run.metrics if r["split"] == "train"]
    assert losses[-1] < losses[0] - 0.2
    assert run.generate("The ", max_new_tokens=5, temperature=0) == run.generate(
        "The ", max_new_tokens=5, temperature=0, cached=False
    )
