"""An embedder that makes fewer hidden states than there are tokens, and the head that makes tokens of them again."""

import pytest
import torch
import torch.nn.functional as F

import stlm
from stlm.compiler import compile
from stlm.components.sampler.standard import StandardSampler
from stlm.data.serving.batch import IGNORE, Batch
from stlm.generation.generate import Decoder
from stlm.nn import Context, Rotary, cost
from stlm.spec import SpecError
from stlm.training.losses import NextTokenCrossEntropy
from tests.contract import checks

LOCAL = {"attn_type": "causal", "num_kv_heads": 2}
PATCHES = {
    "embedding": {"embedding_model_type": "patches", "patch_size": 3},
    "head": {"lm_head_type": "patches", "local_attn": LOCAL},
}


@pytest.mark.parametrize("positions", ["none", "rope", "learned", "sincos"])
@pytest.mark.parametrize("patch_size", [2, 3, 16])
def test_it_is_a_component_like_any_other(spec, positions, patch_size, tmp_path):
    embedding = {"embedding_model_type": "patches", "patch_size": patch_size}
    chosen = spec(
        **{**PATCHES, "embedding": embedding}, model={"positional_encoding_type": positions, "context_window": 48}
    )
    checks.assert_counted_as_built(chosen)
    model = checks.built(chosen)
    checks.assert_gradients_reach_every_parameter(model, checks.token_ids(seq=48))
    checks.assert_causal(model, seq=35)
    checks.assert_generates(model)
    checks.assert_saves_and_loads(chosen, tmp_path)


@pytest.mark.parametrize("border", range(5, 13))
def test_segments_keep_apart_where_a_patch_holds_two(spec, border):
    checks.assert_segments_keep_apart(checks.built(spec(**PATCHES)), border=border)


def test_the_core_sees_patches_and_the_head_gives_a_row_a_token(spec):
    model = checks.built(spec(**PATCHES))
    seen: list[tuple[torch.Size, Context]] = []
    model.core.register_forward_pre_hook(lambda module, args: seen.append((args[0].shape, args[1])))
    states, _ = model.token_states(checks.token_ids(2, 16))
    ((shape, context),) = seen
    assert shape == (2, 6, 16)
    assert context.positions.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert states.shape == (2, 16, 16)


def test_a_token_hears_of_the_patches_before_it_and_of_its_own_up_to_itself(spec):
    """Seen from the 8th token: patches 0 and 1 through the core, tokens 6 and 7 directly."""
    model = checks.built(spec(**PATCHES))
    ids = checks.token_ids(1, 16)
    for t in range(8):
        changed = ids.clone()
        changed[0, t] += 1
        assert not torch.equal(model(ids)[0, 7], model(changed)[0, 7])


def test_padding_at_the_end_changes_nothing(spec):
    model = checks.built(spec(**PATCHES))
    ids, segments = checks.token_ids(2, 16), torch.zeros(2, 16, dtype=torch.long)
    segments[:, 7:] = -1
    with torch.no_grad():
        torch.testing.assert_close(model(ids, segments=segments)[:, :7], model(ids[:, :7]))


def test_the_loss_works_on_rows_of_tokens(spec):
    model = checks.built(spec(**PATCHES))
    ids = checks.token_ids(2, 17)
    batch = Batch(ids[:, :-1], ids[:, 1:].clone())
    batch.targets[0, :5] = IGNORE
    states, _ = model.token_states(batch.token_ids)
    total, count = NextTokenCrossEntropy()(states, model.head, batch)
    assert count == 27
    plain = F.cross_entropy(model(batch.token_ids).flatten(0, 1), batch.targets.flatten(), reduction="sum")
    torch.testing.assert_close(total, plain)
    total.backward()
    assert model.embedder.join.weight.grad.any()


def test_operations_are_counted_for_a_patch_where_the_core_sees_one(spec):
    model = compile(spec(**PATCHES), "meta").model
    core = cost.flops_per_token(model.core, round(48 / 3))
    local = cost.flops_per_token(model.head.local, 3)
    assert cost.flops_per_token(model, 48) == pytest.approx(core / 3 + 2 * 16 * 16 + local + 2 * 300 * 16)


def test_there_is_no_state_and_generation_works_without(spec):
    model = checks.built(spec(**PATCHES))
    assert model.init_state(1, 16) is None
    checks.assert_generates(model)


def test_prompts_of_different_lengths_give_in_one_batch_what_each_gives_alone(spec):
    """Padded to one length, a text would have its tokens pooled with the padding, in other patches."""
    model = checks.built(spec(**PATCHES))

    def decoded(*prompts):
        how = {"device": torch.device("cpu"), "sampler": StandardSampler(temperature=0.0).build(), "context_window": 16}
        decoder = Decoder(model, prompts, [0] * len(prompts), **how)
        for _ in range(12):
            decoder.step()
        return decoder.texts

    prompts = [[5, 9, 250, 7, 31], [8], [77, 3]]
    assert decoded(*prompts) == [decoded(prompt)[0] for prompt in prompts]


def test_a_part_may_work_at_other_positions():
    """As a head would that attends among tokens, after a core that attended among patches."""
    rotary = Rotary()
    tokens, patches = torch.arange(6).unsqueeze(0), torch.arange(0, 12, 2).unsqueeze(0)
    q = torch.randn(1, 1, 6, 8, generator=torch.Generator().manual_seed(0))
    context = Context(torch.zeros(1, 6, dtype=torch.long), patches, positional_encoding=rotary)
    context.encode_qk(q, q)
    inner = context.at(tokens, None)
    inner.add_loss("inner", torch.ones(()))
    assert context.losses == {"inner": 1}
    fresh = Context(torch.zeros(1, 6, dtype=torch.long), tokens, positional_encoding=rotary)
    assert torch.equal(inner.encode_qk(q, q)[0], fresh.encode_qk(q, q)[0])


def test_any_attention_may_work_within_the_patches(spec):
    linear = {"lm_head_type": "patches", "local_attn": {"attn_type": "linear", "num_heads": 2}}
    checks.assert_causal(checks.built(spec(**{**PATCHES, "head": linear})))
    with pytest.raises(SpecError, match="shows tokens what follows them"):
        spec(**{**PATCHES, "head": {**linear, "local_attn": {"attn_type": "bidirectional", "num_kv_heads": 2}}})


def test_embedder_and_head_ask_for_each_other(spec):
    for parts in ({"embedding": PATCHES["embedding"]}, {"head": PATCHES["head"]}):
        with pytest.raises(SpecError) as error:
            spec(**parts)
        assert [d.code.value for d in error.value.diagnostics] == ["rule"]


def test_it_learns(spec):
    run = stlm.train(spec(**PATCHES, model={"std": 0.02}, trainer={"max_iters": 30}))
    losses = [r["loss"] for r in run.metrics if r["split"] == "train"]
    assert losses[-1] < losses[0] - 0.5
    assert run.generate("The ", max_new_tokens=5, temperature=0)
