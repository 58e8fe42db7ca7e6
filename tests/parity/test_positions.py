"""Every positional encoding against its formula."""

import pytest
import torch
from torch import Tensor

from tests.parity.by_hand import rotation, sincos
from tests.parity.networks import SMALL, TOLERANCE, Compiled, compiled

FAR = torch.tensor([[0, 1, 2, 7, 100, 1023], [3, 3, 50, 2, 8, 500]])
"""Positions of two rows, in no order."""


def _encoding(name: str, *overrides: str) -> Compiled:
    return compiled(SMALL, f"model.positional_encoding_type={name}", "model.context_window=1024", *overrides, seed=0)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hidden", [2, 24])
def test_sincos_is_the_formula_of_vaswani_et_al(agree, hidden):
    """Within 1e-4: fp32 knows an angle near 1000 to 6e-5."""
    made = _encoding("sincos", f"model.hidden_dim={hidden}", "model.attn.head_dim=2")
    x = _random(2, 6, hidden)
    waves = torch.tensor([[sincos(int(p), hidden) for p in row] for row in FAR], dtype=torch.float64)
    pairs = [(made.model.positional_encoding.at_input(x, FAR), x + waves)]
    agree("positional_encoding.sincos", "sines and cosines in float64", pairs, tolerance=1e-4)


def test_learned_adds_the_row_of_the_position(agree):
    made = _encoding("learned")
    encoding, x = made.model.positional_encoding, _random(2, 6, 24).requires_grad_()
    added, wanted = encoding.at_input(x, FAR), torch.empty(2, 6, 24)
    table, gradient = encoding.position_embedding.weight, torch.zeros(1024, 24)
    added.backward(weights := _random(2, 6, 24, seed=1))
    for row, places in enumerate(FAR.tolist()):
        for column, place in enumerate(places):
            wanted[row, column] = x[row, column].detach() + table[place].detach()
            gradient[place] += weights[row, column]
    agree("positional_encoding.learned", "rows of a table", [(added, wanted)], [(table.grad, gradient)], tolerance=1e-6)


@pytest.mark.parametrize(("head_dim", "theta"), [(2, 10000.0), (8, 10000.0), (6, 50.0), (8, 500000.0)])
def test_rope_turns_each_pair_by_a_matrix(agree, head_dim, theta):
    """Within 3e-4: fp32 knows an angle near 1000 to 6e-5, and elements are up to 4."""
    made = _encoding("rope", f"model.rope_theta={theta}", f"model.attn.head_dim={head_dim}")
    q, k = _random(2, 3, 6, head_dim), _random(2, 1, 6, head_dim, seed=1)
    turned = [made.model.positional_encoding.on_heads(x, FAR, {}) for x in (q, k)]
    matrices = torch.stack([torch.stack([rotation(int(p), head_dim, theta) for p in row]) for row in FAR])
    pairs = [
        (ours, torch.einsum("bsij,bhsj->bhsi", matrices, before.double()))
        for ours, before in zip(turned, (q, k), strict=True)
    ]
    agree("positional_encoding.rope", "rotation matrices in float64", pairs, tolerance=3e-4)


@pytest.mark.parametrize("shift", [1, 13, 700])
def test_rope_lets_a_score_depend_on_the_distance_alone(agree, shift):
    """Within 5e-4: what fp32 knows of angles near 1000, in a sum of 6 products."""
    rope = _encoding("rope", "model.attn.head_dim=6").model.positional_encoding
    q, k = _random(1, 1, 8, 6), _random(1, 1, 8, 6, seed=1)
    places = torch.tensor([[0, 1, 2, 5, 11, 40, 200, 300]])

    def scores(positions: Tensor) -> Tensor:
        turned_q, turned_k = (rope.on_heads(x, positions, {}) for x in (q, k))
        return turned_q @ turned_k.transpose(2, 3)

    apart = places.clone()
    apart[:, 4:] += 1
    assert (scores(places) - scores(apart)).abs().max() > 0.1
    pairs = [(scores(places + shift), scores(places))]
    agree("positional_encoding.rope", "itself, all positions moved alike", pairs, tolerance=5e-4)


def test_without_positions_a_bidirectional_model_does_not_know_the_order(agree):
    made = _encoding("none", "model.attn.attn_type=bidirectional", "model.context_window=12")
    generator = torch.Generator().manual_seed(0)
    ids, order = torch.randint(40, (2, 12), generator=generator), torch.randperm(12, generator=generator)
    pairs = [(made.model(ids[:, order]), made.model(ids)[:, order])]
    agree("positional_encoding.none", "itself, tokens in another order", pairs, tolerance=TOLERANCE)


@pytest.mark.parametrize("name", ["learned", "sincos", "rope"])
def test_with_positions_a_bidirectional_model_knows_the_order(name):
    model = _encoding(name, "model.attn.attn_type=bidirectional", "model.context_window=12").model
    ids = torch.arange(12).unsqueeze(0)
    assert (model(ids.flip(1)) - model(ids).flip(1)).abs().max() > 0.1
