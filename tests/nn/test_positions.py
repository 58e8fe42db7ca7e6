"""What each positional encoding does to its input."""

import math

import pytest
import torch

from stlm.nn import Context, Rotary, SinCos


def _positions(*values: int) -> torch.Tensor:
    return torch.tensor([values])


def test_sincos_adds_the_waves_of_the_paper():
    added = SinCos(4).at_input(torch.zeros(1, 2, 4), _positions(0, 3))
    expected = [[0, 1, 0, 1], [math.sin(3), math.cos(3), math.sin(3 / 100), math.cos(3 / 100)]]
    torch.testing.assert_close(added, torch.tensor([expected]))


def test_rotary_products_know_only_the_distance():
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0)).unbind()

    def product(at_q: int, at_k: int) -> torch.Tensor:
        rotary = Rotary()
        turned_q = rotary.on_heads(q, _positions(at_q), {})
        turned_k = rotary.on_heads(k, _positions(at_k), {})
        return (turned_q * turned_k).sum()

    torch.testing.assert_close(product(5, 2), product(105, 102), rtol=1e-4, atol=1e-5)
    assert abs(product(5, 2) - product(5, 3)) > 1e-3


def test_rotary_leaves_position_0_and_every_length_as_they_were():
    q = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(0))
    turned = Rotary(theta=100.0).on_heads(q, _positions(0, 7, 500), {})
    torch.testing.assert_close(turned[:, :, 0], q[:, :, 0])
    torch.testing.assert_close(turned.norm(dim=-1), q.norm(dim=-1))


def test_rotary_turns_pair_i_by_position_times_theta_to_the_minus_2i_over_dim():
    q = torch.randn(1, 1, 1, 4, generator=torch.Generator().manual_seed(0))
    turned = Rotary(theta=100.0).on_heads(q, _positions(3), {})
    a, b, c, d = q.flatten().tolist()  # the pairs are (a, c), which turns by 3, and (b, d), by 3 / √100
    one, two = 3.0, 0.3
    expected = [
        a * math.cos(one) - c * math.sin(one),
        b * math.cos(two) - d * math.sin(two),
        c * math.cos(one) + a * math.sin(one),
        d * math.cos(two) + b * math.sin(two),
    ]
    torch.testing.assert_close(turned.flatten(), torch.tensor(expected))


def test_rotary_angles_of_bf16_heads_are_exact_at_5000_positions():
    positions = torch.arange(5000)
    ones = torch.ones(1, 1, 5000, 2, dtype=torch.bfloat16)
    turned = Rotary().on_heads(ones, positions.unsqueeze(0), {})
    angles = positions.double()  # of the one pair that a head of width 2 has
    expected = torch.stack((angles.cos() - angles.sin(), angles.cos() + angles.sin()), dim=-1)
    assert (turned[0, 0].double() - expected).abs().max() < 0.02  # what rounding to bf16 costs at values up to √2


def test_rotary_takes_positions_of_each_row():
    q = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1)
    both = Rotary().on_heads(q, torch.tensor([[0, 1, 2], [5, 6, 7]]), {})
    second = Rotary().on_heads(q[1:], _positions(5, 6, 7), {})
    torch.testing.assert_close(both[1:], second)


def test_layers_of_one_pass_share_the_rotary_table():
    context = Context(torch.zeros(1, 3, dtype=torch.long), torch.arange(3).unsqueeze(0), positional_encoding=Rotary())
    q = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(0))
    context.encode_qk(q, q)
    (table,) = context.memo.values()
    context.encode_qk(q, q)
    assert next(iter(context.memo.values())) is table


@pytest.mark.parametrize("other", [torch.empty(1, 2, 3, 4), torch.empty(1, 2, 3, 8, dtype=torch.bfloat16)])
def test_heads_of_another_width_or_format_have_a_rotary_table_of_their_own(other):
    memo: dict = {}
    x = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(0))
    Rotary().on_heads(x, _positions(0, 1, 2), memo)
    y = x[..., : other.shape[-1]].to(other.dtype)
    found = Rotary().on_heads(y, _positions(0, 1, 2), memo)
    assert found.dtype == other.dtype
    assert torch.equal(found, Rotary().on_heads(y, _positions(0, 1, 2), {}))


@pytest.mark.parametrize("positions", ["rope", "sincos", "none"])
def test_only_learned_positions_hold_tensors(network, positions):
    encoding = network(positions=positions).positional_encoding
    assert not list(encoding.parameters())
    assert not list(encoding.buffers())
    assert network(positions="learned", num_positions=7).positional_encoding.position_embedding.weight.shape == (7, 32)


def test_losses_of_one_name_are_summed():
    context = Context(torch.zeros(1, 1), torch.zeros(1, 1))
    for value in (1.0, 2.0):
        context.add_loss("balance", torch.tensor(value))
    assert context.losses["balance"] == 3.0
