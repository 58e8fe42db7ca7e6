"""Documents that share a window are to the model what they are alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from stlm.compiler import compile
from stlm.data.preparation.prepare import prepare
from stlm.data.serving.batch import IGNORE
from stlm.data.serving.loader import iterate_windows
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
            alone, _ = model.token_states(batch.token_ids[row, here][None])
            torch.testing.assert_close(states[row, here], alone[0], rtol=1e-5, atol=1e-5)
            alone_loss = alone_loss + scored(alone, batch.targets[row, here])
    torch.testing.assert_close(packed_loss, alone_loss, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(alone_loss, list(model.parameters()))
    for one, other in zip(packed, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
