"""Peak memory of a step's forward and backward pass with all logits held at once, and in chunks as stlm trains.

`next_token_mlm` asks for 15 % of the tokens; all ways but this one ask for all of them.

    python tests/benchmarks/loss_memory.py

A model of 6 blocks, 384 wide, with a vocabulary of 50,257, on 8 sequences of 512 tokens, in fp32 on the CPU. Each way
runs in a process of its own and is measured twice: by what the process held resident at most, less what it held before
the step; and by the bytes of the tensors alive at once, counted at each operation.
"""

import json
import resource
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stlm.compiler import compile
from stlm.data.serving.batch import IGNORE, Batch
from stlm.registry import make_component, parse_spec

BATCH, SEQ, VOCAB = 8, 512, 50_257
LOGITS = BATCH * SEQ * VOCAB * 4
SPEC = f"""\
model:
  model_shell_type: standard
  core_model_type: generic
  embedding_model_type: generic
  lm_head_type: generic
  positional_encoding_type: rope
  tokenizer_type: gpt2
  hidden_dim: 384
  context_window: {SEQ}
  num_layers: 6
  attn: {{attn_type: causal, num_kv_heads: 6}}
  ffn: {{ffn_type: generic, ffn_dim: 1536}}
"""
Loss = Callable[[Tensor, Any, Batch], tuple[Tensor, Tensor]]


class LiveBytes(TorchDispatchMode):
    """Count the bytes of storages that were made inside the block and are still alive; ``peak`` is the most there were.

    What a kernel takes for itself and gives back is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and id(leaf.untyped_storage()) not in given:
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage not in self.seen:
            self.seen.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._drop, storage.nbytes())

    def _drop(self, size: int) -> None:
        self.live -= size


def all_logits(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Compute the loss as one reads it in a textbook."""
    logits = head.project(states)
    loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
    return loss, torch.tensor(batch.targets.numel())


class OnlyProject:
    """A head that does not say that it is a linear map."""

    def __init__(self, head: Any) -> None:
        self.project = head.project


def registered(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Compute `cross_entropy`, as a spec chooses it."""
    loss: Loss = make_component("loss", "cross_entropy").build(None)
    return loss(states, head, batch)


def any_head(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Compute the same where the head is not known to be a linear map, by running each chunk twice."""
    return registered(states, OnlyProject(head), batch)


def masked(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Compute `next_token_mlm` of a batch whose tokens are hidden already, here 15 % of them."""
    component = make_component("loss", "next_token_mlm")
    asked = torch.rand(batch.targets.shape, generator=torch.Generator().manual_seed(0)) < component.mlm_probability
    loss: Loss = component.build(None)
    return loss(states, head, Batch(batch.token_ids, batch.targets.masked_fill(~asked, IGNORE)))


WAYS: dict[str, Loss] = {
    "all logits": all_logits,
    "cross_entropy": registered,
    "cross_entropy, any head": any_head,
    "next_token_mlm": masked,
}


def step(model: nn.Module, loss: Loss, batch: Batch) -> float:
    """Run a forward and a backward pass, and return the loss per token."""
    states, _ = model.token_states(batch.token_ids)  # type: ignore[operator]
    total, count = loss(states, model.head, batch)
    (total / count).backward()
    return (total / count).item()


def peak_resident() -> int:
    """Return the most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(way: str) -> dict[str, float]:
    """Take a step in this process, first counted by the process, then by tensors."""
    model = compile(parse_spec(SPEC), "cpu").model
    tokens = torch.randint(VOCAB, (2, BATCH, SEQ), generator=torch.Generator().manual_seed(0))
    batch = Batch(tokens[0], tokens[1])
    before = peak_resident()
    loss = step(model, WAYS[way], batch)
    resident = peak_resident() - before
    model.zero_grad(set_to_none=True)
    with LiveBytes() as live:
        step(model, WAYS[way], batch)
    return {"loss": loss, "resident": resident, "tensors": live.peak}


def main() -> None:
    """Print a table, in MB of a million bytes."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    found = {
        way: json.loads(subprocess.run([sys.executable, __file__, way], check=True, stdout=subprocess.PIPE).stdout)
        for way in WAYS
    }
    whole = found["all logits"]
    print(f"The logits alone: {BATCH} × {SEQ} × {VOCAB} × 4 bytes = {LOGITS / 1e6:.0f} MB\n")
    print("| loss | resident | less | live tensors | less | loss per token |\n|---|---|---|---|---|---|")
    for way, one in found.items():
        numbers = [
            f"{value / 1e6:,.0f}" for key in ("resident", "tensors") for value in (one[key], whole[key] - one[key])
        ]
        print(f"| {way} | {' | '.join(numbers)} | {one['loss']:.4f} |", flush=True)


if __name__ == "__main__":
    main()
