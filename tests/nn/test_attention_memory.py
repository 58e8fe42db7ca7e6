"""No attention of stlm's own ever has a table of scores: nothing as large as tokens × tokens, forward or backward."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stlm.compiler import compile
from stlm.registry.manager import installed

TOKENS = 1024
HEADS = [(1, 1), (2, 2), (4, 2), (4, 1)]


class LargeTensors(TorchDispatchMode):
    """Notes every result of tokens × tokens elements or more: its dtype, and where it lies."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [one for one in tree_leaves(out) if isinstance(one, Tensor)]
        self.seen += [one for one in tensors if one.untyped_storage().nbytes() >= TOKENS**2 * one.itemsize]
        return out

    def floats(self) -> set[tuple[int, int]]:
        """Address and bytes of each that is no mask of booleans."""
        storages = [one.untyped_storage() for one in self.seen if one.is_floating_point()]
        return {(storage.data_ptr(), storage.nbytes()) for storage in storages}


def large_tensors(tiny_spec: Any, name: str, heads: tuple[int, int], *more: str, segments: bool = False) -> Any:
    """Train three layers of an attention for a step, in which all else is smaller than tokens × tokens."""
    overrides = [
        f"model.context_window={TOKENS}",
        "model.num_layers=3",
        f'model.attn={{"attn_type": "{name}", "num_q_heads": {heads[0]}, "num_kv_heads": {heads[1]}}}',
        *more,
    ]
    model = compile(tiny_spec(*overrides), "cpu").model.train()
    token_ids = torch.randint(300, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    ids = torch.arange(TOKENS).unsqueeze(0) // 100 if segments else None
    large = LargeTensors()
    with large:
        model(token_ids, segments=ids).mean().backward()
    return large


every_attention = pytest.mark.parametrize("name", installed().only({"stlm"}).names("attention"))


@every_attention
@pytest.mark.parametrize("heads", HEADS, ids=str)
@pytest.mark.parametrize(
    "more",
    [(), ("model.attn.qk_norm=rms_norm", "model.attn.attn_dropout=0.1", "model.activation_checkpointing=full")],
    ids=["plain", "normed"],
)
def test_nothing_is_as_large_as_tokens_times_tokens(tiny_spec, name, heads, more):
    assert large_tensors(tiny_spec, name, heads, *more).seen == []


@every_attention
@pytest.mark.parametrize("heads", HEADS, ids=str)
def test_segments_take_one_table_for_all_heads_and_layers(tiny_spec, name, heads):
    """A mask that no flag can say: as many floats as it has pairs of tokens, once in a forward pass."""
    large = large_tensors(tiny_spec, name, heads, segments=True)
    assert [size for _, size in large.floats()] == [4 * TOKENS**2]
