"""From text to a loss: every tokenizer, data set, sampling, loader and loss that is installed.

As elsewhere here, nothing names a component: one that is registered tomorrow is tested tomorrow.
"""

import socket
from typing import Any

import numpy as np
import pytest
import torch

from stlm.compiler import compile
from stlm.data.preparation.prepare import prepare
from stlm.data.serving.batch import IGNORE, Batch
from stlm.spec.declaration import declaration_of
from stlm.spec.sections import ModelSection
from stlm.training.losses import prepare_batch
from tests.contract import checks
from tests.contract.choosing import held_by, member_of, or_skip, required, type_keys
from tests.contract.test_every_other_kind import choose, every  # noqa: F401 - `choose` is a fixture
from tests.data.corpus import REAL_DATA

TEXTS = ["", " ", "The cat saw 12 cafés.\n\n\tAnd  slept. ", "日本語 🦊 e\u0301\r\n", "\x00\ufeff\ufffd", "a" * 300]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing is downloaded: what is not on this machine is not at hand."""
    if (cache := REAL_DATA / "tokenizers/tiktoken_cache").is_dir():
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("tests have no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def tokenizer(spec, registry, tiny_text, name):
    """A component and its tokenizer; skipped where it needs files."""
    member = or_skip(member_of, registry, "tokenizer", name, tiny_text)
    cls = registry.find("tokenizer", member).cls
    usual, new = ({s.key for s in declaration_of(c).slots.values()} for c in (type(spec().model.tokenizer), cls))
    said = {k: v for k, v in or_skip(required, registry, cls).items() if k not in usual}
    key = type_keys(declaration_of(ModelSection))["tokenizer"]
    chosen = spec(model={**dict.fromkeys(usual - new), key: member, **said})
    component = held_by(chosen.model, "tokenizer")
    return component, or_skip(component.build, chosen)


@every("tokenizer")
def test_the_size_of_a_vocabulary_is_known_beforehand(tokenizer):
    component, made = tokenizer
    assert component.vocab_size == made.vocab_size > 0
    assert 0 <= made.eot_id < made.vocab_size
    assert 0 <= made.mask_id < made.vocab_size


@every("tokenizer")
def test_a_text_comes_back_as_normalized(tokenizer):
    _, made = tokenizer
    encoded = made.encode_batch(TEXTS)
    assert encoded == [made.encode_batch([text])[0] for text in TEXTS]
    for text, ids in zip(TEXTS, encoded, strict=True):
        assert all(0 <= i < made.vocab_size for i in ids)
        assert made.decode(ids) == made.normalize(text)
        assert made.normalize(made.normalize(text)) == made.normalize(text)


@every("tokenizer")
def test_any_id_can_be_decoded(tokenizer):
    _, made = tokenizer
    for ids in ([], *([i] for i in range(made.vocab_size)), range(made.vocab_size), [-1, made.vocab_size, 2**40, 0]):
        assert isinstance(made.decode(ids), str)
        assert made.decode_bytes(ids).decode("utf-8", "replace") == made.decode(ids)


@every("tokenizer")
def test_a_special_token_inside_a_text_is_text(tokenizer):
    _, made = tokenizer
    for special in {made.eot_id, made.mask_id}:
        text = f"a{made.decode([special])} b"
        (ids,) = made.encode_batch([text])
        assert not {made.eot_id, made.mask_id} & set(ids)
        assert made.decode(ids) == made.normalize(text)


@every("tokenizer")
def test_a_tokenizer_that_is_stored_and_loaded_is_the_same(tokenizer, tmp_path):
    component, made = tokenizer
    made.save(tmp_path)
    again = component.load(tmp_path)
    assert type(again) is type(made)
    assert again.fingerprint == made.fingerprint
    for what in ("vocab_size", "eot_id", "mask_id"):
        assert getattr(again, what) == getattr(made, what)
    assert again.encode_batch(TEXTS) == made.encode_batch(TEXTS)


@every("dataset")
def test_a_data_set_gives_the_same_documents_each_time(choose, name):  # noqa: F811 - a fixture
    chosen, component = choose("dataset", name)
    source, other = (or_skip(component.build, chosen) for _ in range(2))
    or_skip(source.fingerprint)  # a data set of the hub is asked for now
    documents = list(source.documents())
    assert documents
    assert all(isinstance(document, str) and document for document in documents)
    assert list(source.documents()) == documents == list(other.documents())
    assert source.fingerprint() == source.fingerprint() == other.fingerprint()


@every("datasampling")
@pytest.mark.parametrize("num_windows", [1, 2, 37])
def test_each_epoch_is_a_permutation(choose, name, num_windows):  # noqa: F811
    chosen, component = choose("datasampling", name)
    order = component.build(chosen.trainer, num_windows, 0).order(0, 4 * num_windows)
    for epoch in np.split(order, 4):
        assert sorted(epoch) == list(range(num_windows))


@every("datasampling")
def test_an_order_is_a_function_of_seed_and_place_alone(choose, name):  # noqa: F811
    chosen, component = choose("datasampling", name)
    one, same, other = (component.build(chosen.trainer, 37, seed) for seed in (0, 0, 1))
    whole = one.order(0, 100)
    backwards = [same.order(start, 1) for start in reversed(range(100))]
    assert np.concatenate(backwards[::-1]).tolist() == whole.tolist()
    assert one.order(30, 20).tolist() == whole[30:50].tolist()
    assert len(one.order(5, 0)) == 0
    assert other.order(0, 100).tolist() != whole.tolist()


@every("dataloader")
def test_a_batch_is_a_function_of_the_step_and_asks_for_the_next_token(choose, name):  # noqa: F811
    chosen, component = choose("dataloader", name)
    trainer, window = chosen.trainer, chosen.model.context_window
    tokens = prepare(chosen, compile(chosen, "cpu").tokenizer).train

    def loader() -> Any:
        sampling = trainer.datasampling.build(trainer, tokens.num_windows(window), 0)
        return component.build(trainer, tokens, sampling, window)

    steps = [(step, micro) for step in range(5) for micro in range(trainer.gradient_accumulation_steps)]
    one, other = loader(), loader()
    batches = {at: one.batch(*at) for at in steps}
    for at in reversed(steps):
        batch, same = batches[at], other.batch(*at)
        for ids in (batch.token_ids, batch.targets):
            assert (ids.shape, ids.dtype) == ((trainer.batch_size, window), torch.int64)
        assert torch.equal(batch.token_ids, same.token_ids)
        assert torch.equal(batch.targets, same.targets)
        assert torch.equal(batch.targets[:, :-1], batch.token_ids[:, 1:])
    assert not torch.equal(batches[0, 0].token_ids, batches[1, 0].token_ids)


@pytest.fixture
def objective(choose, name):  # noqa: F811
    """A loss, the model whose states it is of, and the tokenizer."""
    chosen, component = choose("loss", name)
    program = compile(chosen, "cpu")
    return component.build(chosen.trainer), program.model.eval(), program.tokenizer


def batch(ignored: int = 5) -> Batch:
    """Tokens in two rows, the last few targets of each not asked for."""
    ids = checks.token_ids(seq=17)
    targets = ids[:, 1:].clone()
    targets[:, len(targets[0]) - ignored :] = IGNORE
    return Batch(ids[:, :-1].contiguous(), targets)


@every("loss")
def test_a_loss_is_a_finite_sum_over_the_targets_that_count(objective):
    loss, model, _ = objective
    given = batch()
    states, _ = model.token_states(given.token_ids)
    total, weight = loss(states, model.head, given)
    assert int(weight) == int((given.targets != IGNORE).sum())
    assert total.shape == ()
    assert total.isfinite()
    again, _ = loss(states, model.head, batch())
    assert torch.equal(total, again)


@every("loss")
def test_gradients_of_a_loss_reach_the_states_and_the_head(objective):
    loss, model, _ = objective
    given = batch()
    states, _ = model.token_states(given.token_ids)
    states.retain_grad()
    loss(states, model.head, given)[0].backward()
    assert states.grad.isfinite().all()
    assert states.grad[:, :11].any(dim=-1).all()
    assert all(p.grad is not None and p.grad.any() for p in model.head.parameters())


@every("loss")
def test_what_stands_where_nothing_is_asked_does_not_count(objective):
    loss, model, _ = objective
    given = batch()
    states, _ = model.token_states(given.token_ids)
    total, _ = loss(states, model.head, given)
    other = torch.where((given.targets == IGNORE)[..., None], 1.0, states)
    torch.testing.assert_close(loss(other, model.head, given)[0], total)
    nothing, weight = loss(states, model.head, batch(ignored=16))
    assert (float(nothing.detach()), int(weight)) == (0.0, 0)


@every("loss")
def test_what_a_loss_prepares_depends_on_the_seed_alone(objective):
    loss, model, tokenizer = objective
    given, before = batch(0), batch(0)
    one, same = (prepare_batch(loss, given, tokenizer, 0, "test") for _ in range(2))
    for made in (one, same):
        assert made.token_ids.shape == made.targets.shape == given.targets.shape
        assert torch.equal(made.token_ids, one.token_ids)
        assert torch.equal(made.targets, one.targets)
    assert torch.equal(given.token_ids, before.token_ids)
    assert torch.equal(given.targets, before.targets)
    states, _ = model.token_states(one.token_ids)
    assert loss(states, model.head, one)[0].isfinite()
