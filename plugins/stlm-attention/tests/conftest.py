"""The package as pip would install it, where it is only a folder; its specs, and what several tests measure."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import stlm
from stlm.nn import cost
from stlm.spec import Spec
from stlm.testing import A_FEW_STEPS, goes_on, kept_by_autograd, losses, package_fixtures

package, shipped = package_fixtures(Path(__file__).parents[1])


@pytest.fixture
def learns_and_goes_on(shipped: Callable[..., Spec]) -> Callable[[str], None]:
    """Train a shipped spec for six steps, and hold of it what `stlm.testing.goes_on` does."""

    def check(name: str) -> None:
        run = stlm.train(shipped(name, *A_FEW_STEPS, "trainer.max_iters=6", "trainer.eval_interval=6"))
        course = losses(run)
        assert course[-1] < course[0]
        goes_on(run)

    return check


@pytest.fixture
def share_foretold() -> Callable[[Spec, str], float]:
    """Of the bytes that are kept for the backward pass, how large a share is foretold."""

    def measure(spec: Spec, precision: str) -> float:
        model = stlm.compile(spec, "cpu").model.train()
        ids = torch.randint(512, (2, spec.model.context_window), generator=torch.Generator().manual_seed(0))
        width = 2 if precision == "bf16" else 4
        foretold = ids.numel() * cost.saved_bytes_per_token(model, ids.shape[1], width)
        foretold += sum(cost.shared_tables(model, ids.shape[1], width).values())
        foretold += width * cost.cast_elements(model) if width < 4 else 0
        _, kept = kept_by_autograd(model, lambda: model(ids), precision)
        return foretold / kept

    return measure
