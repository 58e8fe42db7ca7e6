"""What the kits hold of a component, held of any network: for specs that the kits would not come upon."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stlm.compiler import compile
from stlm.spec import Spec
from stlm.testing.kits.sight import generated, go_on, keep_apart, look_ahead
from stlm.testing.tensors import distinct_parameters, objective, token_ids
from stlm.training.weights import load_weights, save_weights

__all__ = ["distinct_parameters", "objective", "token_ids"]


def built(spec: Spec) -> Any:
    """The spec's network on the CPU, in evaluation mode."""
    return compile(spec, "cpu").model.eval()


def assert_counted_as_built(spec: Spec, total: int | None = None) -> None:
    """The dry run counts what is built, and that is ``total`` where a test knows it by hand."""
    counts = compile(spec, "meta").report.parameters
    assert counts.total == distinct_parameters(built(spec)) == sum(counts.by_module.values())
    if total is not None:
        assert counts.total == total


def assert_gradients_reach_every_parameter(model: Any, ids: Tensor) -> None:
    """Each parameter has a gradient that is not 0 everywhere."""
    objective(model.train(), ids).backward()
    starved = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not starved
    model.zero_grad(set_to_none=True)
    model.eval()


def assert_causal(model: Any, seq: int = 16) -> None:
    """No logit depends on a later token."""
    look_ahead(model, seq)


def assert_going_on_is_starting_anew(model: Any, seq: int = 16) -> None:
    """With a state, in steps of any size, the logits are those of one pass over everything."""
    go_on(model, seq)


def assert_generates(model: Any) -> None:
    """Text is made, and the same with a state and without."""
    with_state, without = generated(model, cached=True), generated(model, cached=False)
    assert with_state == without
    assert len(without) == 24


def assert_segments_keep_apart(model: Any, seq: int = 16, border: int = 7) -> None:
    """What stands in one segment does not reach another."""
    keep_apart(model, seq, border)


def assert_saves_and_loads(spec: Spec, folder: Path) -> None:
    """Weights that are written and read into a network of another seed give the same numbers."""
    model, other = built(spec), compile(spec, "cpu").model.eval()
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1.0)
        save_weights(model, folder / "model.safetensors")
        load_weights(other, folder / "model.safetensors")
        assert torch.equal(model(token_ids()), other(token_ids()))
