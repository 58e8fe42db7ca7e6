"""Costs by hand, and against what autograd really keeps."""

import time
import weakref

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import set_checkpoint_early_stop

from stlm.nn import cost
from stlm.nn.attention import SelfAttention
from stlm.nn.modes import autocast
from stlm.nn.norm import RMSNorm
from stlm.testing import kept_by_autograd


def parameter_counts(module):
    """Count the parameters in each module of the tree, a shared one at the first path that leads to it."""
    named = [(path, parameter.numel()) for path, parameter in module.named_parameters()]
    parts = {path: sum(n for name, n in named if name.startswith(f"{path}.")) for path, _ in module.named_modules()}
    return {**parts, "": sum(n for _, n in named)}


def test_parameters_by_hand(meta_network):
    counts = parameter_counts(meta_network(kv_heads=2, tied=False, gated=True, positions="learned", num_positions=16))
    attention = 32 + 32 * (32 + 2 * 16) + 32 * 32  # norm, qkv, out_proj
    ffn = 32 + 3 * 32 * 64
    assert counts["core.blocks.0.attn"] == attention
    assert counts["core.blocks.1.ffn"] == ffn
    assert counts["core"] == 2 * (attention + ffn)
    assert counts["embedder"] == 50 * 32
    assert counts["positional_encoding"] == 16 * 32
    assert counts["head"] == 32 + 50 * 32
    assert counts[""] == sum(counts[part] for part in ("core", "embedder", "positional_encoding", "head"))


def test_shared_parameters_are_counted_once(meta_network):
    model = meta_network(share_ffn=True, share_out_proj=True, layers=3)
    counts = parameter_counts(model)
    assert counts["head"] == 32
    assert counts["core.blocks.2.ffn"] == 32
    assert counts["core.blocks.2.attn"] == 32 + 3 * 32 * 32
    assert counts[""] == sum(p.numel() for p in model.parameters()) == cost.active_parameters(model)


@pytest.mark.parametrize(("causal", "share"), [(True, False), (False, False), (True, True)])
def test_operations_by_hand(meta_network, causal, share):
    model = meta_network(kv_heads=2, causal=causal, tied=share, share_ffn=share, share_out_proj=share)
    weights = 32 * (32 + 2 * 16) + 32 * 32 + 2 * 32 * 64
    scores_and_sums = 4 * 10 * 4 * 8 / (2 if causal else 1)
    assert cost.flops_per_token(model, 10) == 2 * (2 * weights + scores_and_sums) + 2 * 50 * 32


def test_an_embedder_that_pools_scales_the_core(meta_network):
    model = meta_network()
    core, head = cost.flops_per_token(model.core, 4), cost.flops_per_token(model.head, 16)
    model.embedder.positions_per_token = 0.25
    assert cost.flops_per_token(model, 16) == 0.25 * core + head


def test_weights_that_autocast_copies_are_those_of_matrix_products(meta_network):
    options = {"kv_heads": 2, "layers": 1, "positions": "learned", "bias": True}
    matrices = 32 * (32 + 2 * 16) + 32 * 32 + 2 * 32 * 64
    assert cost.cast_elements(meta_network(**options)) == matrices + 50 * 32
    assert cost.cast_elements(meta_network(**options, tied=False)) == matrices + 50 * 32
    assert cost.cast_elements(meta_network(**{**options, "layers": 2}, share_ffn=True, share_out_proj=True)) == (
        matrices + 32 * (32 + 2 * 16) + 50 * 32
    )


def test_weights_that_are_narrow_already_are_not_copied_by_autocast(meta_network):
    model = meta_network(tied=False)
    whole, core = cost.cast_elements(model), cost.cast_elements(model.core)
    model.core.to(torch.bfloat16)
    assert cost.cast_elements(model) == whole - core


