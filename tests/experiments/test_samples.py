"""Samples of text at evaluations: there, repeatable, and without a trace in the training."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from stlm.experiments import samples as module
from stlm.experiments.samples import PROMPTS, Samples
from stlm.experiments.train import train
from stlm.spec import Spec


def kept(run: Any, step: int) -> Any:
    return json.loads((run.places.evals / f"step-{step}.samples.json").read_text())


def test_each_evaluation_has_texts_of_every_prompt_that_the_window_holds(tiny_spec: Callable[..., Spec]) -> None:
    run = train(tiny_spec("model.context_window=32"))
    for step in (4, 8):
        document = kept(run, step)
        assert document["step"] == step
        assert [one["prompt"] for one in document["samples"]] == list(PROMPTS)
    assert any(one["text"] for one in document["samples"])


def test_they_are_what_the_run_itself_writes_again(tiny_spec: Callable[..., Spec]) -> None:
    run = train(tiny_spec("model.context_window=32"))
    options = {"max_new_tokens": module.MAX_NEW_TOKENS, **module.SAMPLER}
    assert [one["text"] for one in kept(run, 8)["samples"]] == run.generate(PROMPTS, **options)


def test_a_prompt_longer_than_the_window_is_left_out_silently(
    tiny_spec: Callable[..., Spec], caplog: pytest.LogCaptureFixture
) -> None:
    run = train(tiny_spec("model.context_window=8"))
    assert [one["prompt"] for one in kept(run, 8)["samples"]] == [""]
    assert "the model sees the last" not in caplog.text


def test_training_is_bit_for_bit_what_it_is_without_them(
    tiny_spec: Callable[..., Spec], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny_spec("trainer.eval_interval=1", "general.logging.wandb_run_name=with")
    with_samples = train(spec)
    assert kept(with_samples, 1)
    monkeypatch.setattr(Samples, "evaluation_ends", lambda self, run, results: None)
    without = train(tiny_spec("trainer.eval_interval=1", "general.logging.wandb_run_name=without"))
    assert not list(without.places.evals.glob("*.samples.json"))
    numbers = [
        [(line["step"], line["split"], line["loss"], line.get("grad_norm")) for line in run.metrics]
        for run in (with_samples, without)
    ]
    assert numbers[0] == numbers[1]


def test_modules_are_in_training_mode_again(tiny_spec: Callable[..., Spec], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(run: Any) -> Any:
        document = plain(run)
        seen.append(all(part.training for part in run.model.modules()))
        return document

    plain = module.written
    monkeypatch.setattr(module, "written", look)
    train(tiny_spec())
    assert seen == [True, True]


def test_a_masked_model_writes_too(tiny_spec: Callable[..., Spec]) -> None:
    run = train(tiny_spec("model.attn.attn_type=bidirectional", "trainer.loss_fn=next_token_mlm"))
    assert kept(run, 8)["samples"]


def test_a_model_that_is_shared_out_writes_none_and_says_so(
    tiny_spec: Callable[..., Spec], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from types import SimpleNamespace

    run: Any = SimpleNamespace(
        program=SimpleNamespace(parallel="fsdp"), processes=SimpleNamespace(is_main=True), finished=False
    )
    observer = Samples()
    with caplog.at_level("INFO"):
        observer.training_starts(run)
        observer.evaluation_ends(run, {"step": 1})
    assert "no samples of text" in caplog.text
    assert not observer.files.waiting
