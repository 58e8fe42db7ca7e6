"""Documents that share a window are to the model what they are alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from stlm.compiler import compile
from stlm.data.preparation.prepare import prepare
from stlm.data.serving.batch import IGNORE
from stlm.data.serving.loader import iterate_windows
from stlm.evaluation.likelihood import log_likelihoods
from stlm.evaluation.requests import Opening, Request
from stlm.evaluation.subject import Subject
from stlm.spec import Spec


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
@pytest.mark.parametrize("positions", ["rope", "learned", "sincos", "none"])
def test_packed_documents_have_the_logits_and_gradients_of_each_alone(
    tiny_spec: Callable[..., Spec], attention: str, positions: str
) -> None:
    spec = tiny_spec(f"model.attn.attn_type={attention}", f"model.positional_encoding_type={positions}")
    program = compile(spec, "cpu")
    model: Any = program.model.eval()
    stream = prepare(spec, program.tokenizer).train
    batch = next(iter(iterate_windows(stream, 16, 4, document_masking=True)))
    assert batch.segments is not None
    assert int(batch.segments.max()) > 0
    assert bool((batch.targets != IGNORE).all())

    def scored(states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = model.head.project(states).flatten(0, -2)
        return torch.nn.functional.cross_entropy(logits, targets.flatten(), ignore_index=IGNORE, reduction="sum")

    states, _ = model.token_states(batch.token_ids, segments=batch.segments, positions=batch.positions)
    packed_loss = scored(states, batch.targets)
    packed = torch.autograd.grad(packed_loss, list(model.parameters()))
    alone_loss = torch.zeros(())
    for row, segments in enumerate(batch.segments):
        for segment in segments.unique():
            here = segments == segment
            assert segment == 0 or batch.token_ids[row, here][0] == stream.eot_id
            alone, _ = model.token_states(batch.token_ids[row, here][None])
            torch.testing.assert_close(states[row, here], alone[0], rtol=1e-5, atol=1e-5)
            alone_loss = alone_loss + scored(alone, batch.targets[row, here])
    torch.testing.assert_close(packed_loss, alone_loss, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(alone_loss, list(model.parameters()))
    for one, other in zip(packed, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("positions", ["rope", "learned"])
def test_a_document_scores_in_training_as_evaluation_scores_a_text(
    tiny_spec: Callable[..., Spec], positions: str
) -> None:
    """Its tokens and its end, given an end of text alone: the document's first token is learned from that."""
    spec = tiny_spec(f"model.positional_encoding_type={positions}", "model.context_window=96")
    program = compile(spec, "cpu")
    model: Any = program.model.eval()
    stream = prepare(spec, program.tokenizer).train
    batch = next(iter(iterate_windows(stream, 96, 1, document_masking=True)))
    assert batch.segments is not None
    with torch.no_grad():
        logits = model(batch.token_ids, segments=batch.segments, positions=batch.positions)
    losses = torch.nn.functional.cross_entropy(logits[0], batch.targets[0], reduction="none")
    whole = [int(segment) for segment in batch.segments.unique()[:-1]]  # the window cuts the last one
    assert len(whole) > 1
    trained = [-float(losses[batch.segments[0] == segment].sum()) for segment in whole]
    ids = stream.read(0, 96).tolist()
    ends = [place for place, token in enumerate(ids) if token == stream.eot_id]
    texts = [
        ids[start:stop] for start, stop in zip([0, *(end + 1 for end in ends)], [end + 1 for end in ends], strict=False)
    ]
    opening = Opening.of(program.tokenizer)
    requests = [Request(list(opening.alone), text) for text in texts[: len(whole)]]
    subject = Subject(model, program.tokenizer, 96, torch.device("cpu"))
    assert trained == pytest.approx(log_likelihoods(subject, requests), rel=1e-5)
