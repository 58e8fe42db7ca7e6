"""Parts of networks that break a promise."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import LMHead, Rotary, SelfAttention
from stlm.nn.context import PADDING
from stlm.registry import choice, component
from tests.testing.faults import caught_by


def attention(network: Callable[..., nn.Module]) -> type:
    """An attention of two heads that a class builds."""

    @component("attention", "broken")
    class Broken:
        """An attention in which something is wrong."""

        normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

        def build(self, model: Any) -> Any:
            norm = self.normalization.build(model, model.hidden_dim)
            return network(model.hidden_dim, num_q_heads=2, num_kv_heads=2, head_dim=8, causal=True, norm=norm)

    return Broken


def activation(network: Callable[[], nn.Module]) -> type:
    """An activation that a class builds."""

    @component("activation", "broken")
    class Broken:
        """An activation in which something is wrong."""

        def build(self, model: Any) -> Any:
            return network()

    return Broken


@caught_by("causality", "not causal: position 0 depends on position")
def attention_that_sees_the_mean_of_all() -> type:
    class Leaking(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, context, state) + 0.1 * x.mean(dim=1, keepdim=True)

    return attention(Leaking)


@caught_by("causality", "not causal: position 0 depends on position")
def attention_without_its_mask() -> type:
    class Unmasked(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            self.causal = False
            try:
                return super().forward(x, context, state)
            finally:
                self.causal = True

    return attention(Unmasked)


@caught_by("causality", "nothing is mixed")
def attention_that_sees_itself_alone() -> type:
    class Lonely(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return self.out_proj(self.qkv(self.norm(x))[..., :16])

    return attention(Lonely)


@caught_by("generation", "in steps of [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] with a state, logits are")
def attention_that_forgets_what_it_kept() -> type:
    class Forgetful(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, context)

    return attention(Forgetful)


@caught_by("segments", "another text in the first segment moves the logits of the second by")
def attention_that_crosses_segments() -> type:
    class Crossing(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, replace(context, segments=None, memo={}), state)

    return attention(Crossing)


@caught_by("padding", "where a text is padded, logits are not finite")
def attention_that_divides_by_no_token() -> type:
    class Empty(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            y = super().forward(x, context, state)
            if context.segments is None:
                return y
            return y / (context.segments != PADDING).unsqueeze(-1)

    return attention(Empty)


@caught_by("positions", "other positions give the same logits: it never asks for them")
def attention_that_never_asks_for_positions() -> type:
    class Lost(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, replace(context, positional_encoding=None), state)

    return attention(Lost)


@caught_by("positions", "`on_heads` of positions 4 to 9 by themselves is")
def encoding_that_counts_places() -> type:
    class Counting(Rotary):
        def on_heads(self, x: Tensor, positions: Tensor, memo: Any) -> Tensor:
            return super().on_heads(x, torch.arange(x.shape[2]).unsqueeze(0), {})

    @component("positional_encoding", "broken")
    class Broken:
        """Rotation by places."""

        def build(self, model: Any) -> Any:
            return Counting()

    return Broken


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


@caught_by("deterministic", "the same tokens give other logits a second time")
def activation_that_adds_noise() -> type:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x + 0.01 * torch.randn_like(x))

    return activation(Noisy)


class Scale(nn.Module):
    """A learned factor, which the faults below start, count or store wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(()))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.scale * x)


@caught_by("deterministic", "starts otherwise a second time, from the same seed")
def activation_that_starts_from_the_clock() -> type:
    class Timed(Scale):
        def reset_parameters(self) -> None:
            nn.init.constant_(self.scale, time.perf_counter())

    return activation(Timed)


@caught_by("global-state", "its forward pass changes torch's random state")
def activation_that_seeds_torch() -> type:
    class Seeding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            torch.manual_seed(0)
            return F.gelu(x)

    return activation(Seeding)


