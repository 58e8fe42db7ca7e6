"""Bits per byte of passages, against numbers worked out by hand and against the model's own logits."""

import math
import random
import tracemalloc
from collections import deque
from itertools import pairwise, product

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.compiler import compile
from stlm.data.tokenizers.bpe import BPETokenizer, train
from stlm.evaluation import passage_modeling as module
from stlm.evaluation.passage_modeling import count_passages, measure_passages
from stlm.evaluation.passages import Passage, Passages, shipped
from stlm.evaluation.requests import Opening
from stlm.evaluation.subject import EvaluationInterruptedError, Subject
from tests.evaluation.conftest import Bigram, Letters

CPU = torch.device("cpu")
END = 4  # of `Letters`: a, b, c, é, end
ROWS = (
    (0.50, 0.25, 0.10, 0.10, 0.05),  # after a, b has 1/4 and a is the likeliest
    (0.125, 0.125, 0.125, 0.125, 0.5),  # after b, é has 1/8
    (0.2, 0.2, 0.2, 0.2, 0.2),
    (0.2, 0.2, 0.2, 0.2, 0.2),
    (0.50, 0.20, 0.10, 0.10, 0.10),  # a text begins with a in 1/2 of all cases, which is the likeliest
)
WORDS = "the cat saw a small bird on the wall and it sang for some time before it flew away"


def of_texts(*texts, topics="t", difficulties="easy"):
    topics, difficulties = ([said] * len(texts) if isinstance(said, str) else said for said in (topics, difficulties))
    return Passages("mine", tuple(map(Passage, texts, topics, difficulties)))


def measured(model, tokenizer, *texts, window=8, **changes):
    subject = Subject(model, tokenizer, window, CPU, **changes)
    return measure_passages(subject, of_texts(*texts))


@pytest.fixture(scope="module")
def byte_tokenizer():
    """Bytes are tokens, and a few pairs of them."""
    return BPETokenizer(train([WORDS] * 4, 280, simplify=False))


@pytest.fixture
def real(tiny_spec, byte_tokenizer):
    """A tiny causal model with random weights, and a window of 16."""
    model = compile(tiny_spec("model.initialization_fn=normal"), "cpu").model.eval()
    return Subject(model, byte_tokenizer, 16, CPU)


def test_bits_and_right_bytes_by_hand(bigram, letters):
    numbers = measured(bigram(*ROWS), letters, "abé")
    assert numbers["bits_per_byte"] == pytest.approx((1 + 2 + 3) / 4, rel=1e-6)  # é has two bytes
    assert numbers["byte_accuracy"] == 1 / 4
    assert numbers["bytes"] == 4
    assert "lost_bytes" not in numbers


def test_the_end_of_a_text_is_given_before_it_and_not_asked_for_after_it(bigram, letters):
    model = bigram(*ROWS)
    measured(model, letters, "ab")
    ((token_ids, _),) = model.calls
    assert token_ids.tolist() == [[END, 0]]


def test_a_published_models_texts_stand_behind_the_token_that_begins_a_text_for_it(bigram, letters):
    model = bigram(*ROWS)
    measured(model, letters, "ab", opening=Opening(before=(), alone=(3, 2)))
    ((token_ids, _),) = model.calls
    assert token_ids.tolist() == [[2, 0]]


def test_a_result_says_how_it_was_measured(bigram, letters):
    numbers = measured(bigram(*ROWS), letters, "abé", window=6)
    assert {name: numbers[name] for name in ("passages", "num_passages", "window", "stride")} == {
        "passages": "mine",
        "num_passages": 1,
        "window": 6,
        "stride": 3,
    }
    assert "method" not in numbers


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text("abcé", max_size=30), max_size=5), window=st.integers(1, 9))
def test_every_byte_is_scored_once_whatever_the_texts_and_the_window(texts, window):
    random_model = Bigram(torch.randn(5, 5, generator=torch.Generator().manual_seed(0)))
    subject = Subject(random_model, Letters(), window, CPU)
    counts = count_passages(subject, of_texts(*texts).texts)
    assert [one.scored for one in counts] == [one.of_tokens for one in counts] == [len(t.encode()) for t in texts]
    logs = random_model.table.detach().log_softmax(-1)
    for one, text in zip(counts, texts, strict=True):  # a model of one token's memory does not mind where windows are
        ids = [END, *Letters().encode_batch([text])[0]]
        expected = -sum(float(logs[before, after]) for before, after in pairwise(ids))
        assert one.nats == pytest.approx(expected, rel=1e-5, abs=1e-6)


