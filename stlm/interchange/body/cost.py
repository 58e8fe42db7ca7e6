"""What a published body costs, from its modules and its config."""

from collections.abc import Iterator
from typing import Any

from torch import nn


def active_elements(body: nn.Module, config: Any) -> Iterator[tuple[nn.Parameter, int]]:
    """Yield each parameter with the elements that one token uses.

    A parameter of three axes, of which the first is as long as there are experts, is all of their matrices.
    """
    experts = _first(config, "num_local_experts", "num_experts", "n_routed_experts")
    chosen = _first(config, "num_experts_per_tok", "top_k_experts")
    for parameter in body.parameters():
        of_experts = experts and chosen and parameter.dim() == 3 and len(parameter) == experts
        yield parameter, parameter.numel() * chosen // experts if of_experts else parameter.numel()


def flops_per_token(body: nn.Module, config: Any, seq_len: int, *, causal: bool) -> float:
    """Count two for each weight of a matrix product, and scores and sums at full context, as in our own modules."""
    looked_up = {id(module.weight) for module in body.modules() if isinstance(module, nn.Embedding)}
    matrices = sum(n for p, n in active_elements(body, config) if p.dim() >= 2 and id(p) not in looked_up)
    return 2 * matrices + sum(4 * seen * _heads_width(config) for seen in _seen(config, seq_len, causal))


def _seen(config: Any, seq_len: int, causal: bool) -> list[float]:
    """Tokens that one token attends to, on average, in each layer that attends."""
    window = _first(config, "sliding_window") or seq_len
    everything = seq_len / 2 if causal else seq_len
    kinds = getattr(config, "layer_types", None)
    if not kinds:
        return [min(everything, window)] * config.num_hidden_layers
    attending = [kind for kind in kinds if "attention" in kind and "linear" not in kind]
    return [min(everything, window) if "sliding" in kind else everything for kind in attending]


def _heads_width(config: Any) -> int:
    """Width of all query heads together; 0 in a body that has no attention."""
    heads = _first(config, "num_attention_heads")
    return heads * (_first(config, "head_dim") or config.hidden_size // heads) if heads else 0


def _first(config: Any, *names: str) -> int:
    return next((v for v in (getattr(config, name, None) for name in names) if type(v) is int), 0)


def saved_bytes_per_token(
    body: nn.Module, config: Any, seq_len: int, width: int, stream: int, *, recompute: bool
) -> float:
    """Estimate what a token leaves behind for the backward pass; the code of a published body says nothing of it.

    By rule, from the matrices and norms of each layer; `tests/interchange/test_body.py` holds it against what autograd
    keeps. ``width`` and ``stream`` are the bytes of an element, of what matrices make and on the residual stream. Where
    layers are recomputed, each keeps its input, and one is there as a whole.
    """
    layers = [_layer_bytes(layer, config, seq_len, width, stream) for layer in _layers(body)]
    if recompute and layers:
        return stream * config.hidden_size * len(layers) + max(layers)
    return sum(layers)


def _layers(body: nn.Module) -> list[nn.Module]:
    """List the layers: the list of modules in which most parameters are."""
    lists = [module for module in body.modules() if isinstance(module, nn.ModuleList) and len(module)]
    return list(max(lists, key=lambda one: sum(p.numel() for p in one.parameters()), default=[]))


def _layer_bytes(layer: nn.Module, config: Any, seq_len: int, width: int, stream: int) -> float:
    trained = any(p.requires_grad for p in layer.parameters())
    copied = width < stream
    elements = sum(_matrix_elements(parent, config, trained, copied) for parent in layer.modules())
    kept = width * (elements + _attention_elements(config, seq_len, trained) + _rotated_elements(layer, config))
    kept += (stream - width) * 2 * config.hidden_size  # what joins the residual stream is as wide as that
    for module in layer.modules():
        weight = getattr(module, "weight", None)
        own_norm = "Norm" in type(module).__name__ and not isinstance(module, nn.LayerNorm)
        if own_norm and isinstance(weight, nn.Parameter):
            kept += 4 * len(weight) * trained  # a norm written out in steps keeps its result before it is weighted
        if isinstance(module, nn.Dropout) and module.p > 0:
            kept += stream * config.hidden_size
    return kept


def _matrix_elements(parent: nn.Module, config: Any, trained: bool, copied: bool) -> float:
    """Count what the matrices right below a module make and, trained, what they read; also their activation's steps.

    What matrices beside each other read is one tensor, under autocast a copy for each. Of four that read vectors of one
    width, three are taken for q, k and v, and the fourth for the projection of what attention gives.
    """
    groups: dict[int, list[int]] = {}
    for reads, makes in _matrices(parent, config):
        groups.setdefault(reads, []).append(makes)
    kept = 0.0
    for reads, makes in groups.items():
        copies = len(makes) if copied else 1 + (len(makes) > 3)
        kept += sum(makes) + reads * copies * trained
        if len(makes) == 2 and makes[0] in groups:
            kept += makes[0]  # gated: the activation's result is multiplied with what the other matrix makes
    if any(type(child).__name__ == "NewGELUActivation" for child in parent.children()):
        kept += 3 * max((n for makes in groups.values() for n in makes), default=0)  # written out in steps
    return kept


def _matrices(parent: nn.Module, config: Any) -> Iterator[tuple[int, int]]:
    """Yield what each matrix right below a module reads and makes, in elements a token; experts as often as chosen."""
    for child in parent.children():
        weight = getattr(child, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() == 2 and not isinstance(child, nn.Embedding):
            makes, reads = weight.shape
            yield (makes, reads) if type(child).__name__ == "Conv1D" else (reads, makes)
    chosen = _first(config, "num_experts_per_tok", "top_k_experts")
    for parameter in parent.parameters(recurse=False):
        if parameter.dim() == 3:
            yield chosen * parameter.shape[2], chosen * parameter.shape[1]


def _attention_elements(config: Any, seq_len: int, trained: bool) -> float:
    """Count keys and values repeated for groups of queries, scores where they are kept, and a frozen one's sums."""
    heads = _first(config, "num_attention_heads")
    if not heads:
        return 0.0
    repeated = 2 * (1 - (_first(config, "num_key_value_heads") or heads) / heads) * _heads_width(config)
    scores = 3 * heads * seq_len if getattr(config, "_attn_implementation", "sdpa") == "eager" else 0
    return repeated + scores + (0 if trained else _heads_width(config))


def _rotated_elements(layer: nn.Module, config: Any) -> float:
    """Count rotated q and k where q, k and v are made as one tensor, which v keeps alive as a whole."""
    if not getattr(config, "rope_parameters", None):
        return 0.0
    heads = _first(config, "num_attention_heads")
    queries = _heads_width(config)
    keys = queries * (_first(config, "num_key_value_heads") or heads) // heads
    made = {makes for parent in layer.modules() for _, makes in _matrices(parent, config)}
    return queries + keys if queries + 2 * keys in made else 0.0
