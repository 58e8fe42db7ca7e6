"""Masked next-token prediction: what is hidden, what is asked, and that no answer is left in the input."""

from types import SimpleNamespace

import pytest
import torch

from stlm.compiler import compile
from stlm.data.serving.batch import IGNORE, Batch
from stlm.training.losses import prepare_batch
from stlm.training.masking import MaskedNextToken

MASK, VOCAB = 1, 300
TOKENIZER = SimpleNamespace(mask_id=MASK)
ATTENTIONS = pytest.mark.parametrize("attention", ["causal", "bidirectional"])


def windows(ids: torch.Tensor, **more: torch.Tensor) -> Batch:
    return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), **more)


def drawn(rows: int = 4, seq: int = 64, seed: int = 0) -> Batch:
    return windows(torch.randint(2, VOCAB, (rows, seq + 1), generator=torch.Generator().manual_seed(seed)))


def prepared(batch: Batch, probability: float = 0.15, seed: int = 0) -> Batch:
    return MaskedNextToken(probability).prepare(batch, torch.Generator().manual_seed(seed), TOKENIZER)


def test_a_hidden_token_is_asked_for_at_the_position_before_it_and_nothing_else_is():
    given, made = drawn(), prepared(drawn())
    asked, hidden = made.targets != IGNORE, made.token_ids != given.token_ids
    assert torch.equal(asked[:, :-1], hidden[:, 1:])
    assert not hidden[:, 0].any()
    assert not asked[:, -1].any()
    assert (made.token_ids[hidden] == MASK).all()
    assert torch.equal(made.targets[asked], given.targets[asked])
    assert torch.equal(made.targets[:, :-1][asked[:, :-1]], given.token_ids[:, 1:][hidden[:, 1:]])


@pytest.mark.parametrize("probability", [0.005, 0.02, 0.15, 0.6])
def test_the_share_of_hidden_tokens_is_what_was_said(probability):
    made = prepared(drawn(rows=64, seq=257), probability)
    share = (made.targets[:, :-1] != IGNORE).float().mean()
    assert share == pytest.approx(probability, abs=4 * (probability * (1 - probability) / (64 * 256)) ** 0.5)


def test_a_probability_of_1_hides_all_but_the_first_tokens():
    given, made = drawn(), prepared(drawn(), 1.0)
    assert torch.equal(made.token_ids[:, 0], given.token_ids[:, 0])
    assert (made.token_ids[:, 1:] == MASK).all()
    assert torch.equal(made.targets[:, :-1], given.targets[:, :-1])


def test_what_was_not_asked_before_is_neither_hidden_nor_asked():
    given = drawn()
    off = torch.rand(given.targets.shape, generator=torch.Generator().manual_seed(7)) < 0.5
    made = prepared(Batch(given.token_ids, given.targets.masked_fill(off, IGNORE)), 1.0)
    hidden = made.token_ids != given.token_ids
    assert not hidden[:, 1:][off[:, :-1]].any()
    assert hidden[:, 1:][~off[:, :-1]].all()
    assert (made.targets[off] == IGNORE).all()


def test_the_mask_token_is_never_asked_for():
    """Of most tokenizers it is the end of text, which stands in the text itself."""
    ids = torch.tensor([[5, MASK, 6, MASK, 7, 8]])
    made = prepared(windows(ids), 1.0)
    assert made.targets.tolist() == [[IGNORE, 6, IGNORE, 7, IGNORE]]
    assert made.token_ids.tolist() == [[5, MASK, MASK, MASK, MASK]]


def test_a_token_whose_mask_would_stand_in_another_segment_is_neither_hidden_nor_asked_for():
    """It is the end of text that begins the next document: the model could not see its mask, nor anything behind."""
    ids = torch.tensor([[2, 5, 6, 2, 7, 8, 2]])
    made = prepared(windows(ids, segments=torch.tensor([[0, 0, 0, 1, 1, 1]])), 1.0)
    assert made.targets.tolist() == [[5, 6, IGNORE, 7, 8, IGNORE]]
    assert made.token_ids.tolist() == [[2, MASK, MASK, 2, MASK, MASK]]


