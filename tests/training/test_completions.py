"""Fine-tuning on prompts with completions, and windows whose documents are kept apart, from rows to losses."""

import json

import pytest
import torch
from torch.nn.functional import cross_entropy

from stlm.compiler import compile
from stlm.data.preparation.prepare import prepare
from stlm.data.serving.sampling import ShuffledEpochs
from stlm.experiments.train import train
from stlm.registry import hook, parse_spec
from stlm.spec import Code, SpecError
from tests.conftest import TINY

WINDOW, BATCH, MICRO = 16, 2, 2
TEMPLATES = ('prompt_template: "Q {q} A:"', 'completion_template: " {a}"')


@pytest.fixture
def rows(tmp_path):
    """Questions with answers, a row each."""
    file = tmp_path / "rows.jsonl"
    lines = [{"q": f"is {i} a cat or a dog?", "a": f"{('cat', 'dog', 'fox')[i % 3]} {i}"} for i in range(120)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture
def spec_of(rows, tiny_text, tmp_path):
    """Resolve the tiny spec with the rows as its data, without dropout."""

    def make(*overrides, templates=TEMPLATES):
        own = [f"trainer.{line.replace(': ', '=', 1)}" for line in templates]
        text = TINY.format(text=tiny_text, out=tmp_path / "out", data=tmp_path / "data")
        return parse_spec(text, [f"trainer.dataset={rows}", "model.ffn.ffn_dropout=0", *own, *overrides])

    return make


def numbers(run):
    return [{k: v for k, v in r.items() if k not in ("tokens_per_second", "mfu")} for r in run.metrics]


def first_windows(spec, program):
    """The windows of the first step, (batch, window + 1), put together by hand, and all training tokens."""
    stream = prepare(spec, program.tokenizer).train
    ids = torch.from_numpy(stream.read(0, len(stream)))
    order = ShuffledEpochs((len(ids) - 1) // WINDOW, spec.general.seed).order(0, BATCH * MICRO)
    places = torch.from_numpy(order)[:, None] * WINDOW + torch.arange(WINDOW + 1)
    return ids[places], places, ids


def in_completion(ids, tokenizer):
    """Which tokens of a stream hold a byte of a completion, or end one: from their bytes alone."""
    counts, text, pending = [], b"", []
    for token in ids.tolist():
        if token == tokenizer.eot_id:
            seam = text.index(b"A:") + len(b"A:")
            counts += [*(end > seam for end in pending), True]
            text, pending = b"", []
        else:
            text += tokenizer.decode_bytes([token])
            pending.append(len(text))
    assert not pending
    return torch.tensor(counts)


class StopAfterOne:
    """A plugin that stops a run after its first step."""

    @hook
    def step_ends(self, run):
        run.stop = run.signalled = run.step == 1


def test_the_loss_is_the_mean_over_the_tokens_of_completions_alone(spec_of):
    spec = spec_of("trainer.loss_on=completion", "trainer.max_iters=2")
    program = compile(spec, "cpu")
    windows, places, ids = first_windows(spec, program)
    counts = in_completion(ids, program.tokenizer)[places][:, 1:]
    assert 0.1 < counts.float().mean() < 0.7
    with torch.no_grad():
        logits = program.model(windows[:, :-1])
    by_hand = cross_entropy(logits[counts], windows[:, 1:][counts])
    first = train(spec).metrics[0]
    assert first["loss"] == pytest.approx(float(by_hand), rel=1e-5)
    assert first["tokens"] == int(counts.sum())


def test_all_tokens_count_where_nothing_else_is_said(spec_of):
    spec = spec_of("trainer.max_iters=2")
    program = compile(spec, "cpu")
    windows, _, _ = first_windows(spec, program)
    with torch.no_grad():
        logits = program.model(windows[:, :-1])
    by_hand = cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    assert train(spec).metrics[0]["loss"] == pytest.approx(float(by_hand), rel=1e-5)


def test_the_held_out_loss_is_of_completions_too(spec_of):
    held_out = {}
    for on in ("all", "completion"):
        still = ("trainer.optimizer.lr=1e-30", "trainer.optimizer.min_lr=0")
        run = train(spec_of(f"trainer.loss_on={on}", "trainer.max_iters=2", *still))
        held_out[on] = next(r["loss"] for r in run.metrics if r["split"] == "val")
    spec = spec_of("trainer.loss_on=completion")
    program = compile(spec, "cpu")
    stream = prepare(spec, program.tokenizer).val
    ids = torch.from_numpy(stream.read(0, len(stream)))[: 4 * BATCH * WINDOW]
    counts = in_completion(torch.from_numpy(stream.read(0, len(stream))), program.tokenizer)[: len(ids)]
    before = torch.cat([torch.tensor([program.tokenizer.eot_id]), ids[:-1]])
    with torch.no_grad():
        logits = program.model(before.view(-1, WINDOW)).flatten(0, 1)
    assert held_out["completion"] == pytest.approx(float(cross_entropy(logits[counts], ids[counts])), rel=1e-4)
    assert held_out["all"] != held_out["completion"]


def test_plain_texts_count_as_a_whole_in_a_mixture_with_prompts(spec_of, rows, tiny_text):
    members = f"[{{name: {rows}, {', '.join(TEMPLATES)}}}, {{name: {tiny_text}, weight: 3}}]"
    spec = spec_of(f"trainer.dataset={members}", "trainer.loss_on=completion", "trainer.max_iters=8", templates=())
    program = compile(spec, "cpu")
    data = prepare(spec, program.tokenizer)
    assert data.has_completions
    state = spec.trainer.build(program, folder=None, data=data)
    shares = {"plain": [], "rows": []}
    for step in range(40):
        batch = state.loader.batch(step, 0)
        for ids, targets in zip(batch.token_ids, batch.targets, strict=True):
            text = program.tokenizer.decode(ids.tolist())
            kind = "plain" if "saw" in text or "slept" in text else "rows" if "Q" in text else None
            if kind:
                shares[kind].append(float((targets >= 0).float().mean()))
    assert set(shares["plain"]) == {1.0}
    assert 0.0 < max(shares["rows"]) < 1.0


def test_documents_of_a_window_are_apart_under_document_masking(spec_of):
    spec = spec_of("trainer.document_masking=true", "trainer.max_iters=2")
    program = compile(spec, "cpu")
    windows, _, _ = first_windows(spec, program)
    nats, counted = 0.0, 0
    for window in windows:
        ends = [place for place, token in enumerate(window[:WINDOW].tolist()) if token == program.tokenizer.eot_id]
        begins = sorted({0, *ends})  # an end of text begins the next document
        for start, stop in zip(begins, [*begins[1:], WINDOW], strict=True):
            with torch.no_grad():
                logits = program.model(window[None, start:stop])[0]
            nats += float(cross_entropy(logits, window[start + 1 : stop + 1], reduction="sum"))
            counted += stop - start
    assert counted == windows[:, 1:].numel()
    first = train(spec).metrics[0]
    assert first["loss"] == pytest.approx(nats / counted, rel=1e-5)
    assert first["tokens"] == counted


def test_a_run_with_documents_apart_goes_on_bit_for_bit(spec_of, tmp_path, monkeypatch):
    from stlm.training import setup

    said = ("trainer.document_masking=true", "trainer.loss_on=completion", "trainer.max_iters=3")
    whole = train(spec_of(*said, f"general.paths.output_dir={tmp_path / 'whole'}"))
    plain = setup.lifecycle
    with monkeypatch.context() as patched:
        patched.setattr(setup, "lifecycle", lambda *plugins, **how: plain(*plugins, StopAfterOne(), **how))
        assert train(spec_of(*said)).step == 1
    second = train(spec_of(*said), resume=True)
    assert numbers(second) == numbers(whole)
    assert all(torch.equal(a, b) for a, b in zip(second.model.parameters(), whole.model.parameters(), strict=True))


def test_completions_of_a_data_set_without_templates_are_a_mistake_that_checking_finds(spec_of):
    with pytest.raises(SpecError) as caught:
        spec_of("trainer.loss_on=completion", templates=())
    (found,) = caught.value.diagnostics
    assert (found.code, found.key) == (Code.RULE, "trainer.loss_on")
    assert "`prompt_template` and `completion_template`" in found.message


def test_completions_of_a_data_set_that_never_has_any_are_a_mistake_before_anything_is_prepared(spec_of, tmp_path):
    spec = spec_of("trainer.dataset=python_docs", "trainer.loss_on=completion", templates=())
    with pytest.raises(SpecError) as caught:
        train(spec)
    assert [(d.code, d.key) for d in caught.value.diagnostics] == [(Code.RULE, "trainer.loss_on")]
    assert not (tmp_path / "data" / "tokens").exists()