class _Sparse(nn.Module):
    """A module that uses a part of its weights, and says so."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.Parameter(torch.empty(4, 3, 3))

    def active_elements(self):
        yield self.experts, 9

    def flops_per_token(self, seq_len: int) -> float:
        return 18.0


def test_a_module_may_say_its_own_costs():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), _Sparse())
    assert cost.active_parameters(model) == 18
    assert cost.flops_per_token(model, 5) == 36


def _kept_by_autograd(model, batch: int, seq: int, precision: str) -> float:
    """Return the bytes that are kept for the backward pass: unique storages, parameters excluded."""
    token_ids = torch.randint(50, (batch, seq), generator=torch.Generator().manual_seed(0))
    output, kept = kept_by_autograd(model, lambda: model(token_ids), precision)
    assert output.requires_grad
    return kept


@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("bf16", 2)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positions": "learned", "norm": "layer", "bias": True},
        {"positions": "none", "norm": "none", "activation": nn.ReLU()},
        {"kv_heads": 1, "gated": True},
        {"gated": True, "activation": nn.ReLU()},
        {"qk_norm": True, "kv_heads": 2},
        {"qk_norm": True, "positions": "sincos"},
        {"head_dim": 16, "activation": nn.Tanh(), "causal": False},
        {"activation": nn.SiLU(), "positions": "none", "tied": False},
        {"dropout": 0.1, "positions": "learned"},
        {"share_ffn": True, "share_out_proj": True, "activation": nn.LeakyReLU()},
    ],
    ids=str,
)
def test_what_autograd_keeps_is_foretold_to_a_hundredth(network, options, precision, width):
    model = network(layers=3, **options).train()
    copies = width * cost.cast_elements(model) if width < 4 else 0
    foretold = 8 * 16 * cost.saved_bytes_per_token(model, 16, width) + copies
    assert foretold == pytest.approx(_kept_by_autograd(model, 8, 16, precision), rel=0.01)


class _Live(TorchDispatchMode):
    """Knows how many bytes of the tensors that were made within it are still there, those of ``ignored`` aside."""

    def __init__(self, ignored) -> None:
        super().__init__()
        self.storages: dict[int, int] = {p.untyped_storage()._cdata: 0 for p in ignored}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self.storages:
                self.storages[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.storages.pop, storage._cdata, None)
        return out

    @property
    def bytes(self) -> int:
        return sum(self.storages.values())


def _most_kept(model, batch: int, seq: int, precision: str) -> float:
    """Return what is there after the forward pass, and what the last block adds where it is run again.

    The logits and the result of the block are not counted: the one is the loss's own, the other is gone at once.
    """
    token_ids = torch.randint(50, (batch, seq), generator=torch.Generator().manual_seed(0))
    last, moments = model.core.blocks[-1], []
    with _Live(model.parameters()) as live, set_checkpoint_early_stop(False):
        last.register_forward_pre_hook(lambda module, args: moments.append(live.bytes))
        last.register_forward_hook(lambda module, args, out: moments.append(live.bytes - out.nbytes))
        with autocast(torch.device("cpu"), precision):
            logits = model(token_ids)
        kept = live.bytes - logits.nbytes
        logits.sum().backward()
    return kept + (moments[3] - moments[2] if len(moments) == 4 else 0)


@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("bf16", 2)])
@pytest.mark.parametrize(
    ("every", "layers", "kept"),
    [(1, 4, [3]), (2, 4, [0, 2, 3]), (2, 5, [0, 2, 4]), (3, 5, [0, 1, 3, 4])],
    ids=str,
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positions": "learned", "norm": "layer", "bias": True, "dropout": 0.1},
        {"qk_norm": True, "kv_heads": 2, "gated": True},
        {"share_ffn": True, "share_out_proj": True},
    ],
    ids=str,
)
def test_what_is_kept_where_blocks_are_recomputed_is_foretold_to_a_hundredth(
    network, options, every, layers, kept, precision, width
):
    """``kept`` are the blocks whose activations are there at the worst moment, with autocast's copies of weights."""
    model = network(layers=layers, recompute_every=every, **options).train()
    copied = nn.ModuleList([model.head, *(model.core.blocks[index] for index in kept)])
    copies = width * cost.cast_elements(copied) if width < 4 else 0
    foretold = 32 * 16 * cost.saved_bytes_per_token(model, 16, width) + copies
    assert foretold == pytest.approx(_most_kept(model, 32, 16, precision), rel=0.01)


def test_a_recomputed_block_keeps_its_input_alone(meta_network):
    kept, recomputed = (meta_network(layers=10, recompute_every=n) for n in (0, 1))
    block = cost.saved_bytes_per_token(kept.core.blocks[0], 16, 4)
    assert cost.saved_bytes_per_token(kept.core, 16, 4) == 10 * block
    assert cost.saved_bytes_per_token(recomputed.core, 16, 4) == 9 * 4 * 32 + block
    assert cost.encoded_elements(kept.core) == 10 * cost.encoded_elements(recomputed.core) == 10 * 8 * 8
    assert cost.flops_per_token(kept, 16) == cost.flops_per_token(recomputed, 16)


def test_80_layers_of_8192_are_built_and_counted_in_no_time():
    from stlm.nn import GatedFeedForward, LMHead, ModelShell, Rotary, TokenEmbedding, TransformerCore

    def block():
        norms = [RMSNorm(8192, eps=1e-5) for _ in range(2)]
        attn = SelfAttention(8192, num_q_heads=64, num_kv_heads=8, head_dim=128, causal=True, norm=norms[0])
        return attn, GatedFeedForward(8192, 28672, norm=norms[1])

    start = time.process_time()
    with torch.device("meta"):
        core = TransformerCore([block() for _ in range(80)])
        head = LMHead(8192, 32000, norm=RMSNorm(8192, eps=1e-5))
        model = ModelShell(TokenEmbedding(32000, 8192, tied=False), core, head, Rotary())
    assert parameter_counts(model)[""] == 68_976_648_192  # Llama 2 70B, as published
    assert time.process_time() - start < 2.0  # 0.2 s on an idle machine
