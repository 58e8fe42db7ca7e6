"""Generation with a model that sees both sides: the token that comes next stands there already, hidden."""

import logging

import pytest
import torch

from stlm.compiler import compile
from stlm.experiments.train import train
from stlm.generation.window import Window

MASK = 299
BOTH_SIDES = "model.attn.attn_type=bidirectional"


@pytest.fixture
def model(tiny_spec):
    return compile(tiny_spec(BOTH_SIDES), "cpu").model.eval()


def by_hand(model, ids):
    return model(torch.tensor([[*ids, MASK]]))[0, -2]


@torch.no_grad()
def test_scores_are_those_before_the_hidden_token(model):
    window = Window(model, 16, torch.device("cpu"), mask_id=MASK)
    window.start([[3, 5, 9, 250, 7], [8]])
    first = window.scores()
    window.add([1, 2])
    second = window.scores()
    for row, ids in enumerate(([3, 5, 9, 250, 7], [8])):
        torch.testing.assert_close(first[row], by_hand(model, ids), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(second[row], by_hand(model, [*ids, row + 1]), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_hidden_token_has_its_place_in_the_window(model):
    long = list(range(20, 40))
    window = Window(model, 16, torch.device("cpu"), mask_id=MASK)
    window.start([long])
    torch.testing.assert_close(window.scores()[0], by_hand(model, long[-15:]), rtol=1e-5, atol=1e-5)
    window.add([7])  # the text fills its window, so its second half is read anew
    torch.testing.assert_close(window.scores()[0], by_hand(model, [*long[-7:], 7]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("attention", "hidden"), [("bidirectional", True), ("causal", False)])
def test_a_run_hides_the_next_token_where_its_model_would_look_for_it(
    tiny_spec, attention, hidden, caplog, monkeypatch
):
    chosen = (f"model.attn.attn_type={attention}", "trainer.loss_fn=next_token_mlm", "trainer.max_iters=2")
    run = train(tiny_spec(*chosen))
    read, token_states = [], run.model.token_states
    monkeypatch.setattr(run.model, "token_states", lambda ids, **how: read.append(ids) or token_states(ids, **how))
    ids = run.tokenizer.encode_batch(["The cat saw"])[0]
    run.generate("The cat saw", max_new_tokens=1, temperature=0)
    assert read[0].tolist() == [[*ids, run.tokenizer.mask_id] if hidden else ids]
    with caplog.at_level(logging.WARNING):
        run.generate("owl " * 40, max_new_tokens=2)
    assert f"the model sees the last {15 if hidden else 16}" in caplog.text
    assert max(ids.shape[1] for ids in read) == 16
