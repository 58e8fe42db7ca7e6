"""Patches of bytes: what the core sees, what generation keeps, what it costs, and what cannot be said."""

import pytest
import torch
import torch.nn.functional as F

from stlm.compiler import compile
from stlm.components.sampler.standard import StandardSampler
from stlm.data.serving.batch import IGNORE, Batch
from stlm.generation.generate import Decoder
from stlm.nn import cost
from stlm.registry.describe import describe_component
from stlm.spec import SpecError
from stlm.testing import kept_by_autograd
from stlm.training.losses import NextTokenCrossEntropy


def test_the_core_sees_whole_patches_and_the_head_gives_a_row_a_byte(patched, ids):
    model, seen = patched(), []
    model.core.register_forward_pre_hook(lambda module, args: seen.append((args[0].shape, args[1].positions.tolist())))
    states, _ = model.token_states(ids(2, 19))
    assert seen == [((2, 4, 16), [[0, 1, 2, 3]])]
    assert states.shape == (2, 19, 12)


@pytest.mark.parametrize("t", [0, 2, 3, 4, 9])
def test_a_byte_is_predicted_from_each_byte_up_to_it_and_from_none_behind(patched, ids, t):
    model, tokens = patched(), ids(1, 12)
    with torch.no_grad():
        was = model(tokens)[0, t]
        for place in range(12):
            changed = tokens.clone()
            changed[0, place] = (changed[0, place] + 1) % 256
            assert torch.equal(model(changed)[0, t], was) == (place > t)


@pytest.mark.parametrize("border", range(1, 12))
def test_texts_stay_apart_wherever_in_a_patch_they_meet(patched, ids, border):
    model, tokens, other = patched(), ids(2, 24), ids(2, 24, seed=1)
    segments = (torch.arange(24) >= border).long().expand(2, 24)
    other[:, border:] = tokens[:, border:]
    with torch.no_grad():
        one, two = model(tokens, segments=segments), model(other, segments=segments)
        assert torch.equal(one[:, border:], two[:, border:])
        assert not torch.equal(model(tokens)[:, border:], model(other)[:, border:])


@pytest.mark.parametrize("borders", [(), (5, 16)])
def test_texts_may_have_any_numbers(patched, ids, borders):
    """What stands before the first byte is of the first text, whatever its number is."""
    model, tokens = patched(), ids(2, 24)
    segments = sum((torch.arange(24) >= border).long() for border in borders) + torch.zeros(2, 24, dtype=torch.long)
    with torch.no_grad():
        assert torch.equal(model(tokens, segments=segments), model(tokens, segments=segments + 3))


@pytest.mark.parametrize("sizes", [[1] * 24, [24], [3, 1, 12, 1, 7], [2, 2, 4, 11, 5]])
@pytest.mark.parametrize("borders", [None, (5, 16)])
def test_in_steps_of_any_size_it_is_the_same_as_at_once(patched, ids, sizes, borders):
    model, tokens = patched("model.positional_encoding_type=rope"), ids(2, 24)
    segments = None if borders is None else sum((torch.arange(24) >= border).long() for border in borders).expand(2, 24)
    state, parts, start = model.init_state(2, 24), [], 0
    with torch.no_grad():
        for size in sizes:
            own = None if segments is None else segments[:, start : start + size]
            parts.append(model(tokens[:, start : start + size], state=state, segments=own))
            start += size
        whole = model(tokens, segments=segments)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)


def test_in_generation_the_core_runs_once_a_patch(patched, ids):
    model, runs = patched(), []
    model.core.register_forward_pre_hook(lambda module, args: runs.append(args[0].shape[1]))
    state = model.init_state(1, 24)
    with torch.no_grad():
        for one in ids(1, 24).split(1, dim=1):
            model(one, state=state)
    assert runs == [1] * 6
    assert [cache.keys.shape[2] for cache in state.core] == [6, 6]


def test_prompts_of_any_lengths_go_on_together_as_alone(patched):
    model = patched()

    def decoded(*prompts, cached=True):
        sampler = StandardSampler(temperature=0.0).build()
        how = {"device": torch.device("cpu"), "sampler": sampler, "context_window": 24, "cached": cached}
        decoder = Decoder(model, prompts, [0] * len(prompts), **how)
        for _ in range(30):  # past the end of the window
            decoder.step()
        return decoder.texts

    prompts = [[5, 9, 250, 7, 31], [8], [77, 3, 1, 2, 4, 6, 7, 8, 9]]
    expected = [decoded(prompt, cached=False)[0] for prompt in prompts]
    assert decoded(*prompts) == expected


