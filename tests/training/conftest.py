"""Runs, whole and by hand."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stlm.compiler import compile
from stlm.compiler.processes import Processes
from stlm.data.serving.batch import Batch
from stlm.registry.lifecycle import lifecycle
from stlm.spec import Spec
from stlm.training.folder import RunFolder
from stlm.training.losses import NextTokenCrossEntropy
from stlm.training.state import TrainingState


class Loader:
    """Batches that a test wrote, micro-batch by micro-batch; each step sees the same."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def batch(self, step: int, micro_step: int) -> Batch:
        return self.batches[micro_step]


@pytest.fixture
def by_hand(tiny_spec: Callable[..., Spec], tmp_path: Any) -> Callable[..., TrainingState]:
    """Make the state of a run over given batches, with plain gradient descent and no dropout."""

    def make(batches: list[Batch], *overrides: str, plugins: tuple[Any, ...] = ()) -> TrainingState:
        step = {"batch_size": len(batches[0].token_ids), "gradient_accumulation_steps": len(batches)}
        settings = [f"trainer.{key}={value}" for key, value in step.items()]
        spec = tiny_spec("model.ffn.ffn_dropout=0", *settings, *overrides)
        program = compile(spec, "cpu")
        return TrainingState(
            program=SimpleNamespace(
                spec=spec,
                model=program.model,
                device=program.device,
                precision=program.precision,
                tokenizer=None,
                report=program.report,
                processes=Processes(),
                parallel="none",
            ),
            optimizer=torch.optim.SGD(program.model.parameters(), lr=1.0),
            loader=Loader(batches),
            loss=NextTokenCrossEntropy(),
            schedule=lambda step: 0.1,
            folder=RunFolder(tmp_path / "by-hand", spec.general.paths),
            data=None,
            plugins=lifecycle(*plugins, registry=program.spec.registry),
        )

    return make
