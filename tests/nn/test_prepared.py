"""What is made ready beforehand computes what the modules themselves compute."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stlm.nn import LayerNorm, RMSNorm, Rotary
from stlm.nn.linear import Linear, linear
from stlm.nn.prepared import prepare


@pytest.fixture
def two_threads():
    """Compute with two threads, as on a machine with two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(rows: int, columns: int, bias: bool) -> Linear:
    made = Linear(columns, rows, bias)
    with torch.no_grad():
        for seed, parameter in enumerate(made.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=seed))
    return made


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(6, 4), (7, 4), (7, 5), (1, 1), (512, 300), (511, 300)])
@pytest.mark.parametrize("shape", [(1, 1), (1,), (), (3, 2), (2, 1)])
@torch.no_grad()
def test_a_linear_map_gives_what_torchs_gives(two_threads, rows, columns, bias, shape):
    made = layer(rows, columns, bias)
    x = drawn(*shape, columns, seed=5)
    expected = F.linear(x.double(), made.weight.double(), made.bias.double() if bias else None)
    for call in (made, prepare(made)):
        assert call(x).shape == expected.shape
        torch.testing.assert_close(call(x).double(), expected, rtol=1e-5, atol=1e-4)


@torch.no_grad()
def test_a_prepared_map_reads_the_weights_as_they_are_when_it_is_called(two_threads):
    made = layer(8, 4, False)
    ready = prepare(made)
    made.weight.mul_(2)
    torch.testing.assert_close(ready(drawn(1, 4)), made(drawn(1, 4)))


def test_gradients_pass_through_a_linear_map_of_any_size():
    x = drawn(2, 600).requires_grad_()
    weight = drawn(600, 600, seed=1).requires_grad_()
    linear(x, weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.detach().sum(dim=0).expand(2, -1), rtol=1e-5, atol=1e-4)
    assert weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@torch.no_grad()
def test_other_number_formats_stay_what_they_are(two_threads, dtype):
    made = layer(512, 512, True).to(dtype)
    for rows in (1, 3):
        x = drawn(rows, 512).to(dtype)
        assert prepare(made)(x).dtype == made(x).dtype == dtype
        torch.testing.assert_close(prepare(made)(x), F.linear(x, made.weight, made.bias))


@torch.no_grad()
def test_autocast_reaches_a_linear_map():
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(drawn(2, 512), drawn(512, 512)).dtype == torch.bfloat16


@pytest.mark.parametrize("norm", [RMSNorm(8, eps=0.1), LayerNorm(8, eps=0.1)], ids=["rms", "layer"])
@pytest.mark.parametrize("shape", [(1, 1, 8), (8,), (2, 3, 8)])
@torch.no_grad()
def test_a_norm_gives_what_it_gives_with_gradients(norm, shape):
    norm.weight.copy_(drawn(8, seed=3))
    x = drawn(*shape)
    with torch.enable_grad():
        expected = norm(x).detach()
    for call in (norm, prepare(norm)):
        torch.testing.assert_close(call(x), expected)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("positions", ["rope", "learned"])
@pytest.mark.parametrize("norm", ["rms", "layer", "none"])
@torch.inference_mode()
def test_a_network_that_is_made_ready_gives_the_same_scores(network, two_threads, norm, positions, gated):
    model = network(norm=norm, positions=positions, gated=gated, kv_heads=2, bias=True, head_bias=True)
    ids = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(0))
    whole = model(ids)
    for batch in (1, 2):
        state = model.init_state(batch, 16)
        parts = [model(part, state=state) for part in ids[:batch].split([4, 1, 1, 2, 1], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole[:batch], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_hook_that_hangs_in_a_network_is_called_while_it_generates(network):
    model = network()
    seen = []
    model.core.blocks[0].ffn.up.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    state = model.init_state(1, 8)
    model(torch.tensor([[1]]), state=state)
    assert seen == [(1, 1, 64)]


@pytest.mark.parametrize("part", ["embedder.token_embedding", "core.blocks.0.ffn.up", "core.blocks.1.attn", "core"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@torch.inference_mode()
def test_a_hook_that_hangs_anywhere_is_called_for_each_token(network, part, before):
    model = network()
    hooked, calls = model.get_submodule(part), []
    hang = hooked.register_forward_pre_hook if before else hooked.register_forward_hook
    hang(lambda *_: calls.append(1))
    state = model.init_state(1, 8)
    for token in (1, 2, 3):
        model(torch.tensor([[token]]), state=state)
    assert len(calls) == 3


def test_a_module_without_a_way_of_its_own_stays_itself():
    module = nn.GELU()
    assert prepare(module) is module


def test_dropout_acts_in_a_network_in_training_that_is_given_a_state(network):
    model = network(dropout=0.5)
    model.head.dropout.p = 0.0  # the head is never made ready, so its dropout would prove nothing
    state = model.init_state(1, 8)
    model.train()
    with torch.no_grad():
        texts = [model(torch.tensor([[1, 2, 3]]), state=model.init_state(1, 8)) for _ in range(2)]
    assert not torch.equal(*texts)
    assert state is not None


def test_gradients_pass_through_a_network_that_is_given_a_state(network):
    model = network()
    model(torch.tensor([[1, 2, 3]]), state=model.init_state(1, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_subclass_that_computes_something_else_is_not_prepared_as_its_base():
    class Doubled(Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    made, replaced = Doubled(4, 4), Linear(4, 4)
    replaced.forward = lambda x: x
    assert prepare(made) is made
    assert prepare(replaced) is replaced


def test_an_encoding_that_overrides_what_happens_to_q_and_k_is_asked(network):
    class Far(Rotary):
        def on_qk(self, q, k, positions, memo):
            return self.on_heads(q, positions, memo), self.on_heads(k, 7 * positions, {})

    ids = torch.tensor([[1, 2, 3, 4]])
    plain, model = network(), network()
    model.positional_encoding = Far()
    with torch.no_grad():
        assert not torch.allclose(model(ids), plain(ids))
        state = model.init_state(1, 8)
        parts = [model(part, state=state) for part in ids.split(1, dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(ids), rtol=1e-4, atol=1e-4)