def by_logits(subject, ids, start, first, end):
    """Nats of the tokens from place ``first`` to ``end``, read from ``start`` on, by the model's own forward pass."""
    whole = torch.tensor([subject.tokenizer.eot_id, *ids])
    with torch.no_grad():
        logs = subject.model(whole[start:end].unsqueeze(0))[0].log_softmax(-1)
    return -float(sum(logs[at - start, whole[at + 1]].double() for at in range(first, end)))


def test_a_text_that_fits_is_read_in_one_pass_and_a_longer_one_by_windows(real):
    short, long = "a small bird", WORDS
    one, two = (real.tokenizer.encode_batch([text])[0] for text in (short, long))
    assert len(one) <= 16
    assert 24 < len(two) <= 48, "one that ends with the second window is read alike by windows that do not overlap"
    counts = count_passages(real, of_texts(short, long).texts)
    assert counts[0].nats == pytest.approx(by_logits(real, one, 0, 0, len(one)), rel=1e-5)
    by_hand = by_logits(real, two, 0, 0, 16)
    for first in range(16, len(two), 8):
        end = min(first + 8, len(two))
        by_hand += by_logits(real, two, end - 16, first, end)
    assert counts[1].nats == pytest.approx(by_hand, rel=1e-5)


def test_neither_order_nor_batches_matter_and_two_runs_are_equal(real, monkeypatch):
    texts = [WORDS[i:] for i in range(0, 80, 7)]
    passages = of_texts(*texts, topics=[str(i % 3) for i in range(len(texts))])
    numbers = measure_passages(real, passages)
    assert measure_passages(real, passages) == numbers
    shuffled = random.Random(0).sample(passages.texts, len(texts))
    monkeypatch.setattr(module, "most_positions", lambda device: 20)
    again = measure_passages(real, Passages("mine", tuple(shuffled)))
    assert again["byte_accuracy"] == numbers["byte_accuracy"]
    assert again["bits_per_byte"] == pytest.approx(numbers["bits_per_byte"], rel=1e-5)
    assert list(again["by_topic"]) == list(numbers["by_topic"]) == ["0", "1", "2"]


def test_topics_and_difficulties_add_up_to_the_whole(real):
    texts = [WORDS[i : i + 31] + "é" for i in range(0, 60, 5)]
    passages = of_texts(*texts, topics=list("abcabbcaaaaa"), difficulties=list("eemmhhhheeem"))
    numbers = measure_passages(real, passages)
    for key in ("by_topic", "by_difficulty"):
        parts = numbers[key].values()
        assert sum(part["bytes"] for part in parts) == numbers["bytes"] == sum(len(t.encode()) for t in texts)
        for name in ("bits_per_byte", "byte_accuracy"):
            whole = sum(part[name] * part["bytes"] for part in parts) / numbers["bytes"]
            assert whole == pytest.approx(numbers[name], rel=1e-9)


@pytest.mark.parametrize(
    "text", ["naïve café", "🙂 👩\u200d🚀🇵🇹", "\ttabs\r\n\x00 and \u2028", "한국어", "<|endoftext|>", "a", " ", "\n"]
)
def test_bytes_of_special_characters_are_counted_once_however_they_are_cut(real, text):
    (counts,) = count_passages(real, of_texts(text).texts)
    assert counts.scored == counts.bytes == len(text.encode())
    assert counts.lost == 0