def test_the_loss_works_on_rows_of_bytes(patched, ids):
    """Some of which it is not asked for, as the head makes them of a patch together."""
    model, tokens = patched(), ids(2, 20)
    batch = Batch(tokens[:, :-1], tokens[:, 1:].clone())
    batch.targets[0, :5] = IGNORE
    states, _ = model.token_states(batch.token_ids)
    total, count = NextTokenCrossEntropy()(states, model.head, batch)
    assert count == 2 * 19 - 5
    logits = model(batch.token_ids).flatten(0, 1)
    torch.testing.assert_close(total, F.cross_entropy(logits, batch.targets.flatten(), reduction="sum"))
    total.backward()
    assert model.embedder.join.weight.grad.any()


def test_operations_are_a_bytes_share(shipped):
    """Of four bytes: the map that joins them, the core, the spread; of each: two local blocks, and 258 logits."""
    model = compile(shipped("patches.yaml"), "meta").model
    core = cost.flops_per_token(model.core, 256 // 4)
    attention = 2 * 64 * 4 * 64 + 4 * 4 * 64 / 2
    local = 2 * (attention + 2 * 3 * 64 * 192)
    expected = (2 * 4 * 64 * 128 + core + 2 * 128 * 4 * 64) / 4 + local + 2 * 64 * 258
    assert cost.flops_per_token(model, 256) == pytest.approx(expected)


def test_the_activations_that_are_told_are_kept(shipped):
    """What autograd holds after the forward pass, each storage once, parameters aside."""
    model = compile(shipped("patches.yaml"), "cpu").model.train()
    tokens = torch.randint(0, 258, (2, 256), generator=torch.Generator().manual_seed(0))
    (states, _), kept = kept_by_autograd(model, lambda: model.token_states(tokens))
    assert states.requires_grad
    assert cost.saved_bytes_per_token(model, 256, 4) * tokens.numel() == pytest.approx(kept, rel=0.05)


@pytest.mark.parametrize(
    ("overrides", "key", "says"),
    [
        (["model.lm_head_type=generic"], "embedding_model_type", "cannot undo"),
        (["model.embedding_model_type=generic"], "lm_head_type", "makes none"),
        (["model.patch_size=300"], "patch_size", "longer than the `context_window` of 256"),
        (["model.local_num_heads=3"], "local_num_heads", "cannot be split evenly among 3 heads"),
    ],
)
def test_what_cannot_be_is_said_at_its_key(shipped, overrides, key, says):
    with pytest.raises(SpecError) as caught:
        shipped("patches.yaml", *overrides)
    told = [d for d in caught.value.diagnostics if d.code.value == "rule"]
    assert [d.key for d in told] == [f"model.{key}"]
    assert says in told[0].message


@pytest.mark.parametrize("option", ["embedding_dropout", "lm_head_dropout"])
def test_dropout_zeroes_its_share_of_patches_or_of_local_states_and_scales_the_rest(patched, ids, option):
    model, tokens, read = patched(f"model.{option}=0.25"), ids(8, 24), {}
    model.embedder.register_forward_hook(lambda module, args, out: read.update(embedding_dropout=out))

    def after_dropout():
        read["lm_head_dropout"], _ = model.token_states(tokens)
        return read[option].detach()

    whole = after_dropout()
    model.train()
    found = after_dropout()
    kept = found != 0
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.06)  # of 768 and more, known to 0.016
    torch.testing.assert_close(found[kept], whole[kept] / 0.75)


def test_before_training_nothing_is_heard_at_the_start(shipped):
    model = compile(shipped("patches.yaml"), "cpu").model
    assert model.head.start.shape == (4 * 64,)
    assert not model.head.start.any()


def test_a_bias_and_a_local_width_are_built_as_they_are_said(patched):
    head = patched("model.lm_head_bias=true", "model.local_ffn_dim=20").head
    assert head.linear.bias.shape == (258,)
    assert {block.ffn.up.out_features for block in head.local.blocks} == {20}
    assert patched().head.linear.bias is None


def test_a_patch_may_be_a_whole_window(shipped):
    assert shipped("patches.yaml", "model.patch_size=256").model.embedding_model.patch_size == 256


@pytest.mark.parametrize(
    ("kind", "defaults"),
    [
        ("embedding", {"embedding_weight_tying": True, "embedding_dropout": 0.0}),
        ("lm_head", {"lm_head_normalization": "rms_norm", "lm_head_bias": False, "lm_head_dropout": 0.0}),
    ],
)
def test_defaults_are_those_that_the_readme_names(kind, defaults):
    described = {one["key"]: one["default"] for one in describe_component(kind, "byte_patches")["options"]}
    assert {key: described[key] for key in defaults} == defaults


def test_the_local_width_by_default_is_thrice_the_width_of_a_byte(shipped):
    assert shipped("patches.yaml", "model.local_dim=20").model.lm_head.local_ffn_dim == 60
