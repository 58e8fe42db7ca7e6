"""Blocks in loops: a network unrolled, weight for weight, with a state and a cost for each use."""

import pytest
import torch

from stlm.compiler import compile
from stlm.nn import cost
from stlm.spec import SpecError

LOOPED = ("looped.yaml", "model.loop_embedding=false")
ORDERS = {"cycle": [0, 1, 0, 1, 0, 1], "immediate": [0, 0, 0, 1, 1, 1]}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("recomputed", ["none", "full", 2])
def test_it_is_a_generic_core_whose_layers_are_copies(built, unshared, backward, summed, order, recomputed):
    """The same logits; the gradient of a block is the sum of its copies' gradients, also where uses are run again."""
    model = built(*LOOPED, f"model.loop_order={order}", f"model.activation_checkpointing={recomputed}")
    apart = unshared(model)
    assert torch.equal(backward(model), backward(apart))
    for number, block in enumerate(model.core.blocks):
        copies = [apart.core.blocks[use] for use, which in enumerate(ORDERS[order]) if which == number]
        assert len(copies) == 3
        for name, gradient in summed(copies).items():
            torch.testing.assert_close(block.get_parameter(name).grad, gradient)


def test_a_loop_begins_with_its_vector_and_with_what_entered_the_core(built, ids, backward):
    """Written out for two blocks and three loops: e₀ before the first block, then e₁ and e₂ and the input again.

    The gradients are also those, that of the embedder through every loop among them.
    """

    def by_hand(token_ids):
        _, context = model.token_states(token_ids)
        given = model.embedder.token_embedding(token_ids)
        x, e = given, model.core.loop_embedding.weight
        for loop in range(3):
            x = x + e[loop] + (given if loop else 0)
            x = second(first(x, context), context)
        return model.head(x, context)

    model = built("looped.yaml", "model.input_injection=true", "model.embedding_weight_tying=false")
    first, second = model.core.blocks
    logits = backward(model)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    torch.testing.assert_close(backward(by_hand), logits)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_in_order_immediate_each_use_has_a_vector(built, ids):
    model = built("looped.yaml", "model.loop_order=immediate", "model.num_blocks=1")
    (block,) = model.core.blocks
    with torch.no_grad():
        x, e = model.embedder.token_embedding(ids), model.core.loop_embedding.weight
        _, context = model.token_states(ids)
        for loop in range(3):
            x = block(x + e[loop], context)
        torch.testing.assert_close(model.head(x, context), model(ids))


def test_there_is_a_cache_for_each_use(built, ids):
    model = built("looped.yaml", "model.input_injection=true")
    state = model.init_state(2, 16)
    with torch.no_grad():
        parts = [model(part, state=state) for part in ids.split([5, 1, 1, 9], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(ids), rtol=1e-4, atol=1e-5)
    assert [cache.length for cache in state.core] == [16] * 6
    assert not any(torch.equal(a.keys, b.keys) for a, b in zip(state.core, state.core[2:], strict=False))


def test_there_is_no_state_where_an_attention_has_none(built):
    assert built("looped.yaml", "model.attn={attn_type: bidirectional, num_kv_heads: 4}").init_state(2, 16) is None


def test_parameters_count_once_and_costs_for_each_use(shipped):
    looped, once = (compile(shipped(*LOOPED, f"model.num_loops={n}"), "meta") for n in (3, 1))
    assert looped.report.parameters == once.report.parameters
    for count, arguments in ((cost.flops_per_token, (64,)), (cost.saved_bytes_per_token, (64, 4))):
        core, of_once = count(looped.model.core, *arguments), count(once.model.core, *arguments)
        assert core == 3 * of_once > 0
    assert cost.encoded_elements(looped.model.core) == 3 * cost.encoded_elements(once.model.core) > 0


def test_uses_that_are_run_again_keep_their_input_alone(shipped):
    spec = shipped(*LOOPED, "model.activation_checkpointing=full")
    core = compile(spec, "meta").model.core
    of_block = cost.saved_bytes_per_token(core.blocks[0], 64, 4)
    assert cost.saved_bytes_per_token(core, 64, 4) == 5 * 4 * 64 + of_block  # five inputs, and all of the last use


def test_the_start_is_that_of_the_depth(shipped):
    model = shipped(*LOOPED, "model.std=0.2").model
    assert model.initialization.build(model).residual_std == pytest.approx(0.2 / (2 * 6) ** 0.5)


@pytest.mark.parametrize(
    ("overrides", "key", "says"),
    [
        (["model.input_injection=true", "model.loop_order=immediate"], "input_injection", "needs `loop_order: cycle`"),
        (["model.input_injection=true", "model.num_loops=1"], "input_injection", "`num_loops` is 1"),
        (["model.activation_checkpointing=7"], "activation_checkpointing", "through only 6 blocks"),
    ],
)
def test_what_cannot_be_is_said_at_its_key(shipped, overrides, key, says):
    with pytest.raises(SpecError) as caught:
        shipped("looped.yaml", *overrides)
    (found,) = caught.value.diagnostics
    assert (found.key, found.code.value) == (f"model.{key}", "rule")
    assert says in found.message
