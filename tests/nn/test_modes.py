"""How a network is run."""

import torch
from torch import nn

from stlm.nn.modes import autocast, evaluating

CPU = torch.device("cpu")


def test_looking_at_a_model_leaves_no_trace():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout(), nn.Linear(2, 2)))
    model[0].eval()  # a part that was in evaluation mode stays in it
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with evaluating(model, CPU):
        assert not any(module.training for module in model.modules())
        torch.rand(7)
    assert [model.training, model[0].training, model[1].training] == [True, False, True]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


def test_bf16_is_the_format_of_matrix_products_and_fp32_changes_nothing():
    linear = nn.Linear(2, 2)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(CPU, precision):
            assert linear(torch.ones(1, 2)).dtype == dtype
        with evaluating(linear, CPU, precision):
            assert linear(torch.ones(1, 2)).dtype == dtype