def test_texts_without_tokens_weigh_nothing(real):
    assert measure_passages(real, of_texts()) == {}
    assert measure_passages(real, of_texts("", "")) == {}
    numbers = measure_passages(real, of_texts("", "a bird", topics=["nothing", "birds"]))
    assert numbers["bits_per_byte"] == measure_passages(real, of_texts("a bird"))["bits_per_byte"]
    assert list(numbers["by_topic"]) == ["birds"]


class ByBytes:
    """A token a letter of abcd; id 4 ends a text."""

    eot_id, pieces = 4, ("a", "b", "c", "d")
    vocab_size = 5

    def decode_bytes(self, ids):
        return "".join((*self.pieces, "")[i] for i in ids).encode()

    def encode_batch(self, texts):
        return [["abcd".index(letter) for letter in text] for text in texts]


class ByPairs(ByBytes):
    """A token two letters of abcd; id 16 ends a text."""

    eot_id, pieces = 16, tuple(x + y for x in "abcd" for y in "abcd")
    vocab_size = 17

    def encode_batch(self, texts):
        return [[self.pieces.index(text[i : i + 2]) for i in range(0, len(text), 2)] for text in texts]


def test_tokenizers_under_which_bytes_have_the_same_probabilities_have_the_same_bits():
    chances = np.random.default_rng(0).dirichlet([0.5] * 4, size=5)  # of a letter after a, b, c, d and at the head
    by_bytes = np.concatenate([chances, np.zeros((5, 1))], axis=1)
    after = [4 if last == 16 else last % 4 for last in range(17)]
    two = list(product(range(4), repeat=2))
    by_pairs = np.array([[*(chances[last, x] * chances[x, y] for x, y in two), 0.0] for last in after])
    texts = ["".join(random.Random(i).choices("abcd", k=2 * i)) for i in range(1, 40)]
    results = [
        measured(Bigram(torch.tensor(table).clamp(min=1e-30).log()), tokenizer, *texts, window=window)
        for table, tokenizer in ((by_bytes, ByBytes()), (by_pairs, ByPairs()))
        for window in (7, 100)
    ]
    bits = [numbers["bits_per_byte"] for numbers in results]
    assert bits == pytest.approx([bits[0]] * 4, rel=1e-6)
    assert {numbers["bytes"] for numbers in results} == {sum(map(len, texts))}


class OnlyA(ByBytes):
    """Drops every letter but a."""

    def encode_batch(self, texts):
        return [[0] * text.count("a") for text in texts]


def test_a_tokenizer_that_drops_most_of_a_text_gains_nothing_by_it():
    knows_all = Bigram(torch.zeros(5, 5).index_fill(1, torch.tensor([0]), 50.0))
    numbers = measured(knows_all, OnlyA(), "abca", "dd")
    assert numbers["lost_bytes"] == 4
    assert numbers["bits_per_byte"] == pytest.approx(8 * 4 / 6)
    assert numbers["byte_accuracy"] == pytest.approx(2 / 6)


class Stretches(ByBytes):
    """Takes d for two letters a."""

    pieces = ("a", "b", "c", "aa")


def test_what_a_tokenizer_puts_in_the_place_of_others_is_not_right():
    knows_all = Bigram(torch.zeros(5, 5).index_fill(1, torch.tensor([3]), 50.0))
    numbers = measured(knows_all, Stretches(), "ddd")  # aaaaaa, all of which the model knows
    assert (numbers["lost_bytes"], numbers["byte_accuracy"]) == (3, 0.0)
    knows_all = Bigram(torch.zeros(5, 5).index_fill(1, torch.tensor([0]), 50.0))
    knows_all.table.data[0, 3] = 100.0
    numbers = measured(knows_all, Stretches(), "ad")  # aaa; one of these is the text's own
    assert (numbers["lost_bytes"], numbers["byte_accuracy"]) == (1, pytest.approx(1 / 2))


