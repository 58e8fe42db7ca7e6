"""Going on token by token: what each kind of attention has ready, and how much it does for a token."""

from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import stlm
from stlm.nn import Context
from stlm.nn.prepared import prepare

SPECS = sorted(path.name for path in Path(__file__).parents[1].glob("*.yaml"))
VIEWS = ("view", "transpose", "split", "narrow", "slice", "unsqueeze", "expand", "select", "squeeze", "t", "alias")


def at(start: int, seq: int, encoding: torch.nn.Module, segments: torch.Tensor | None = None) -> Context:
    """The context of tokens that begin at a position; of two texts, where there are segments."""
    rows = 1 if segments is None else 2
    own = None if segments is None else segments[:, start : start + seq]
    return Context(
        torch.zeros(rows, seq, dtype=torch.long), torch.arange(start, start + seq).unsqueeze(0), own, encoding
    )


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_what_is_made_ready_computes_the_same(shipped, name, padded):
    model = stlm.compile(shipped(name), "cpu").model.eval()
    attn, encoding = model.core.blocks[0].attn, model.positional_encoding
    ready = prepare(attn)
    assert ready is not attn
    segments = torch.where(torch.arange(12) < torch.tensor([[3], [0]]), -1, 0) if padded else None
    x = torch.randn(2 if padded else 1, 12, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = [attn.init_state(x.shape[0], 12, x.device, x.dtype) for _ in range(2)]
        for start, part in ((0, x[:, :7]), *((t, x[:, t : t + 1]) for t in range(7, 12))):
            given, expected = (
                act(part, at(start, part.shape[1], encoding, segments), state)
                for act, state in zip((ready, attn), states, strict=True)
            )
            torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-6)


class Operations(TorchDispatchMode):
    """Counts operations, views left out."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ not in VIEWS
        return func(*args, **(kwargs or {}))


def operations_of_a_token(spec: stlm.Spec) -> int:
    model, ids = stlm.compile(spec, "cpu").model.eval(), torch.arange(9).unsqueeze(0)
    with torch.no_grad():
        state = model.init_state(1, 64)
        for part in (ids[:, :7], ids[:, 7:8]):
            model.token_states(part, state=state)
        with Operations() as seen:
            model.token_states(ids[:, 8:], state=state)
    return seen.count


@pytest.mark.parametrize(
    ("name", "times"), [("sliding_window", 1.0), ("alibi", 0.9), ("linear", 1.4), ("gated_linear", 1.6)]
)
def test_a_token_takes_little_more_than_with_causal_attention(shipped, name, times):
    """In operations, which is what small products of one token cost; nothing is made that a pass could be given."""
    encoding = "model.positional_encoding_type=rope"
    causal = shipped("sliding_window.yaml", "model.attn={attn_type: causal, num_kv_heads: 2}", encoding)
    own = shipped(f"{name}.yaml", *([] if name == "alibi" else [encoding]))
    assert operations_of_a_token(own) <= times * operations_of_a_token(causal)
