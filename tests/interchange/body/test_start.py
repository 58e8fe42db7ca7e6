"""How a body's tensors are filled from a model that was loaded."""

import pytest
import torch
from torch import nn

from stlm.interchange.body.start import copy_tensors
from stlm.nn import materialize


class Scaled(nn.Module):
    """A matrix, a buffer, and a tensor that is neither, as some models of transformers keep theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((2, 2), 3.0))
        self.register_buffer("table", torch.full((2,), 4.0), persistent=False)
        self.scale = torch.full((2,), 5.0)


@pytest.fixture
def target() -> nn.Module:
    """A network whose tensors hold nothing yet, two modules deep."""
    with torch.device("meta"):
        made = nn.Sequential(nn.Sequential(Scaled()))
    return materialize(made, "cpu")


def test_tensors_of_every_kind_are_copied(target):
    copy_tensors(nn.Sequential(nn.Sequential(Scaled())), target)
    found = target[0][0]
    assert [tensor.flatten().tolist() for tensor in (found.weight, found.table, found.scale)] == [
        [3.0] * 4,
        [4.0] * 2,
        [5.0] * 2,
    ]


def test_without_parameters_the_others_are_copied_alone(target):
    with torch.no_grad():
        target[0][0].weight.fill_(7.0)
    copy_tensors(nn.Sequential(nn.Sequential(Scaled())), target, parameters=False)
    found = target[0][0]
    assert (found.weight.unique().item(), found.table.unique().item(), found.scale.unique().item()) == (7.0, 4.0, 5.0)
