"""The two ends of a whole published model, its embedding and its head: whether they fit ours, and how we take them."""

from typing import Any

import attrs
import torch
from torch import nn

from stlm.interchange.published import Published
from stlm.nn.modes import evaluating
from stlm.nn.sharded import whole_on_cpu
from stlm.spec.errors import UsageError, WorkError

_AGREES = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""How far logits may lie from transformers' own, as a share of the largest: what the number format leaves open."""


@attrs.frozen
class Ends:
    """What the ends are like; ``vocab_size`` is None where there are none that we could take."""

    vocab_size: int | None
    tied: bool
    bias: bool

    @classmethod
    def of(cls, model: Any) -> "Ends":
        """Look at a causal language model of transformers."""
        table, head = model.get_input_embeddings(), model.get_output_embeddings()
        if head is None or not isinstance(table, nn.Embedding):
            return cls(None, False, False)
        tied = head.weight is table.weight
        return cls(table.num_embeddings, tied, getattr(head, "bias", None) is not None)

    def require(self, source: Published, vocab_size: int, *, tied: bool, bias: bool) -> None:
        """Check that they fit ours. Raises `UsageError` at the key that does not fit."""
        name, theirs = source.name, self.vocab_size
        if theirs is None:
            raise UsageError(f"`{name}` has no embedding and head to load", key="hf_load_embeddings")
        if theirs != vocab_size:
            raise UsageError(
                f"the tokenizer has {vocab_size} tokens, but `{name}` has {theirs}; `hf_load_embeddings` needs as many "
                f"(`tokenizer_type: hf` with `vocab_size: {theirs}` may have rows to spare)",
                key="model.vocab_size",
            )
        if tied and not self.tied:
            raise UsageError(
                f"the head of `{name}` has a matrix of its own; `embedding_weight_tying` must be false",
                key="model.embedding_weight_tying",
            )
        if self.bias and not bias:
            raise UsageError(f"the head of `{name}` has a bias; `lm_head_bias` must be true", key="model.lm_head_bias")


def hand_over(model: Any, network: Any) -> None:
    """Copy the ends of a causal language model into those of our network; a bias that it has not is 0."""
    table, head = _table_of(network.embedder), network.head
    if getattr(head, "weight", None) is None:
        raise UsageError("`hf_load_embeddings` needs a head that is one matrix", key="model.lm_head_type")
    theirs = model.get_output_embeddings()
    pairs = [(table, "weight", model.get_input_embeddings().weight)]
    pairs.append((_owner_of(head, head.weight), "weight", theirs.weight))
    if head.bias is not None:
        bias = torch.zeros(len(head.bias)) if getattr(theirs, "bias", None) is None else theirs.bias
        pairs.append((_owner_of(head, head.bias), "bias", bias))
    for owner, name, value in pairs:
        with torch.no_grad(), whole_on_cpu(owner, {name: getattr(owner, name)}, ()):
            getattr(owner, name).copy_(value)


def require_same_logits(source: Published, model: Any, network: Any, seq: int, dtype: torch.dtype) -> None:
    """Compare the logits of ``seq`` tokens. Raises `UsageError` where ours are not transformers' own.

    Raises `WorkError` where those are no numbers. A network that is sharded is not asked: this process holds only a
    part of it.
    """
    if any(hasattr(parameter, "device_mesh") for parameter in network.parameters()):
        return
    device = next(network.parameters()).device
    ids = torch.linspace(0, model.get_input_embeddings().num_embeddings - 1, seq).long().unsqueeze(0)
    with evaluating(network, device):
        theirs = model(input_ids=ids, use_cache=False).logits.float()
        ours = network(ids.to(device)).float().cpu()
    if not theirs.isfinite().all():
        raise WorkError(f"`{source.name}`: the logits that transformers computes of it are not finite numbers")
    apart = (ours - theirs).abs().max().item() / max(theirs.abs().max().item(), 1e-12)
    if not apart <= _AGREES[dtype]:
        raise UsageError(
            f"embedding, body and head of `{source.name}` alone do not give its logits (they are off by {apart:.1%} of "
            "the largest): it scales or caps what stlm does not, so `hf_load_embeddings` must be false",
            key="hf_load_embeddings",
        )


def _table_of(embedder: nn.Module) -> nn.Embedding:
    found = [module for module in embedder.modules() if isinstance(module, nn.Embedding)]
    if len(found) != 1:
        message = "`hf_load_embeddings` needs an embedder with one table of tokens"
        raise UsageError(message, key="model.embedding_model_type")
    return found[0]


def _owner_of(module: nn.Module, parameter: nn.Parameter) -> nn.Module:
    return next(part for part in module.modules() if any(p is parameter for p in part.parameters(recurse=False)))
