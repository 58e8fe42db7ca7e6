"""Networks that are counted, started, trained or stored wrongly, or that change what is not theirs."""

import os
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stlm.nn import LMHead
from tests.testing.faults import caught_by
from tests.testing.parts import Scale, activation, head, initialization


@caught_by("deterministic", "the same tokens give other logits a second time")
def activation_that_adds_noise() -> type:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x + 0.01 * torch.randn_like(x))

    return activation(Noisy)


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

    return head(Wide)


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


@caught_by("counted-as-built", " are counted as trainable, and ")
def activation_that_is_frozen_late() -> type:
    class Late(Scale):
        def reset_parameters(self) -> None:
            super().reset_parameters()
            self.scale.requires_grad_(False)

    return activation(Late)


@caught_by("costs", "parameters are told to be active")
def activation_that_uses_more_than_there_is() -> type:
    class Busy(Scale):
        def active_elements(self) -> Iterator[tuple[nn.Parameter, int]]:
            yield self.scale, 10**9

    return activation(Busy)


@caught_by("costs", "its activations are told to take -")
def head_that_gives_memory_back() -> type:
    class Generous(LMHead):
        def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
            return -1e9

    return head(Generous)


@caught_by("deterministic", "another seed gives the same start")
def start_that_is_the_same_for_every_seed() -> type:
    def constant(module: nn.Module) -> None:
        for parameter in module.parameters(recurse=False):
            nn.init.constant_(parameter, 0.1)

    return initialization(constant)


@caught_by("constant-buffers", "a forward pass changes the buffer `core.blocks.0.ffn.activation.mean`")
def activation_that_keeps_a_running_mean() -> type:
    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.empty(()))

        def reset_parameters(self) -> None:
            nn.init.zeros_(self.mean)

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.mean.lerp_(x.detach().float().mean(), 0.1)
            return F.gelu(x - self.mean)

    return activation(Running)


@caught_by("global-state", "its forward pass changes the environment")
def activation_that_sets_a_variable() -> type:
    class Setting(nn.GELU):
        def forward(self, x: Tensor) -> Tensor:
            os.environ["STLM_PROBE"] = "1"
            return super().forward(x)

    return activation(Setting)


@caught_by("global-state", "compiling it changes torch's default dtype, from torch.float32 to torch.float64")
def activation_that_wants_doubles() -> type:
    class Double(nn.GELU):
        def __init__(self) -> None:
            super().__init__()
            torch.set_default_dtype(torch.float64)

    return activation(Double)