@caught_by("global-state", "compiling it changes the number of torch's threads, from 1 to 3")
def activation_that_asks_for_threads() -> type:
    class Greedy(nn.GELU):
        def __init__(self) -> None:
            super().__init__()
            torch.set_num_threads(3)

    return activation(Greedy)


@caught_by("saves-and-loads", "a network that was stored and read gives other logits")
def activation_whose_weight_is_not_stored() -> type:
    class Unstored(Scale):
        def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
            pass

    return activation(Unstored)


@caught_by("gradients", "`core.blocks.0.ffn.activation.scale` has no gradient")
def activation_with_a_weight_that_it_does_not_use() -> type:
    class Unused(Scale):
        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x)

    return activation(Unused)


@caught_by("builds-on-meta", "takes memory: its constructor computes it")
def activation_that_computes_a_table_beforehand() -> type:
    class Eager(Scale):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.ones(3, device="cpu"))

    return activation(Eager)


@caught_by("counted-as-built", "a dry run counts 1 parameters in `core.blocks.0.ffn.activation`, and 4 are built")
def activation_that_makes_a_weight_later() -> type:
    class Late(Scale):
        def reset_parameters(self) -> None:
            super().reset_parameters()
            self.late = nn.Parameter(torch.ones(3))

    return activation(Late)


@caught_by("costs", "a token is told to cost -")
def activation_that_pays_back() -> type:
    class Cheap(nn.GELU):
        def flops_per_token(self, seq_len: int) -> float:
            return -1e9

    return activation(Cheap)


@caught_by("shapes", "logits of (2, 16) tokens are (2, 16, 301), not (2, 16, 300)")
def head_with_a_score_too_many() -> type:
    class Wide(LMHead):
        def project(self, states: Tensor) -> Tensor:
            return F.pad(super().project(states), (0, 1))

    @component("lm_head", "broken")
    class Broken:
        """A head in which something is wrong."""

        def build(self, model: Any) -> Any:
            return Wide(model.hidden_dim, model.tokenizer.vocab_size, norm=nn.Identity())

    return Broken


@caught_by("shape-and-dtype-kept", "of bfloat16 it makes float32")
def norm_that_stays_in_float32() -> type:
    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.float()
            return y * torch.rsqrt(y.square().mean(dim=-1, keepdim=True) + 1e-5)

    @component("norm", "broken")
    class Broken:
        """A norm in which something is wrong."""

        def build(self, model: Any, dim: int) -> Any:
            return Wide()

    return Broken


@caught_by("shapes", "logits of (2, 16) tokens are not finite")
def activation_that_divides_by_zero() -> type:
    class Dividing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 0

    return activation(Dividing)


@caught_by("gradients", "is 0 everywhere")
def activation_that_multiplies_its_weight_by_zero() -> type:
    class Idle(Scale):
        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x + 0 * self.scale)

    return activation(Idle)


@caught_by("gradients", "is not finite")
def activation_with_a_slope_without_end() -> type:
    class Steep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x) + (0 * x).square().sqrt()

    return activation(Steep)


@caught_by("padding", "padding behind a text moves its logits by")
def attention_that_counts_the_places() -> type:
    class Counting(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return super().forward(x, context, state) * x.shape[1]

    return attention(Counting)


@caught_by("segments", "without segments, the first half of a window has no effect on the second")
def attention_that_never_mixes() -> type:
    class Lonely(SelfAttention):
        def forward(self, x: Tensor, context: Any, state: Any = None) -> Tensor:
            return self.out_proj(self.qkv(self.norm(x))[..., :16])

    return attention(Lonely)


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

    @component("lm_head", "broken")
    class Broken:
        """A head in which something is wrong."""

        def build(self, model: Any) -> Any:
            return Half(model.hidden_dim, model.tokenizer.vocab_size, norm=nn.Identity())

    return Broken


@caught_by("compiles", "compiled, its logits are")
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

    @component("norm", "broken")
    class Broken:
        """A norm in which something is wrong."""

        def build(self, model: Any, dim: int) -> Any:
            return Narrow()

    return Broken
