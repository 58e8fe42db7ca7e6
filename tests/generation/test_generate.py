"""Text that grows: with and without a running state, past the window, and without half characters."""

import pytest
import torch

from stlm.compiler import compile
from stlm.components.sampler.standard import StandardSampler
from stlm.generation.generate import generate_tokens
from stlm.generation.window import Window
from stlm.nn.random import random_stream
from stlm.spec import WorkError


@pytest.fixture(params=["rope", "learned", "sincos", "none"])
def model(request, tiny_spec):
    """A tiny model whose weights are large enough to make its choices definite."""
    model = compile(tiny_spec(f"model.positional_encoding_type={request.param}"), "cpu").model
    with random_stream(0, "test"), torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model


def generate(model, prompt, number=10, *, temperature=0.0, cached=True, eot_id=-1, seed=0):
    sampler = StandardSampler(temperature=temperature).build()
    options = {
        "device": torch.device("cpu"),
        "sampler": sampler,
        "max_new_tokens": number,
        "context_window": 16,
        "eot_id": eot_id,
        "seed": seed,
    }
    return list(generate_tokens(model, prompt, cached=cached, **options))


@pytest.mark.parametrize("length", [1, 5, 15, 16, 17, 40])
def test_with_and_without_a_running_state_the_tokens_are_the_same_also_past_the_window(model, length):
    prompt = [(7 * i) % 300 for i in range(length)]
    cached = generate(model, prompt, 40)
    assert cached == generate(model, prompt, 40, cached=False)
    assert len(set(cached)) > 1


def test_the_first_tokens_are_those_of_the_whole_model(model):
    ids = [3, 5, 9]
    for token in generate(model, ids, 5):
        with torch.no_grad():
            assert int(model.eval()(torch.tensor([ids]))[0, -1].argmax()) == token
        ids = [*ids, token]


def test_a_prompt_longer_than_the_window_loses_its_beginning(model):
    tail = list(range(16))
    assert generate(model, [250] * 30 + tail, 1) == generate(model, tail, 1)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_computes_no_numbers_writes_nothing(model, temperature):
    """Not even the first token of the vocabulary, which is the likeliest of those that are none."""
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(WorkError, match="computes what is not a number"):
        generate(model, [3, 5], temperature=temperature)


def test_when_the_window_is_full_its_second_half_is_read_anew():
    class Model:
        def __init__(self):
            self.seen = []

        def token_states(self, ids, state=None):
            self.seen.append(ids[0].tolist())
            return torch.zeros(1, ids.shape[1], 2), None

        head = type("Head", (), {"project": staticmethod(lambda states: states)})

    model = Model()
    window = Window(model, 4, torch.device("cpu"))
    window.start([[1, 2, 3]])
    for token in (4, 5, 6, 7):
        window.scores()
        window.add([token])
    window.scores()
    assert model.seen == [[1, 2, 3], [1, 2, 3, 4], [3, 4, 5], [3, 4, 5, 6], [5, 6, 7]]


def test_the_end_of_text_ends_it_and_is_not_told(model):
    tokens = generate(model, [1, 2], 10)
    assert generate(model, [1, 2], 10, eot_id=tokens[4]) == tokens[: tokens.index(tokens[4])]


def test_a_sampler_is_told_the_prompt_and_what_came_after_it(model):
    told = []

    def sampler(logits, history, generator):
        told.append([list(row) for row in history])
        return torch.tensor([7 + len(told)])

    options = {"device": torch.device("cpu"), "sampler": sampler, "max_new_tokens": 3, "context_window": 16}
    list(generate_tokens(model, [3, 5], eot_id=-1, seed=0, **options))
    assert told == [[[3, 5]], [[3, 5, 8]], [[3, 5, 8, 9]]]


def test_an_empty_prompt_begins_a_document(model):
    assert generate(model, [], 3, eot_id=299) == generate(model, [299], 3, eot_id=299)


def test_a_seed_means_the_same_whatever_was_drawn_before(model):
    first = generate(model, [1], 10, temperature=1.0, seed=4)
    torch.rand(3)
    assert generate(model, [1], 10, temperature=1.0, seed=4) == first
    assert generate(model, [1], 10, temperature=1.0, seed=5) != first


def test_generating_leaves_mode_and_random_state_alone_between_tokens(model):
    model.train()
    before = torch.get_rng_state()
    sampler = StandardSampler().build()
    options = {"device": torch.device("cpu"), "sampler": sampler, "max_new_tokens": 3, "context_window": 16}
    tokens = generate_tokens(model, [1], eot_id=-1, seed=0, **options)
    for _ in tokens:
        assert model.training
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert torch.equal(torch.get_rng_state(), before)
