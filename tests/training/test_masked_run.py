"""Runs that learn from masked tokens, from the spec to the numbers in metrics.jsonl."""

import json

import pytest
import torch
from torch.nn.functional import cross_entropy

from stlm.compiler import compile
from stlm.data.preparation.prepare import prepare
from stlm.data.serving.batch import IGNORE
from stlm.data.serving.loader import iterate_windows
from stlm.experiments.train import train
from stlm.registry import hook, parse_spec
from stlm.training.losses import prepare_batch

MASKED = ("trainer.loss_fn=next_token_mlm", "model.ffn.ffn_dropout=0", "model.attn.attn_type=bidirectional")
STILL = ("trainer.optimizer.lr=1e-30", "trainer.optimizer.min_lr=0")
TIMES = ("tokens_per_second", "mfu")

LEARNING = """
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  positional_encoding_type: rope
  tokenizer_type: bpe
  vocab_size: 512
  tokenizer_dataset_name: python_docs
  tokenizer_simplify: false
  hidden_dim: 64
  context_window: 64
  num_layers: 2
  attn: {{attn_type: {attention}, num_kv_heads: 2}}
  ffn: {{ffn_type: generic, ffn_dim: 128}}
trainer:
  trainer_type: base_trainer
  dataset: python_docs
  validation_fraction: 0.1
  dataloader: standard
  datasampling: standard
  batch_size: 32
  gradient_accumulation_steps: 1
  max_iters: 160
  warmup_iters: 10
  lr_scheduler: cosine
  loss_fn: next_token_mlm
  optimizer: {{optimizer_name: AdamW, lr: 5e-3, weight_decay: 0.1, beta2: 0.95}}
  eval: {{dataset_loss_eval_iters: 10, text_modeling_eval: false}}
general: {{seed: 1, device: cpu, paths: {{output_dir: {out}, data_dir: {data}}}}}
"""


def held_out(run):
    return [record for record in run.metrics if record["split"] == "val"]


def summed_by_hand(model, batch):
    """The sum of the losses of the targets that count, and their number."""
    with torch.no_grad():
        logits = model(batch.token_ids, positions=batch.positions, segments=batch.segments)
    counts = batch.targets != IGNORE
    return float(cross_entropy(logits[counts], batch.targets[counts], reduction="sum")), int(counts.sum())


@pytest.mark.parametrize("more", [(), ("trainer.document_masking=true",), ("trainer.mlm_probability=0.5",)])
def test_the_loss_of_a_step_is_the_mean_over_the_masked_tokens_of_all_its_micro_batches(tiny_spec, more):
    spec = tiny_spec(*MASKED, "trainer.max_iters=2", "trainer.gradient_accumulation_steps=3", *more)
    program = compile(spec, "cpu")
    state = spec.trainer.build(program, folder=None, data=prepare(spec, program.tokenizer))
    plain = [state.loader.batch(0, micro) for micro in range(3)]
    batches = [
        prepare_batch(state.loss, b, program.tokenizer, spec.general.seed, "loss", 0, m) for m, b in enumerate(plain)
    ]
    sums = [summed_by_hand(program.model.eval(), batch) for batch in batches]
    assert len({count for _, count in sums}) > 1
    first = train(spec).metrics[0]
    assert first["tokens"] == sum(count for _, count in sums)
    assert first["loss"] == pytest.approx(sum(s for s, _ in sums) / first["tokens"], rel=1e-5)


