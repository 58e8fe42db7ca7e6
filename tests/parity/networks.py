"""Networks made from specs, the tokens that they are compared on, and the comparison."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs
import torch
from torch import Tensor

from stlm import Spec, compile
from stlm.nn import ModelShell
from stlm.registry import identity_of, parse_spec
from stlm.registry.manager import installed
from stlm.spec.canonical import components_of
from tests.parity.by_hand import ByHand
from tests.parity.weights import Pair, draw

KINDS = (
    "activation",
    "attention",
    "core_model",
    "embedding",
    "ffn",
    "initialization",
    "lm_head",
    "model_shell",
    "norm",
    "positional_encoding",
)
"""The kinds of component that make up a network."""

COMPUTE = [kind for kind in KINDS if kind != "initialization"]

TOLERANCE = 1e-4
"""What logits and gradients may differ by in fp32, where sums are taken in another order.

Measured: logits have a spread of 1 to 1.7 and the largest is 7; they differ by 1e-5 at most. Gradients have a spread
of 0.1 to 0.4 and the largest is 10; they differ by 3e-5 at most.
"""

SMALL = """
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  positional_encoding_type: none
  tokenizer_type: hf
  tokenizer_name: ./never-read
  vocab_size: 40
  hidden_dim: 24
  context_window: 20
  norm_eps: 0.05
  num_layers: 2
  attn: {attn_type: causal, num_kv_heads: 4}
  ffn: {ffn_type: generic, ffn_dim: 32}
"""
"""A model to change by overrides. Its epsilon is so large that it matters where it stands."""


@attrs.frozen
class Compiled:
    """A spec and the network that it compiled to, on the CPU and in evaluation mode."""

    spec: Spec
    model: ModelShell

    @property
    def options(self) -> dict[str, Any]:
        """All that the spec says of the model, defaults among it."""
        return self.spec.to_plain()["model"]

    @property
    def components(self) -> list[str]:
        """The parts that take part in what is computed, as ``kind.name``; an absent norm of q and k takes none."""
        chosen = {path: identity_of(type(held)) for path, held in components_of(self.spec.sections)}
        if self.options["attn"]["qk_norm"] == "none":
            del chosen["model.attn.qk_norm"]
        return [f"{c.kind}.{c.name}" for c in chosen.values() if c and c.kind in COMPUTE]


def compiled(text: str, *overrides: str, seed: int | None = None) -> Compiled:
    """Compile a spec; with a ``seed``, every weight is drawn widely."""
    spec = parse_spec(text, overrides)
    model = compile(spec, "cpu").model.eval()
    if seed is not None:
        draw(model, seed)
    return Compiled(spec, model)


def installed_names(kind: str) -> list[str]:
    """List the components of a kind that stlm itself brings."""
    entries = installed().entries(kind)
    return [entry.name for entry in entries if entry.distribution == "stlm" and not entry.is_family]


@attrs.frozen
class Batch:
    """Tokens, (batch, seq), and where some are padding the positions, segments and a mask of what is real."""

    ids: Tensor
    positions: Tensor | None = None
    real: Tensor | None = None

    @property
    def segments(self) -> Tensor | None:
        """0 for tokens and -1 for padding, None where there is none."""
        return None if self.real is None else self.real.long() - 1

    def kept(self, logits: Tensor) -> Tensor:
        """Return the logits of real tokens, (tokens, vocab)."""
        return logits.flatten(0, 1) if self.real is None else logits[self.real]


def batches(vocab: int, window: int, seed: int) -> Iterator[Batch]:
    """Yield one token, some, the whole window, and rows of unequal length with padding behind and before them."""
    drawn = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    for size, seq in ((1, 1), (3, 1), (drawn.randint(2, 3), drawn.randint(2, window - 1)), (2, window)):
        yield Batch(torch.randint(vocab, (size, seq), generator=generator))
    seq = drawn.randint(4, window)
    lengths = torch.tensor([[1], [drawn.randint(2, seq - 1)], [seq]])
    for real in (torch.arange(seq) < lengths, torch.arange(seq) >= seq - lengths):
        ids = torch.randint(vocab, real.shape, generator=generator)
        yield Batch(ids, (real.cumsum(1) - 1).clamp(min=0), real)


def objective(logits: Tensor) -> Tensor:
    """Sum logits with random weights, so that each has a hand in every gradient."""
    weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits.dtype)
    return (logits * weights).sum() / logits.numel() ** 0.5


def to_size(pairs: Iterable[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Scale ours and theirs alike where the largest of theirs is beyond 10, as it is in models that lack norms."""
    pairs = list(pairs)
    size = max(1.0, *(theirs.detach().abs().max().item() / 10 for _, theirs in pairs))
    return [(ours.detach() / size, theirs.detach() / size) for ours, theirs in pairs]


Network = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
"""From token ids, positions and the mask of real tokens (both None where nothing is padding) to logits."""


def compare(
    agree: Callable[..., None], made: Compiled, theirs: Network, reference: str, pairs: list[Pair], batch: Batch
) -> None:
    """Hold logits and the gradients of every parameter to those of a reference whose parameters are paired."""
    for one in pairs:
        for parameter in (one.ours, *one.theirs):
            parameter.grad = None
    mine = batch.kept(made.model(batch.ids, positions=batch.positions, segments=batch.segments))
    wanted = batch.kept(theirs(batch.ids, batch.positions, batch.real))
    objective(mine).backward()
    objective(wanted).backward()
    gradients = to_size(p.gradients() for p in pairs)
    agree(made.components, reference, to_size([(mine, wanted)]), gradients, tolerance=TOLERANCE)


def compare_by_hand(
    agree: Callable[..., None], made: Compiled, batch: Batch, masks: list[Tensor] | None = None
) -> None:
    """Hold logits and the gradients of every parameter to those of the network that is written out by hand."""
    hand = ByHand(made.options, made.model, masks)
    made.model.zero_grad(set_to_none=True)
    mine = batch.kept(made.model(batch.ids, positions=batch.positions, segments=batch.segments))
    wanted = batch.kept(hand(batch.ids, batch.positions, batch.segments))
    objective(mine).backward()
    objective(wanted).backward()
    outputs, gradients = to_size([(mine, wanted)]), to_size(hand.gradients(made.model))
    agree(made.components, "formulas and loops, in float64", outputs, gradients, tolerance=TOLERANCE)
