"""How the next token is drawn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stlm.components.sampler.standard import StandardSampler
from stlm.generation.sampling import keep, penalize

PROBABILITIES = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
LOGITS = PROBABILITIES.log()


def draw(times=1, logits=LOGITS, history=None, **options):
    sampler, generator = StandardSampler(**options).build(), torch.Generator().manual_seed(0)
    history = history or [[] for _ in logits]
    return torch.stack([sampler(logits, history, generator) for _ in range(times)])


def test_without_options_tokens_are_drawn_by_their_probability():
    counts = torch.bincount(draw(times=4000).flatten(), minlength=4) / 4000
    torch.testing.assert_close(counts, PROBABILITIES[0], atol=0.03, rtol=0)


def test_a_temperature_of_zero_takes_the_first_of_the_likeliest_and_draws_nothing():
    sampler, generator = StandardSampler(temperature=0).build(), torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert sampler(torch.tensor([[1.0, 3.0, 3.0], [5.0, 2.0, 1.0]]), [[], []], generator).tolist() == [1, 0]
    assert torch.equal(generator.get_state(), before)


def test_a_tiny_temperature_is_greedy_rather_than_not_a_number():
    for temperature in (1e-30, 1e-300, 5e-324):
        assert set(draw(times=20, temperature=temperature).flatten().tolist()) == {0}


@pytest.mark.parametrize("penalty", [1e-300, 1e300])
@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1.0])
def test_no_repetition_penalty_makes_scores_that_are_no_numbers(penalty, temperature):
    logits = torch.tensor([[3.0, 2.0, -1.0, 0.0]])
    drawn = draw(logits=logits, history=[[0, 2, 3]], repetition_penalty=penalty, temperature=temperature)
    assert drawn.item() in ({0} if penalty < 1 else {1, 3, 0})


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 100}, {0, 1, 2, 3}),
        ({"top_p": 0.35}, {0}),
        ({"top_p": 0.65}, {0, 1}),
        ({"top_p": 0.0}, {0}),
        ({"min_p": 0.45}, {0, 1, 2}),
        ({"min_p": 1.0}, {0}),
        ({"top_k": 3, "top_p": 0.75}, {0, 1}),  # of the three, 0.4/0.9 + 0.3/0.9 ≥ 0.75; of all, 0.7 is less
        ({"temperature": 0.5, "top_p": 0.8}, {0, 1}),  # squared, 0.16/0.3 + 0.09/0.3 ≥ 0.8
        ({"temperature": 0.5, "min_p": 0.3}, {0, 1}),  # squared, 0.04/0.16 < 0.3
    ],
)
def test_each_option_leaves_what_it_says(options, kept):
    assert set(draw(times=300, **options).flatten().tolist()) == kept


def test_top_p_stops_where_its_share_is_reached_exactly():
    kept = keep(torch.tensor([[0.5, 0.25, 0.25]]), top_k=0, top_p=0.5, min_p=0.0)
    assert kept.tolist() == [[True, False, False]]


def test_the_rows_of_a_batch_are_narrowed_each_by_itself():
    kept = keep(torch.tensor([[0.9, 0.05, 0.05], [0.3, 0.3, 0.4]]), top_k=0, top_p=0.6, min_p=0.0)
    assert kept.tolist() == [[True, False, False], [True, False, True]]


def test_a_penalty_makes_seen_tokens_less_likely_whatever_their_sign():
    out = penalize(torch.tensor([[2.0, -2.0, 1.0], [2.0, -2.0, 1.0]]), [[0, 1, 1], []], 2.0)
    assert out.tolist() == [[1.0, -4.0, 1.0], [2.0, -2.0, 1.0]]


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=8),
    st.integers(0, 9),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_something_always_remains_and_the_likeliest_is_in_it(scores, top_k, top_p, min_p):
    probabilities = torch.softmax(torch.tensor([scores]), dim=-1)
    kept = keep(probabilities, top_k, top_p, min_p)[0]
    assert kept[probabilities[0].argmax()]
    if top_k:
        assert int(kept.sum()) <= top_k
    lost = probabilities[0][~kept]
    assert not len(lost) or lost.max() <= probabilities[0][kept].min()


def test_equal_seeds_draw_equally_and_others_do_not():
    wide = torch.zeros(1, 10_000)
    assert draw(3, wide).tolist() == draw(3, wide).tolist()
    assert len(set(draw(3, wide).flatten().tolist())) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7},
        {"top_k": 7},
        {"top_p": 0.8},
        {"min_p": 0.1},
        {"repetition_penalty": 1.3},
        {"temperature": 1.7, "top_k": 9, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.2},
    ],
)
def test_the_tokens_that_remain_are_those_of_transformers(options):
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    theirs = LogitsProcessorList()
    for name, warper in (
        ("repetition_penalty", RepetitionPenaltyLogitsProcessor),
        ("temperature", TemperatureLogitsWarper),
        ("top_k", TopKLogitsWarper),
        ("top_p", TopPLogitsWarper),
        ("min_p", MinPLogitsWarper),
    ):
        if name in options:
            theirs.append(warper(options[name]))
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, 40, generator=generator)
    history = torch.randint(40, (6, 5), generator=generator)
    expected = torch.softmax(theirs(history, logits.clone()), dim=-1)
    drawn = torch.stack(
        [
            StandardSampler(**options).build()(logits, history.tolist(), torch.Generator().manual_seed(seed))
            for seed in range(400)
        ]
    )
    assert (expected.gather(1, drawn.t()) > 0).all()
    counts = torch.zeros_like(expected).scatter_add_(1, drawn.t(), torch.full((6, 400), 1 / 400))
    assert (counts - expected).abs().max() < 0.12  # 4.8 standard deviations of a share of one half
