"""Which way a network looks, as its parts declare."""

import pytest
import torch
from torch import nn

from stlm.nn import is_causal


class Part(nn.Module):
    def __init__(self, *children, causal=None):
        super().__init__()
        self.parts = nn.ModuleList(children)
        if causal is not None:
            self.causal = causal


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (Part(), True),
        (Part(causal=True), True),
        (Part(causal=False), False),
        (Part(Part(), Part(causal=True)), True),
        (Part(Part(causal=True), Part(Part(causal=False))), False),
        (Part(Part(causal=False), causal=True), True),
        (Part(Part(causal=True), causal=False), False),
    ],
    ids=["silent", "causal", "not", "all causal", "one is not", "the whole says it is", "the whole says it is not"],
)
def test_what_a_part_says_holds_for_all_within_it(module, expected):
    assert is_causal(module) is expected


@pytest.mark.parametrize(("attention", "expected"), [("causal", True), ("bidirectional", False)])
def test_a_model_is_what_it_declares(tiny_spec, attention, expected):
    from stlm.compiler import compile

    model = compile(tiny_spec(f"model.attn.attn_type={attention}"), "cpu").model.eval()
    ids = torch.arange(8).unsqueeze(0)
    changed = ids.clone()
    changed[0, -1] = 99
    assert is_causal(model) is expected
    assert torch.equal(model(ids)[0, :-1], model(changed)[0, :-1]) is expected