def test_a_tokenizer_that_simplifies_is_charged_for_what_its_tokens_lack(tiny_spec):
    simple = BPETokenizer(train([WORDS] * 4, 120, simplify=True))
    model = compile(tiny_spec("model.vocab_size=300"), "cpu").model.eval()
    plain, accents = (count_passages(Subject(model, simple, 16, CPU), of_texts(t).texts)[0] for t in ("cafe", "café…"))
    assert (plain.lost, plain.bytes) == (0, 4)
    assert (accents.lost, accents.bytes, accents.of_tokens) == (5, 8, 4)  # é is two bytes of which e is none, … three
    assert accents.numbers()["bits_per_byte"] == pytest.approx((plain.nats / math.log(2) + 5 * 8) / 8)
    assert attrs.evolve(accents, right=3.0).numbers()["byte_accuracy"] == 3 / 8


def test_the_head_is_asked_at_the_scored_positions_alone(real):
    rows, project = [], real.model.head.project
    real.model.head.project = lambda states: (rows.append(len(states)), project(states))[1]
    counts = count_passages(real, of_texts(WORDS, WORDS[:30]).texts)
    assert sum(rows) == sum(one.tokens for one in counts)


def test_windows_are_batched_by_length_so_that_little_is_padding(byte_tokenizer, monkeypatch):
    monkeypatch.setattr(module, "most_positions", lambda device: 16384)
    model = Bigram(torch.zeros(280, 280))
    counts = count_passages(Subject(model, byte_tokenizer, 4096, CPU), shipped().texts)  # each text is one window
    read = sum(token_ids.numel() for token_ids, _ in model.calls)
    assert len(model.calls) < len(counts)
    assert read <= 1.07 * sum(one.tokens for one in counts)


def test_a_long_text_is_held_once_however_many_windows_are_laid_over_it():
    model = Bigram(torch.zeros(5, 5))
    model.calls = deque(maxlen=1)
    text = "abca" * 20_000
    tracemalloc.start()
    try:
        measured(model, Letters(), text, window=64)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 80 * len(text), most  # bytes; all its rows at once would be 160 a token more


def test_measuring_leaves_no_trace(real):
    real.model.train()
    before = torch.get_rng_state()
    measure_passages(real, of_texts(WORDS))
    assert torch.equal(torch.get_rng_state(), before)
    assert real.model.training
    assert all(p.grad is None for p in real.model.parameters())


def test_an_interruption_ends_the_measurement(real):
    with pytest.raises(EvaluationInterruptedError):
        measure_passages(attrs.evolve(real, interrupted=lambda: True), of_texts(WORDS))


def test_all_shipped_passages_are_measured(real):
    numbers = measure_passages(real, shipped())
    assert numbers["num_passages"] == len(shipped().texts)
    assert numbers["bytes"] == sum(len(passage.text.encode()) for passage in shipped().texts)
    assert 4 < numbers["bits_per_byte"] < 12
    assert len(numbers["by_topic"]) > 5
    assert list(numbers["by_difficulty"]) == ["easy", "hard", "medium"]


@pytest.fixture
def both_sides(tiny_spec, byte_tokenizer):
    model = compile(tiny_spec("model.attn.attn_type=bidirectional"), "cpu").model.eval()
    return Subject(model, byte_tokenizer, 16, CPU, seed=3)


def test_tokens_are_hidden_from_a_model_that_would_see_them(both_sides):
    text = "a bird"
    ids = both_sides.tokenizer.encode_batch([text])[0]
    assert len(ids) < 16
    nats = 0.0
    for place, token in enumerate(ids, start=1):
        row = [both_sides.tokenizer.eot_id, *ids]
        row[place] = both_sides.tokenizer.mask_id
        with torch.no_grad():
            nats -= float(both_sides.model(torch.tensor([row]))[0, place - 1].log_softmax(-1)[token])
    numbers = measure_passages(both_sides, of_texts(text))
    assert numbers["bits_per_byte"] == pytest.approx(nats / math.log(2) / len(text), rel=1e-5)
    assert (numbers["method"], numbers["num_tokens"]) == ("pseudo_log_likelihood", len(ids))