def test_only_completions_are_masked_where_only_they_count(tiny_spec, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"q": f"is {i} a cat?", "a": f"a fox {i}"}) + "\n" for i in range(120)))
    templates = ('trainer.prompt_template="Q {q} A:"', 'trainer.completion_template=" {a}"')
    completions = (f"trainer.dataset={rows}", *templates, "trainer.loss_on=completion", "trainer.mlm_probability=1")
    spec = tiny_spec(*MASKED, *completions, "trainer.max_iters=2")
    program = compile(spec, "cpu")
    state = spec.trainer.build(program, folder=None, data=prepare(spec, program.tokenizer))
    plain = state.loader.batch(0, 0)
    batch = prepare_batch(state.loss, plain, program.tokenizer, spec.general.seed, "loss", 0, 0)
    counts = plain.targets[:, :-1] != IGNORE
    assert 0 < counts.float().mean() < 0.7
    assert torch.equal(batch.token_ids[:, 1:] == program.tokenizer.mask_id, counts)
    assert torch.equal(batch.targets[:, :-1] != IGNORE, counts)


def test_the_held_out_loss_is_of_masked_tokens_the_same_ones_each_time_and_so_is_the_unigram_loss(tiny_spec):
    spec = tiny_spec(*MASKED, *STILL, "trainer.max_iters=8")
    run = train(spec)
    first, second = held_out(run)
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-6)
    program = compile(spec, "cpu")
    data = prepare(spec, program.tokenizer)
    ids = torch.from_numpy(data.train.read(0, len(data.train)))
    frequencies = (torch.bincount(ids, minlength=300) + 1).double()
    logs = (frequencies / frequencies.sum()).log()
    nats, unigram, counted = 0.0, 0.0, 0
    for index, plain in zip(range(4), iterate_windows(data.val, 16, 2), strict=False):
        batch = prepare_batch(spec.trainer.loss_fn.build(spec.trainer), plain, program.tokenizer, 42, "held-out", index)
        assert spec.general.seed == 42
        loss, count = summed_by_hand(run.model, batch)
        nats, counted = nats + loss, counted + count
        unigram -= float(logs[batch.targets[batch.targets != IGNORE]].sum())
    assert first["loss"] == pytest.approx(nats / counted, rel=1e-4)
    assert first["unigram_loss"] == pytest.approx(unigram / counted, rel=1e-9)
    assert first["unigram_loss"] != data.unigram_loss


class Dies:
    """A plugin by which a run dies after its second step, before that is saved."""

    @hook(tryfirst=True)
    def step_ends(self, run):
        if run.step == 2:
            raise RuntimeError("died")


def test_a_run_that_died_masks_what_it_would_have_masked(tiny_spec, tmp_path, monkeypatch):
    from stlm.training import setup

    said = (*MASKED, "trainer.max_iters=4", "trainer.checkpoint_interval=1")
    whole = train(tiny_spec(*said, f"general.paths.output_dir={tmp_path / 'whole'}"))
    plain = setup.lifecycle
    with monkeypatch.context() as patched:
        patched.setattr(setup, "lifecycle", lambda *plugins, **how: plain(*plugins, Dies(), **how))
        with pytest.raises(RuntimeError, match="died"):
            train(tiny_spec(*said))
    resumed = train(tiny_spec(*said), resume=True)
    lines = [[{k: v for k, v in r.items() if k not in TIMES} for r in run.metrics] for run in (whole, resumed)]
    assert lines[0] == lines[1]
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True))


@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
def test_the_masked_loss_falls_below_the_unigrams(attention, tiny_text, tmp_path):
    """160 steps of a model of 100,000 parameters, on the prose of Python's manual: some seconds."""
    text = LEARNING.format(attention=attention, out=tmp_path / "out", data=tiny_text.parent)
    (last,) = held_out(train(parse_spec(text)))
    assert last["loss"] < last["unigram_loss"] - 0.1


@pytest.mark.parametrize(("attention", "warned"), [("bidirectional", True), ("causal", False)])
def test_an_objective_whose_answers_the_model_sees_is_warned_of(tiny_spec, caplog, attention, warned):
    for loss, expected in (("cross_entropy", warned), ("next_token_mlm", False)):
        caplog.clear()
        train(tiny_spec(f"model.attn.attn_type={attention}", f"trainer.loss_fn={loss}", "trainer.max_iters=2"))
        assert ("`cross_entropy` asks for just that" in caplog.text) == expected