def test_segments_and_positions_stay_and_the_given_batch_is_not_changed():
    where = {"segments": torch.arange(64).expand(4, 64) // 8, "positions": torch.arange(64).expand(4, 64) % 8}
    ids = torch.randint(2, VOCAB, (4, 65))
    given = windows(ids, **where)
    made = prepared(given)
    assert torch.equal(made.segments, where["segments"])
    assert torch.equal(made.positions, where["positions"])
    assert torch.equal(given.token_ids, ids[:, :-1])
    assert torch.equal(given.targets, ids[:, 1:])


def test_what_is_hidden_depends_on_seed_and_purpose_and_not_on_the_tokens():
    loss = MaskedNextToken(0.15)
    places = [
        prepare_batch(loss, drawn(seed=tokens), TOKENIZER, seed, "loss", step, micro).targets != IGNORE
        for tokens, seed, step, micro in [(0, 1, 5, 0), (9, 1, 5, 0), (0, 2, 5, 0), (0, 1, 6, 0), (0, 1, 5, 1)]
    ]
    assert torch.equal(places[0], places[1])
    assert all(not torch.equal(places[0], other) for other in places[2:])


def test_where_chance_hides_nothing_one_token_is_hidden():
    for seed in range(20):
        made = prepared(drawn(rows=1, seq=4), 1e-9, seed)
        assert int((made.targets != IGNORE).sum()) == 1
    assert len({tuple(prepared(drawn(1, 8), 1e-9, seed).token_ids[0].tolist()) for seed in range(20)}) > 3


@pytest.mark.parametrize("ids", [[[5, MASK]], [[MASK] * 6], [[5, 6]]], ids=["mask only", "masks", "one input"])
def test_where_nothing_can_be_hidden_nothing_is_asked_and_the_loss_is_nothing(tiny_spec, ids):
    given = windows(torch.tensor(ids))
    made = prepared(given, 1.0)
    assert torch.equal(made.token_ids, given.token_ids)
    assert (made.targets == IGNORE).all()
    model = compile(tiny_spec(), "cpu").model
    states, _ = model.token_states(made.token_ids)
    total, count = MaskedNextToken(1.0)(states, model.head, made)
    total.backward()
    assert (float(total.detach()), int(count)) == (0.0, 0)
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


# No leak


def gradient_of_rows(model, loss, batch):
    """The gradient of the loss by the embedding of each token, as a norm a token, (vocab,)."""
    model.zero_grad(set_to_none=True)
    states, _ = model.token_states(batch.token_ids)
    loss(states, model.head, batch)[0].backward()
    return next(m for m in model.embedder.modules() if isinstance(m, torch.nn.Embedding)).weight.grad.norm(dim=1)


@ATTENTIONS
def test_no_gradient_reaches_the_embedding_of_a_hidden_token(tiny_spec, attention):
    """All tokens of the text are different, and the head is not tied, so each row of the table is one token's input."""
    untied = "model.embedding_weight_tying=false"
    model = compile(tiny_spec(untied, f"model.attn.attn_type={attention}"), "cpu").model.eval()
    ids = (torch.randperm(VOCAB - 2, generator=torch.Generator().manual_seed(0)) + 2)[: 2 * 17].view(2, 17)
    given, loss = windows(ids), MaskedNextToken(0.3)
    made = prepared(given, 0.3)
    asked = made.targets != IGNORE
    answers = made.targets[asked]
    assert len(answers) > 5
    assert not gradient_of_rows(model, loss, made)[answers].any()
    assert gradient_of_rows(model, loss, made)[MASK] > 0
    if attention == "bidirectional":  # the same test finds the leak where the answers are left in
        assert gradient_of_rows(model, loss, Batch(given.token_ids, made.targets))[answers].all()


@ATTENTIONS
def test_other_tokens_in_the_places_of_all_answers_change_no_state(tiny_spec, attention):
    model = compile(tiny_spec(f"model.attn.attn_type={attention}"), "cpu").model.eval()
    given = drawn(seq=16)
    asked = prepared(given).targets != IGNORE
    answers = torch.where(asked, drawn(seq=16, seed=9).targets, given.targets)
    other = windows(torch.cat((given.token_ids[:, :1], answers), dim=1))
    with torch.no_grad():
        one, two = (model.token_states(prepared(batch).token_ids)[0] for batch in (given, other))
        seen, also_seen = (model.token_states(batch.token_ids)[0] for batch in (given, other))
    assert (given.targets[asked] != other.targets[asked]).any()
    assert torch.equal(one, two)
    assert not torch.equal(seen, also_seen)
