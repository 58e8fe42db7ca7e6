"""Models that see both sides: what they are asked, they must not be shown."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from stlm.compiler import compile
from stlm.data.serving.batch import IGNORE, Batch
from stlm.evaluation import held_out as held_out_module
from stlm.evaluation.held_out import HeldOut, measure_held_out
from stlm.evaluation.items import Item
from stlm.evaluation.likelihood import log_likelihoods
from stlm.evaluation.multiple_choice import score_items
from stlm.evaluation.pseudo_likelihood import score_hidden
from stlm.evaluation.requests import Request
from stlm.evaluation.subject import Subject
from stlm.training.losses import NextTokenCrossEntropy
from stlm.training.masking import MaskedNextToken

CPU = torch.device("cpu")
MASK = 299


class Peeking(nn.Module):
    """A model that reads the answer off its input wherever it stands there, and else holds all tokens for equal."""

    causal = False

    def __init__(self, vocab_size, mask_id):
        super().__init__()
        self.said = nn.Parameter(torch.eye(vocab_size) * 50)
        self.said.data[mask_id] = 0
        self.head = SimpleNamespace(project=lambda states: states, weight=None)

    def token_states(self, token_ids, *, positions=None, segments=None):
        states = self.said[token_ids].roll(-1, dims=1)
        states[:, -1] = 0
        return states, SimpleNamespace(losses={})


@pytest.fixture
def masking_letters(letters):
    """The letters' tokenizer, whose mask is, as with most tokenizers, its end of text."""
    letters.mask_id = letters.eot_id
    return letters


@pytest.fixture
def both_sides(tiny_spec):
    """A subject of a tiny model that sees both sides."""
    model = compile(tiny_spec("model.attn.attn_type=bidirectional"), "cpu").model.eval()
    return Subject(model, SimpleNamespace(mask_id=MASK, vocab_size=300, eot_id=0), 16, CPU)


def by_hand(model, row, place):
    """The log-probability of the token at a place of a row, hidden, from the position before it."""
    hidden = torch.tensor([[*row[:place], MASK, *row[place + 1 :]]])
    with torch.no_grad():
        return float(model(hidden)[0, place - 1].log_softmax(-1)[row[place]])


def test_each_token_is_hidden_by_itself_and_asked_for_at_the_position_before_it(both_sides, monkeypatch):
    ids = torch.randint(1, 290, (3, 12), generator=torch.Generator().manual_seed(0))
    asked = torch.rand(3, 12, generator=torch.Generator().manual_seed(1)) < 0.5
    asked[:, -1] = False
    expected = [by_hand(both_sides.model, ids[row].tolist(), int(at) + 1) for row, at in asked.nonzero().tolist()]
    whole = score_hidden_of(both_sides, ids, asked)
    assert whole[0].tolist() == pytest.approx(expected, rel=1e-5)
    monkeypatch.setattr("stlm.evaluation.batching.CPU_TOKENS", 24)  # two rows at a time
    torch.testing.assert_close(score_hidden_of(both_sides, ids, asked)[0], whole[0])
    assert score_hidden_of(both_sides, ids, torch.zeros_like(asked))[0].shape == (0,)


def score_hidden_of(subject, ids, asked):
    with subject.looked_at():
        (scored,) = score_hidden(subject, [(Batch(ids, torch.full_like(ids, IGNORE)), asked)])
    return scored


def test_several_batches_are_scored_as_each_alone(both_sides):
    made = torch.Generator().manual_seed(0)
    batches = [(torch.randint(1, 290, (2, size), generator=made), torch.zeros(2, size).bool()) for size in (5, 9, 7)]
    batches[0][1][:, 2], batches[2][1][1, :3] = True, True
    with both_sides.looked_at():
        together = score_hidden(both_sides, [(Batch(ids, ids), asked) for ids, asked in batches])
    alone = [score_hidden_of(both_sides, ids, asked) for ids, asked in batches]
    assert [len(scores) for scores, _ in together] == [2, 0, 3]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_the_likelihood_of_a_continuation_is_that_of_its_tokens_each_hidden_in_turn(both_sides):
    (value,) = log_likelihoods(both_sides, [Request([5, 6, 7], [8, 9, 10])])
    row = [5, 6, 7, 8, 9, 10]
    assert value == pytest.approx(sum(by_hand(both_sides.model, row, place) for place in (3, 4, 5)), rel=1e-5)


def test_a_batch_of_unequal_lengths_scores_as_each_alone(both_sides):
    ids = torch.randint(1, 290, (9, 14), generator=torch.Generator().manual_seed(0)).tolist()
    requests = [Request(row[: 1 + i % 4], row[5 : 6 + i]) for i, row in enumerate(ids)]
    together = log_likelihoods(both_sides, requests)
    assert together == pytest.approx([log_likelihoods(both_sides, [one])[0] for one in requests], rel=1e-5)


def test_what_is_longer_than_the_window_loses_its_beginning(both_sides):
    long = list(range(1, 31))
    (value,) = log_likelihoods(both_sides, [Request(long[:25], long[25:])])
    assert value == pytest.approx(sum(by_hand(both_sides.model, long[-16:], at) for at in range(11, 16)), rel=1e-5)
    (value,) = log_likelihoods(both_sides, [Request([1], long)])  # of a continuation that fills it, the rest counts
    assert value == pytest.approx(sum(by_hand(both_sides.model, long[-16:], at) for at in range(1, 16)), rel=1e-5)


