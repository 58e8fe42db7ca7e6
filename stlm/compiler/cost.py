"""What a program costs: parameters, floating-point operations, memory and tokens, from shapes alone."""

from typing import Any

import attrs
from torch import nn

from stlm.nn import cost
from stlm.spec import Spec


@attrs.frozen
class Parameters:
    """Counts of parameters, a shared one counted once; ``by_module`` adds up to ``total``."""

    total: int
    trainable: int
    active: int
    embedding: int
    by_module: dict[str, int]

    @property
    def non_embedding(self) -> int:
        """All but the token and position tables."""
        return self.total - self.embedding


def parameters(network: nn.Module) -> Parameters:
    """Count the parameters of a network, by the modules that hold them."""
    by_module: dict[str, int] = {}
    trainable = 0
    for name, parameter in network.named_parameters():
        owner = name.rpartition(".")[0]
        by_module[owner] = by_module.get(owner, 0) + parameter.numel()
        trainable += parameter.numel() if parameter.requires_grad else 0
    tables: dict[int, int] = {}
    for part in (getattr(network, "embedder", None), getattr(network, "positional_encoding", None)):
        for module in part.modules() if part is not None else ():
            if isinstance(module, nn.Embedding):
                tables[id(module.weight)] = module.weight.numel()
    total = sum(by_module.values())
    return Parameters(total, trainable, cost.active_parameters(network), sum(tables.values()), by_module)


@attrs.frozen
class Memory:
    """A prediction, in bytes, for one process that trains; without a trainer, for one that only holds the weights."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return self.weights + self.gradients + self.optimizer + self.activations


def memory(network: nn.Module, spec: Spec, precision: str) -> Memory:
    """Predict the memory of training, with gradients and moments in the format of their weights.

    An optimizer that keeps more for some weights than for others is asked for the bytes of its state.

    In bf16, fp32 weights are also there as the copies that matrix products work on. Activations are what autograd keeps
    for one micro-batch (`saved_bytes_per_token` and `shared_tables` of `stlm.nn.cost`) and what the loss holds of the
    logits at once.
    """
    trainer = spec.trainer
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    trainable = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
    if trainer is None:
        return Memory(weights, 0, 0, 0)
    tokens = trainer.batch_size * spec.model.context_window
    width = 2 if precision == "bf16" else 4
    kept = cost.saved_bytes_per_token(network, spec.model.context_window, width) * tokens
    rows_apart = trainer.batch_size if getattr(trainer, "document_masking", False) else 1
    tables = sum(cost.shared_tables(network, spec.model.context_window, width).values()) * rows_apart
    rows = getattr(trainer.loss_fn, "rows_at_once", tokens)
    logits = min(rows, tokens) * spec.model.tokenizer.vocab_size
    copies = width * cost.cast_elements(network) if width < 4 else 0
    return Memory(
        weights=weights + copies,
        gradients=trainable,
        optimizer=optimizer_state(trainer.optimizer, network),
        activations=round(kept + tables + 2 * 4 * logits),
    )


def optimizer_state(optimizer: Any, network: nn.Module) -> int:
    """Predict the bytes of the state that an optimizer's component says it keeps; 0 for one that says nothing."""
    ask = getattr(optimizer, "state_bytes", None)
    if ask is not None:
        return int(ask(network))
    trainable = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
    return int(getattr(optimizer, "state_per_parameter", 0) * trainable)


def tokens_per_step(spec: Spec) -> int:
    """Tokens of one optimizer step, over all processes; 0 without a trainer."""
    trainer: Any = spec.trainer
    if trainer is None:
        return 0
    return trainer.batch_size * trainer.gradient_accumulation_steps * spec.model.context_window
