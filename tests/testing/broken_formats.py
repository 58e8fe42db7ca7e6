"""Parts of networks that a number format or the compiler makes others of."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import LMHead, SelfAttention
from tests.testing.faults import caught_by
from tests.testing.parts import Scale, activation, attention, head, initialization, norm


@caught_by("bf16", "RuntimeError: ")
def attention_that_adds_one_format_to_another() -> type:
    class Adding(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            y = super().forward(x, context, state)
            rows = torch.zeros_like(x).view(-1, x.shape[-1])
            return rows.index_add(0, torch.arange(len(rows)), y.view(rows.shape)).view(x.shape)

    return attention(Adding)


@caught_by("compiles", "torch.compile breaks the graph")
def activation_that_looks_at_a_number() -> type:
    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x) if float(x.sum()) > 0 else F.relu(x)

    return activation(Looking)


@caught_by("shape-and-dtype-kept", "of bfloat16 it makes float32")
def norm_that_stays_in_float32() -> type:
    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.float()
            return y * torch.rsqrt(y.square().mean(dim=-1, keepdim=True) + 1e-5)

    return norm(Wide)


@caught_by("bf16", "% off those of float32")
def activation_that_is_another_in_half_precision() -> type:
    class Doubling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (4 if torch.is_autocast_enabled("cpu") else 1) * F.gelu(x)

    return activation(Doubling)


@caught_by("bf16", "under bf16 autocast its logits are float16")
def head_that_answers_in_float16() -> type:
    class Half(LMHead):
        def project(self, states: Tensor) -> Tensor:
            scores = super().project(states)
            return scores.half() if scores.dtype == torch.bfloat16 else scores

    return head(Half)


@caught_by("compiles", "compiled, what it gives is")
def activation_that_is_another_when_compiled() -> type:
    class Doubling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (2 if torch.compiler.is_compiling() else 1) * F.gelu(x)

    return activation(Doubling)


@caught_by("shape-and-dtype-kept", "of (2, 16, 16) it makes (2, 16, 15)")
def norm_that_drops_an_element() -> type:
    class Narrow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[..., 1:]

    return norm(Narrow)


@caught_by("shape-and-dtype-kept", "it gives a tuple, and must give one tensor")
def activation_that_gives_two_things() -> type:
    class Two(nn.GELU):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x), None

    return activation(Two)


@caught_by("bf16", "under bf16 autocast its logits are not finite")
def activation_too_large_for_half_precision() -> type:
    class Overflowing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x) * (torch.inf if torch.is_autocast_enabled("cpu") else 1)

    return activation(Overflowing)


@caught_by("bf16", "the gradient of `core.blocks.0.ffn.activation.scale` is bfloat16")
def activation_whose_weight_is_half_precision() -> type:
    class Half(Scale):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.empty((), dtype=torch.bfloat16))

    return activation(Half)


@caught_by("bf16", "under bf16 autocast the gradient of `")
def activation_whose_slope_is_infinite_in_half_precision() -> type:
    class Steep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            still = (0 * x).square().sqrt() if torch.is_autocast_enabled("cpu") else 0
            return F.gelu(x) + still

    return activation(Steep)


@caught_by("bf16", "a network of bfloat16 weights gives float32 logits")
def head_that_answers_in_float32() -> type:
    class Wide(LMHead):
        def project(self, states: Tensor) -> Tensor:
            return super().project(states).float()

    return head(Wide)


@caught_by("compiles", "torch.compile breaks the graph")
def start_that_leaves_a_hook_behind() -> type:
    def scheme(module: nn.Module) -> None:
        nn.init.normal_(next(module.parameters(recurse=False)), std=0.2)
        module.register_forward_hook(lambda module, given, made: made if float(made.sum()) > 0 else 1.5 * made)

    return initialization(scheme)


@caught_by("compiles", "torch.compile breaks the graph")
def norm_that_looks_at_a_number() -> type:
    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2 if float(x.std()) > 1 else x

    return norm(Looking)
