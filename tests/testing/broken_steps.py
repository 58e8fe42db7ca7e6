"""Losses, schedules, optimizers, samplers, exports and hooks that break a promise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from stlm.components.export.llama import LlamaExport
from stlm.data.serving.batch import IGNORE, Batch
from stlm.registry import component, non_negative, option, positive
from tests.testing.faults import caught_by


def loss(score: Callable[..., Any]) -> type:
    """A loss that a function is."""

    @component("loss", "broken")
    class Broken:
        """A loss in which something is wrong."""

        def build(self, trainer: Any) -> Any:
            return score

    return Broken


def summed(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Score as the built-in does."""
    counted = batch.targets != IGNORE
    logits = head.project(states[counted]).float()
    return F.cross_entropy(logits, batch.targets[counted], reduction="sum"), counted.sum()


@caught_by("loss-value", "it counts 1 tokens, and 22 targets are not IGNORE")
def loss_that_is_a_mean_of_one() -> type:
    def mean(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total / count, torch.tensor(1)

    return loss(mean)


@caught_by("loss-gradients", "no gradient reaches the states")
def loss_that_cuts_the_states_off() -> type:
    return loss(lambda states, head, batch: summed(states.detach(), head, batch))


@caught_by("loss-gradients", "along its gradient it rises by")
def loss_whose_gradient_is_of_another_function() -> type:
    def wrong(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total.detach() * 2 - total.detach() * 3 + 2 * total, count  # the value of one, the slope of two

    return loss(wrong)


@caught_by("ignored-targets", "states that are not asked for move it by")
def loss_that_counts_what_is_not_asked() -> type:
    def all_of_them(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total + states[..., 0].sum(), count

    return loss(all_of_them)


@caught_by("loss-prepares", "it changes the `token_ids` that it was given")
def loss_that_masks_in_place() -> type:
    class Masking:
        def __call__(self, states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
            return summed(states, head, batch)

        def prepare(self, batch: Batch, generator: Any, tokenizer: Any) -> Batch:
            batch.token_ids[:, 0] = tokenizer.mask_id
            return batch

    return loss(Masking())


@caught_by("learning-rates", "the rate of step 3 is -")
def rates_that_fall_below_zero() -> type:
    @component("lr_scheduler", "broken")
    class Broken:
        """Rates of which something is wrong."""

        def build(self, trainer: Any) -> Any:
            return lambda step: trainer.optimizer.lr * (1 - step / trainer.max_iters)

    return Broken


def optimizer(make: Callable[[Any, float], Any]) -> type:
    """An optimizer that a function of the network and the rate makes."""

    @component("optimizer", "broken")
    class Broken:
        """An optimizer in which something is wrong."""

        lr: float = option(positive, default=0.1, doc="The learning rate of it.")

        def build(self, trainer: Any, network: Any, device: Any) -> Any:
            return make(network, self.lr)

    return Broken


@caught_by("takes-every-weight", "`bias`, stands in its groups 0 times")
def optimizer_of_matrices_alone() -> type:
    return optimizer(lambda network, lr: torch.optim.SGD([p for p in network.parameters() if p.dim() > 1], lr))


@caught_by("descends", "after 20 steps down a bowl its height is")
def optimizer_that_climbs() -> type:
    return optimizer(lambda network, lr: torch.optim.SGD(network.parameters(), lr, maximize=True))


@caught_by("optimizer-state", "something is not in its `state_dict`")
def optimizer_that_counts_where_nobody_looks() -> type:
    class Slowing(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.sub_(group["lr"] * p.grad / self.steps)

    return optimizer(lambda network, lr: Slowing(network.parameters(), lr))


@caught_by("takes-the-rate", "at a tenth of the rate")
def optimizer_with_a_rate_of_its_own() -> type:
    class Stubborn(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.sub_(0.1 * p.grad)

    return optimizer(lambda network, lr: Stubborn(network.parameters(), lr))


def sampler(draw: Callable[..., Any]) -> type:
    """A sampler that a function of scores, history, generator and temperature is."""

    @component("sampler", "broken")
    class Broken:
        """A sampler in which something is wrong."""

        temperature: float = option(non_negative, default=1.0, doc="Divides the scores; 0 takes the likeliest.")

        def build(self) -> Any:
            return lambda logits, history, generator: draw(logits, generator, self.temperature)

    return Broken


@caught_by("draws-ids", "where scores are `one impossible`, it draws a token that is impossible")
def sampler_that_draws_the_least_likely() -> type:
    return sampler(lambda logits, generator, temperature: logits.argmin(dim=-1))


@caught_by("draws-from-its-generator", "it draws otherwise a second time")
def sampler_that_draws_from_torch() -> type:
    return sampler(lambda logits, generator, temperature: torch.multinomial(logits.softmax(-1), 1).squeeze(1))


@caught_by("temperature-zero", "at temperature 0 it draws")
def sampler_that_is_never_sure() -> type:
    def warm(logits: Tensor, generator: Any, temperature: float) -> Tensor:
        return torch.multinomial((0 * logits).softmax(-1), 1, generator=generator).squeeze(1)

    return sampler(warm)


@caught_by("takes-part", "it implements no moment of a run")
def hook_that_is_never_called() -> type:
    @component("hook", "broken")
    class Broken:
        """A hook in which something is wrong."""

        def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
            metrics["one"] = 1.0

    return Broken


@caught_by("weights-table", "its table does not tell of `lm_head.weight`")
def export_that_leaves_a_tensor_out() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        def weights(self, model: Any, config: dict[str, Any]) -> Any:
            table = LlamaExport.weights(self, model, config)
            return [weight for weight in table if weight.theirs != ("lm_head.weight",)]

    return Broken


@caught_by("reads-back", "a spec made of its own config.json would be written otherwise")
def export_that_reads_another_model() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        def section(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
            return {**LlamaExport.section(self, config, folder), "norm_eps": 0.5}

    return Broken


@caught_by("left-out-keys", "a bare `llama` means another model to it than one with all keys")
def export_with_defaults_of_its_own() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        model_types: ClassVar[tuple[str, ...]] = ("llama",)

        def section(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
            said = LlamaExport.section(self, config, folder)
            return said if "rms_norm_eps" in config else {**said, "norm_eps": 0.5}

    return Broken


@caught_by("blockers", "it has nothing against any spec")
def export_that_takes_everything() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        def blockers(self, spec: Any) -> list[Any]:
            return []

    return Broken


@caught_by("loss-value", "its sum has the shape (22,), and is one number")
def loss_that_is_one_number_a_token() -> type:
    def apart(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        counted = batch.targets != IGNORE
        logits = head.project(states[counted]).float()
        return F.cross_entropy(logits, batch.targets[counted], reduction="none"), counted.sum()

    return loss(apart)


@caught_by("loss-value", "of the same batch it is")
def loss_with_dice() -> type:
    def dicing(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total * (1 + torch.rand(())), count

    return loss(dicing)


@caught_by("ignored-targets", "of no target it is nan of 0")
def loss_that_divides_by_no_token() -> type:
    def mean(states: Tensor, head: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        total, count = summed(states, head, batch)
        return total / count, count

    return loss(mean)


@caught_by("learning-rates", "no rate is above 0")
def rates_that_are_zero() -> type:
    @component("lr_scheduler", "broken")
    class Broken:
        """Rates of which something is wrong."""

        def build(self, trainer: Any) -> Any:
            return lambda step: 0.0

    return Broken


@caught_by("takes-every-weight", "no torch.optim.Optimizer")
def optimizer_that_is_none() -> type:
    return optimizer(lambda network, lr: network)


@caught_by("draws-ids", "it changes the scores that it is given")
def sampler_that_writes_into_the_scores() -> type:
    return sampler(lambda logits, generator, temperature: logits.nan_to_num_(neginf=-1e9).argmax(dim=-1))


@caught_by("draws-ids", "it draws (10, 1) torch.int64")
def sampler_that_keeps_an_axis() -> type:
    return sampler(lambda logits, generator, temperature: logits.argmax(dim=-1, keepdim=True))


@caught_by("blockers", "it names `model.attn.heads`, which is not there")
def export_that_blames_a_key_that_there_is_not() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        def blockers(self, spec: Any) -> list[Any]:
            return [("model.attn.heads", "must be even")]

    return Broken


@caught_by("weights-table", "its config.json makes a LlamaForCausalLM, and its `architecture` is GPT2LMHeadModel")
def export_that_claims_another_architecture() -> type:
    @component("export", "broken")
    class Broken(LlamaExport):
        """Llama, of which something is wrong."""

        architecture: ClassVar[str] = "GPT2LMHeadModel"

    return Broken
