"""The whole model on patches, written out byte by byte in float64: each prediction by itself, from what it may see."""

import pytest
import torch
from torch import Tensor

from stlm.nn.context import PADDING

PATCH, HEADS, EPS = 4, 2, 1e-6


class Naive:
    """The numbers of a model, and what they mean: one row of ids at a time, one prediction at a time."""

    def __init__(self, model):
        self.w = {name: tensor.double() for name, tensor in model.state_dict().items()}
        table = self.w["embedder.byte_embedding.weight"]
        self.vectors = table * table.shape[1] ** 0.5

    def norm(self, x: Tensor, name: str) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * self.w[f"{name}.weight"]

    def block(self, x: Tensor, name: str, sees: Tensor) -> Tensor:
        """Attention by a table of who sees whom, (S, S), then the gated network; x is (S, width)."""
        y = self.norm(x, f"{name}.attn.norm") @ self.w[f"{name}.attn.qkv.weight"].T
        heads = []
        for q, k, v in zip(*(part.chunk(HEADS, dim=1) for part in y.chunk(3, dim=1)), strict=True):
            scores = (q @ k.T / q.shape[1] ** 0.5).masked_fill(~sees, -torch.inf)
            heads.append(scores.softmax(dim=1) @ v)
        x = x + torch.cat(heads, dim=1) @ self.w[f"{name}.attn.out_proj.weight"].T
        y = self.norm(x, f"{name}.ffn.norm")
        gate, up = (y @ self.w[f"{name}.ffn.{part}.weight"].T for part in ("gate", "up"))
        return x + (gate * gate.sigmoid() * up) @ self.w[f"{name}.ffn.down.weight"].T

    def patches(self, ids: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        """The core's states of whole patches, (N, hidden), and their segments."""
        vectors, of_patches = [], []
        for end in range(PATCH, len(ids) + 1, PATCH):
            own = segments[end - PATCH : end] == segments[end - 1]
            bytes_ = self.vectors[ids[end - PATCH : end]] * own[:, None]
            vectors.append(self.w["embedder.join.weight"] @ bytes_.flatten())
            of_patches.append(segments[end - 1])
        if not vectors:
            return torch.empty(0), torch.empty(0)
        of = torch.stack(of_patches)
        x = torch.stack(vectors) + self.w["positional_encoding.position_embedding.weight"][: len(vectors)]
        sees = (of[:, None] == of) & torch.ones(len(of), len(of)).tril().bool()
        for layer in range(2):
            x = self.block(x, f"core.blocks.{layer}", sees)
        return x, of

    def logits(self, ids: Tensor, segments: Tensor, t: int) -> Tensor:
        """What is predicted at byte t, of byte t + 1."""
        patch, slot = divmod(t + 1, PATCH)
        ids, segments = ids[: t + 1], segments[: t + 1]  # all that there is
        states, of = self.patches(ids, segments)
        start = self.w["head.start"].view(PATCH, -1)
        rows, own = [], []
        for number in range(slot + 1):
            before = patch * PATCH + number - 1  # the byte that stands in this slot; none before the first
            vector = self.vectors[ids[before]] if before >= 0 else 0
            segment = segments[max(before, 0)]
            heard = start[number]
            if patch > 0 and of[patch - 1] == segment:
                spread = self.w["head.spread.weight"] @ self.norm(states[patch - 1], "head.patch_norm")
                heard = spread.view(PATCH, -1)[number]
            rows.append(vector + heard)
            own.append(segment)
        x, segment = torch.stack(rows), torch.stack(own)
        sees = (segment[:, None] == segment) & torch.ones(len(x), len(x)).tril().bool()
        for layer in range(2):
            x = self.block(x, f"head.local.blocks.{layer}", sees)
        return self.w["embedder.byte_embedding.weight"] @ self.norm(x[-1], "head.norm")


@pytest.mark.parametrize("borders", [(), (9,), (3, 8, 14)])
@pytest.mark.parametrize("seq", [1, 3, 4, 19, 24])
def test_the_network_computes_what_is_written_here(patched, ids, borders, seq):
    """At the rounding of float32; windows that are no multiple of a patch, and texts that begin within one."""
    model = patched("model.positional_encoding_type=learned")
    tokens = ids(2, seq)
    segments = sum((torch.arange(seq) >= border).long() for border in borders) + torch.zeros(2, seq, dtype=torch.long)
    naive = Naive(model)
    expected = torch.stack([torch.stack([naive.logits(row, segments[0], t) for t in range(seq)]) for row in tokens])
    with torch.no_grad():
        logits = model(tokens, segments=segments if borders else None)
    torch.testing.assert_close(logits.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_padding_behind_a_text_is_nothing(patched, ids):
    model = patched()
    tokens, segments = ids(2, 24), torch.zeros(2, 24, dtype=torch.long)
    segments[:, 14:] = PADDING
    with torch.no_grad():
        padded = model(tokens, segments=segments)
        torch.testing.assert_close(padded[:, :14], model(tokens[:, :14]))
        assert padded.isfinite().all()
