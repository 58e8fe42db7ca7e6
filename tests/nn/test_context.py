"""What the modules of one forward pass know in common."""

import pytest
import torch

from stlm.nn import Context, Rotary


def test_a_part_may_work_at_other_positions():
    """As a head does that attends among tokens, after a core that attended among patches."""
    rotary = Rotary()
    tokens, patches = torch.arange(6).unsqueeze(0), torch.arange(0, 12, 2).unsqueeze(0)
    q = torch.randn(1, 1, 6, 8, generator=torch.Generator().manual_seed(0))
    context = Context(torch.zeros(1, 6, dtype=torch.long), patches, positional_encoding=rotary)
    context.encode_qk(q, q)
    inner = context.at(tokens, None)
    inner.add_loss("inner", torch.ones(()))
    assert context.losses == {"inner": 1}
    fresh = Context(torch.zeros(1, 6, dtype=torch.long), tokens, positional_encoding=rotary)
    assert torch.equal(inner.encode_qk(q, q)[0], fresh.encode_qk(q, q)[0])


@pytest.mark.parametrize("shape", [(3,), (1,)])
def test_an_added_loss_is_one_number(shape):
    """Of one element that is in a list, too: which tokens it is a mean of would else be a guess."""
    context = Context(torch.zeros(1, 6, dtype=torch.long), torch.arange(6).unsqueeze(0))
    with pytest.raises(ValueError, match=r"`balance` must be one number, and has the shape \(\d,\)"):
        context.add_loss("balance", torch.ones(shape))
    assert context.losses == {}
    context.add_loss("balance", torch.ones(()))
    context.add_loss("balance", torch.ones(()))
    assert context.losses == {"balance": 2}