def test_tokens_of_a_longer_text_are_hidden_in_windows_that_move_on_by_half_their_size(both_sides):
    """A window of 16 holds the token before those that are asked for: 15 of the first one, the last 8 of each other."""
    text = "the cat saw a small bird on the wall and it sang"
    ids = [both_sides.tokenizer.eot_id, *both_sides.tokenizer.encode_batch([text])[0]]
    assert 24 < len(ids) <= 32, "three windows"
    nats = 0.0
    for start, end, places in (
        (0, 16, range(1, 16)),
        (8, 24, range(16, 24)),
        (len(ids) - 16, len(ids), range(24, len(ids))),
    ):
        for place in places:
            row = torch.tensor([ids])
            row[0, place] = both_sides.tokenizer.mask_id
            with torch.no_grad():
                logits = both_sides.model(row[:, start:end])[0, place - 1 - start]
            nats -= float(logits.log_softmax(-1)[ids[place]])
    (counts,) = count_passages(both_sides, of_texts(text).texts)
    assert counts.tokens == len(ids) - 1
    assert counts.nats == pytest.approx(nats, rel=1e-5)


def test_of_many_tokens_some_are_hidden_the_same_ones_each_time_in_any_order(both_sides, monkeypatch):
    monkeypatch.setattr(module, "MAX_HIDDEN", 40)
    texts = [f"{WORDS} {i}" for i in range(8)]
    numbers = measure_passages(both_sides, of_texts(*texts))
    assert 15 < numbers["num_tokens"] < 80
    assert numbers["bytes"] == sum(map(len, texts))
    assert measure_passages(both_sides, of_texts(*texts)) == numbers
    backwards = measure_passages(both_sides, of_texts(*texts[::-1]))
    assert backwards["num_tokens"] == numbers["num_tokens"]
    assert backwards["bits_per_byte"] == pytest.approx(numbers["bits_per_byte"], rel=1e-5)


def test_which_tokens_are_hidden_depends_on_the_seed(both_sides, monkeypatch):
    monkeypatch.setattr(module, "MAX_HIDDEN", 40)
    texts = of_texts(*(f"{WORDS} {i}" for i in range(8)))
    bits = {measure_passages(attrs.evolve(both_sides, seed=seed), texts)["bits_per_byte"] for seed in (0, 1, 1, 2)}
    assert len(bits) == 3


@pytest.mark.parametrize("text", ["abc", "abcé"])
def test_the_tokens_that_are_drawn_stand_for_all(letters, monkeypatch, text):
    """Each token is given 1/5, whatever is hidden: log2(5) bits a token, of which one in 17 is drawn."""
    uniform = Bigram(torch.zeros(5, 5))  # a is the first of equals
    uniform.causal, letters.mask_id = False, END
    monkeypatch.setattr(module, "MAX_HIDDEN", 480)
    draw = random.Random(0)
    texts = ["".join(draw.choices(text, k=1020)) for _ in range(8)]
    passages = of_texts(*texts, topics=list("xxxxxxxy"))
    numbers = measure_passages(Subject(uniform, letters, 16, CPU), passages)
    assert 400 < numbers["num_tokens"] < 560
    exact = len(text) == len(text.encode())
    for some, part in ((texts, numbers), (texts[:7], numbers["by_topic"]["x"]), (texts[7:], numbers["by_topic"]["y"])):
        whole = "".join(some)
        size = len(whole.encode())
        assert part["bytes"] == size
        bits = math.log2(5) * len(whole) / size
        assert part["bits_per_byte"] == pytest.approx(bits, rel=1e-6 if exact else 0.1)
        assert part["byte_accuracy"] == pytest.approx(whole.count("a") / size, abs=0.12)
