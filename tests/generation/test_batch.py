"""Several texts at once: each is what it would be by itself."""

import pytest
import torch

from stlm.compiler import compile
from stlm.components.sampler.standard import StandardSampler
from stlm.generation.generate import Decoder, generate_tokens
from stlm.generation.window import Window
from stlm.nn.random import random_stream

CPU = torch.device("cpu")
WINDOW = 16
PROMPTS = [[3, 5, 9, 250, 7], [8], [(7 * i) % 300 for i in range(40)], [3, 5, 9, 250, 7], [11, 12]]


@pytest.fixture(params=["rope", "learned", "sincos", "none"])
def make(request, tiny_spec):
    """Make a tiny model whose weights are large enough to make its choices definite."""

    def made(*changes):
        model = compile(tiny_spec(f"model.positional_encoding_type={request.param}", *changes), "cpu").model
        with random_stream(0, "test"), torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=0.3)
        return model

    return made


def together(model, prompts, seeds, steps, *, temperature, ends=(), cached=True):
    """Decode ``steps`` tokens of each prompt; the text numbered n ends after ``ends[n]`` tokens."""
    sampler = StandardSampler(temperature=temperature).build()
    decoder = Decoder(model, prompts, seeds, device=CPU, sampler=sampler, context_window=WINDOW, cached=cached)
    for step in range(1, steps + 1):
        decoder.step()
        for number, end in enumerate(ends):
            if end == step:
                decoder.finish(number)
    return [ids[len(prompt) :] for ids, prompt in zip(decoder.texts, prompts, strict=True)]


def alone(model, prompt, seed, steps, *, temperature, cached=True):
    sampler = StandardSampler(temperature=temperature).build()
    how = {"device": CPU, "sampler": sampler, "context_window": WINDOW, "eot_id": -1, "cached": cached}
    return list(generate_tokens(model, prompt, max_new_tokens=steps, seed=seed, **how))


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_prompts_of_different_lengths_give_in_one_batch_what_each_gives_alone(make, temperature, cached):
    model = make()
    seeds = list(range(len(PROMPTS)))
    batch = together(model, PROMPTS, seeds, 30, temperature=temperature, cached=cached)
    for prompt, seed, text in zip(PROMPTS, seeds, batch, strict=True):
        assert text == alone(model, prompt, seed, 30, temperature=temperature)
        assert len(set(text)) > 1


def test_a_text_that_ends_early_changes_nothing_for_the_others(make):
    model = make()
    ends = [25, 3, 40, 9, 12]
    batch = together(model, PROMPTS, [0] * 5, 40, temperature=1.0, ends=ends)
    for prompt, end, text in zip(PROMPTS, ends, batch, strict=True):
        assert text == alone(model, prompt, 0, end, temperature=1.0)


def test_samples_of_one_prompt_differ_by_their_seeds_alone(make):
    a, b, c = together(make(), [[1, 2]] * 3, [4, 5, 4], 12, temperature=1.0)
    assert a == c != b


def test_an_encoder_goes_on_with_a_batch_too(make):
    model = make("model.attn.attn_type=bidirectional")
    batch = together(model, PROMPTS, [0] * 5, 20, temperature=0.0)
    assert batch == [alone(model, prompt, 0, 20, temperature=0.0) for prompt in PROMPTS]


def test_padding_changes_no_score(make):
    model = make().eval()
    window = Window(model, WINDOW, CPU)
    with torch.no_grad():
        window.start([[3, 5, 9, 250, 7], [8]])
        first = window.scores()
        window.add([1, 2])
        second = window.scores()
        for row, ids in enumerate(([3, 5, 9, 250, 7], [8])):
            torch.testing.assert_close(first[row], model(torch.tensor([ids]))[0, -1], rtol=1e-5, atol=1e-5)
            longer = torch.tensor([[*ids, row + 1]])
            torch.testing.assert_close(second[row], model(longer)[0, -1], rtol=1e-5, atol=1e-5)


def test_one_text_by_itself_needs_no_mask(make, monkeypatch):
    asked = []
    model = make().eval()
    token_states = model.token_states
    monkeypatch.setattr(model, "token_states", lambda ids, **how: asked.append(how) or token_states(ids, **how))
    alone(model, [1, 2], 0, 3, temperature=0.0)
    together(model, [[1, 2], [3, 4]], [0, 0], 3, temperature=0.0)
    assert all(set(how) == {"state"} for how in asked)


def test_the_finished_are_left_out_once_they_are_half(make, monkeypatch):
    sizes = []
    model = make().eval()
    token_states = model.token_states
    monkeypatch.setattr(
        model, "token_states", lambda ids, **how: sizes.append(tuple(ids.shape)) or token_states(ids, **how)
    )
    together(model, [[1], [2], [3], [4]], [0] * 4, 5, temperature=0.0, ends=[1, 2, 9, 9])
    assert sizes == [(4, 1), (4, 1), (2, 3), (2, 1), (2, 1)]