def test_a_model_that_peeks_gets_nothing_for_it(masking_letters, token_file):
    """Read from left to right it would be right everywhere: 0 bits, all bytes right, every likelihood 1."""
    subject = Subject(Peeking(5, 4), masking_letters, 4, CPU)
    tokens = token_file([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
    options = {"batch_size": 2, "max_batches": 9}
    numbers = measure_held_out(subject, HeldOut(tokens, MaskedNextToken(1.0), **options))
    assert numbers["text_modeling"]["bits_per_byte"] == pytest.approx(math.log2(5), rel=1e-5)
    assert numbers["text_modeling"]["method"] == "pseudo_log_likelihood"
    assert numbers["dataset_loss"]["loss"] == pytest.approx(math.log(5), rel=1e-5)
    scores, answers = score_items(subject, [Item(0, "a", ("b", "bc"), gold=1)])
    assert answers[0].log_likelihoods == pytest.approx([-math.log(5), -2 * math.log(5)], rel=1e-5)
    assert scores["method"] == "pseudo_log_likelihood"


def test_a_causal_model_is_read_from_left_to_right_whatever_its_loss(random_bigram, masking_letters, token_file):
    subject = Subject(random_bigram, masking_letters, 4, CPU)
    tokens = token_file([0, 1, 2, 3] * 3)
    plain, masked = (
        measure_held_out(subject, HeldOut(tokens, loss, batch_size=2, max_batches=9))["text_modeling"]
        for loss in (NextTokenCrossEntropy(), MaskedNextToken(0.5))
    )
    assert plain == masked
    assert "method" not in plain
    assert "method" not in score_items(subject, [Item(0, "a", ("b",), gold=0)])[0]


class Recalling(Peeking):
    """Knows each token from the one before it, so that what is hidden does not matter; counts what it is asked."""

    def token_states(self, token_ids, *, positions=None, segments=None):
        self.rows = getattr(self, "rows", 0) + len(token_ids)
        return self.said[(token_ids + 1) % 4], SimpleNamespace(losses={})


def test_all_text_is_scored_where_there_is_little_and_a_fixed_part_of_it_where_there_is_much(
    masking_letters, token_file, monkeypatch
):
    tokens = token_file([*([0, 1, 2, 3] * 8), 4])
    held_out = HeldOut(tokens, MaskedNextToken(0.5), batch_size=2, max_batches=99)
    model = Recalling(5, 4)
    subject = Subject(model, masking_letters, 8, CPU, seed=3)
    few = measure_held_out(subject, held_out)["text_modeling"]
    assert few["num_tokens"] == 32 - 4  # the last of each window is no input that could be hidden
    assert model.rows == 5 + 28
    monkeypatch.setattr(held_out_module, "MAX_HIDDEN", 8)
    some = measure_held_out(subject, held_out)["text_modeling"]
    assert 2 < some["num_tokens"] < 16
    for seed in range(3):
        torch.manual_seed(seed)
        assert measure_held_out(subject, held_out)["text_modeling"] == some


def test_batches_whose_tokens_are_hidden_are_told_of_a_second_time(masking_letters, token_file, monkeypatch):
    monkeypatch.setattr("stlm.evaluation.batching.CPU_TOKENS", 8)
    held_out = HeldOut(token_file([0, 1, 2, 3] * 8), MaskedNextToken(0.5), batch_size=2, max_batches=99)
    told = []
    measure_held_out(Subject(Recalling(5, 4), masking_letters, 8, CPU), held_out, lambda *said: told.append(said))
    assert told[:2] == [(1, 4), (2, 4)]
    assert told[2:] == sorted(told[2:])
    assert len(set(told[2:])) == 3, "between the first time and the end, some is done"
    assert told[-1] == (4, 4)


def test_bits_and_bytes_are_those_of_the_tokens_that_were_hidden(both_sides, token_file):
    ids = torch.randint(1, 290, (40,), generator=torch.Generator().manual_seed(0)).tolist()
    sizes = SimpleNamespace(decode_bytes=lambda ids: b"x" * sum(1 + i % 3 for i in ids), mask_id=MASK, vocab_size=300)
    sizes.eot_id = 4
    subject = Subject(both_sides.model, sizes, 16, CPU)
    numbers = measure_held_out(subject, HeldOut(token_file(ids), MaskedNextToken(0.5), batch_size=1, max_batches=2))
    first, second = [4, *ids[:15]], ids[15:31]
    scored = [(row, place) for row in (first, second) for place in range(1, 16) if row[place] != 4]
    nats = -sum(by_hand(both_sides.model, row, place) for row, place in scored)
    size = sum(1 + row[place] % 3 for row, place in scored)
    assert numbers["text_modeling"]["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    assert numbers["text_modeling"]["num_tokens"] == len(scored)


def test_documents_are_kept_apart_where_tokens_are_hidden(tiny_spec, token_file):
    learned = tiny_spec("model.attn.attn_type=bidirectional", "model.positional_encoding_type=learned")
    model = compile(learned, "cpu").model.eval()
    ids = torch.randint(5, 290, (16,), generator=torch.Generator().manual_seed(0)).tolist()
    ids[7] = 4  # an end of text: it begins the next document, and is not asked for
    sizes = SimpleNamespace(decode_bytes=lambda ids: b"x" * len(ids), mask_id=MASK, vocab_size=300, eot_id=4)
    subject = Subject(model, sizes, 16, CPU)
    options = {"batch_size": 1, "max_batches": 1, "document_masking": True}
    numbers = measure_held_out(subject, HeldOut(token_file(ids), MaskedNextToken(0.5), **options))["text_modeling"]
    one, other = [4, *ids[:7]], ids[7:15]
    nats = -sum(by_hand(model, row, place) for row in (one, other) for place in range(1, 8))
    assert numbers["num_tokens"] == 7 + 7
    assert numbers["bits_per_byte"] == pytest.approx(nats / math.log(2) / 14, rel=1e-4)
