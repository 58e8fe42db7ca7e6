"""A loss that changes the input before the model sees it, and gives nothing of the answer away."""

from types import SimpleNamespace

import pytest
import torch

import stlm
from stlm.compiler import compile
from stlm.data.serving.batch import IGNORE, Batch
from tests.contract import checks

TOKENIZER = SimpleNamespace(mask_id=1)
BOTH_SIDES = {"attn_type": "bidirectional", "num_kv_heads": 2}
MASKED = {"loss_fn": "masked_next_token", "masked_fraction": 0.3}


def batch(seed=0, rows=4, seq=64):
    ids = torch.randint(2, 300, (rows, seq + 1), generator=torch.Generator().manual_seed(seed))
    return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())


def prepared(given, seed=0, masked_fraction=0.3):
    from stlm_acid.nn.masked_next_token import MaskedNextTokenLoss

    return MaskedNextTokenLoss(masked_fraction).prepare(given, torch.Generator().manual_seed(seed), TOKENIZER)


def test_each_masked_token_is_asked_for_at_the_position_before_it():
    given, made = batch(), prepared(batch())
    asked = made.targets != IGNORE
    hidden = made.token_ids != given.token_ids
    assert torch.equal(asked[:, :-1], hidden[:, 1:])
    assert not hidden[:, 0].any()
    assert not asked[:, -1].any()
    assert (made.token_ids[hidden] == 1).all()
    assert torch.equal(made.targets[asked], given.targets[asked])
    assert 0.2 < asked.float().mean() < 0.4


def test_what_is_masked_depends_on_the_generator_alone():
    assert torch.equal(prepared(batch(), seed=3).token_ids, prepared(batch(), seed=3).token_ids)
    assert not torch.equal(prepared(batch(), seed=3).token_ids, prepared(batch(), seed=4).token_ids)
    one, other = prepared(batch(0)), prepared(batch(1))
    assert torch.equal(one.targets == IGNORE, other.targets == IGNORE)


def test_no_answer_can_be_read_off_the_input(spec):
    """Other tokens in the places of all answers: a model that sees both sides is given, and says, the very same."""
    given = batch(seq=16)
    asked = prepared(given).targets != IGNORE
    answers = torch.where(asked, batch(seed=9, seq=16).targets, given.targets)
    ids = torch.cat((given.token_ids[:, :1], answers), dim=1)
    swapped = Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
    one, other = prepared(given), prepared(swapped)
    assert (one.targets[asked] != other.targets[asked]).any()
    assert torch.equal(one.token_ids, other.token_ids)
    model = checks.built(spec(attn=BOTH_SIDES))
    assert torch.equal(model(one.token_ids), model(other.token_ids))


def test_a_model_that_sees_both_sides_would_read_answers_that_were_left_in(spec):
    """The claim above is not an empty one: unmasked, the answer at t moves the scores at t - 1."""
    model, ids = checks.built(spec(attn=BOTH_SIDES)), checks.token_ids()
    changed = ids.clone()
    changed[:, 9] += 1
    assert not torch.equal(model(ids)[:, 8], model(changed)[:, 8])


def test_a_document_is_not_asked_to_foretell_the_next_one():
    given = batch()
    segments = (torch.arange(64) // 8).expand(4, 64)
    made = prepared(Batch(given.token_ids, given.targets, segments), masked_fraction=1.0)
    assert (made.targets[:, 7::8] == IGNORE).all()
    assert (made.targets[:, :7] != IGNORE).all()


def test_the_mask_itself_is_never_asked_for():
    ids = torch.ones(2, 17, dtype=torch.long)
    assert (prepared(Batch(ids[:, :-1], ids[:, 1:]), masked_fraction=1.0).targets == IGNORE).all()


def test_a_run_counts_the_tokens_that_were_asked_for(spec):
    run = stlm.train(spec(attn=BOTH_SIDES, trainer={**MASKED, "max_iters": 30}, model={"std": 0.02}))
    train = [r for r in run.metrics if r["split"] == "train"]
    assert train[-1]["loss"] < train[0]["loss"] - 0.2
    assert train[-1]["tokens"] == pytest.approx(30 * 8 * 15 * 0.3, rel=0.1)
    held_out = [r["loss"] for r in run.metrics if r["split"] == "val"]
    assert len(held_out) == len(set(held_out)) == 8


def test_it_masks_with_the_tokenizers_own_token(spec):
    chosen = spec(trainer={**MASKED, "masked_fraction": 1.0})
    program = compile(chosen, "cpu")
    loss = chosen.trainer.loss_fn.build(chosen.trainer)
    given = batch()
    made = loss.prepare(given, torch.Generator().manual_seed(0), program.tokenizer)
    assert (made.token_ids[:, 1:] == program.tokenizer.mask_id).all()
    assert torch.equal(made.token_ids[:, 0], given.token_ids[:, 0])
