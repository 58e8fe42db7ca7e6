"""The same weights in transformers' `generate` give the same tokens, alone and in a padded batch."""

import pytest
import torch

from stlm.components.sampler.standard import StandardSampler
from stlm.experiments.convert import import_folder
from stlm.experiments.run import load_run
from stlm.generation.generate import Decoder
from tests.interchange.models import theirs

CPU = torch.device("cpu")
PROMPTS = [[3, 5, 9, 250, 7], [8], [(7 * i) % 300 for i in range(12)]]
TOKENS = 20


@pytest.fixture(scope="module", params=["Llama", "Qwen3", "GPT2"])
def pair(request, tmp_path_factory):
    """Give a model of transformers' and the run that it was imported as."""
    folder = tmp_path_factory.mktemp(request.param)
    model = theirs(request.param)
    model.save_pretrained(folder / "theirs")
    import_folder(folder / "theirs", folder / "ours")
    return model, load_run(folder / "ours", device="cpu").model


def with_transformers(model, prompts, **options):
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    how = {"do_sample": False, "use_cache": True, "eos_token_id": None, "pad_token_id": 0, **options}
    made = model.generate(ids, attention_mask=mask, max_new_tokens=TOKENS, **how)
    return made[:, longest:].tolist()


def with_stlm(model, prompts, **options):
    sampler = StandardSampler(temperature=0.0, **options).build()
    decoder = Decoder(model, prompts, [0] * len(prompts), device=CPU, sampler=sampler, context_window=40)
    for _ in range(TOKENS):
        decoder.step()
    return [ids[-TOKENS:] for ids in decoder.texts]


def test_one_prompt_goes_on_with_the_same_tokens(pair):
    model, ours = pair
    for prompt in PROMPTS:
        made = with_stlm(ours, [prompt])
        assert made == with_transformers(model, [prompt])
        assert len(set(made[0])) > 1


def test_a_batch_of_different_lengths_goes_on_with_the_same_tokens(pair):
    model, ours = pair
    assert with_stlm(ours, PROMPTS) == with_transformers(model, PROMPTS)


def test_a_repetition_penalty_is_the_same(pair):
    model, ours = pair
    made = with_stlm(ours, PROMPTS[:1], repetition_penalty=1.5)
    assert made == with_transformers(model, PROMPTS[:1], repetition_penalty=1.5)
    assert made != with_stlm(ours, PROMPTS[:1])
