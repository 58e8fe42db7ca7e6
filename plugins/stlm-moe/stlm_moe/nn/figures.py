"""What a run tells of its mixtures: figures of a step, of all processes together."""

from typing import Any

import torch
from torch import nn

from stlm_moe.nn.balance import Seen, shares_of
from stlm_moe.nn.moe import MixtureOfExperts


def mixtures(model: nn.Module) -> dict[str, MixtureOfExperts]:
    """The mixtures in a model, by path."""
    return {path: part for path, part in model.named_modules() if isinstance(part, MixtureOfExperts)}


def close_step(model: nn.Module, processes: Any) -> None:
    """Turn what mixtures have added up since the last step into what was ``seen``, of all processes together.

    A block that is run again in the backward pass adds all it saw twice, which changes no share and no mean.
    """
    open_ones = [mixture for mixture in mixtures(model).values() if mixture.tally is not None]
    if not open_ones:
        return
    own = torch.cat([mixture.tally for mixture in open_ones]).tolist()  # one transfer from the device for all
    summed = torch.tensor(processes.sum(own))
    for mixture, totals in zip(open_ones, summed.split([len(m.experts) + 2 for m in open_ones]), strict=True):
        *_, tokens, entropy = totals.tolist()
        mixture.seen = Seen(shares_of(totals[:-2]), entropy / max(tokens, 1.0))
        mixture.tally = None


def figures(model: nn.Module) -> dict[str, float]:
    """Tell of the step that was closed, over all mixtures.

    ``max_load``: the choices on the busiest expert, where 1 is an even share. ``unused_experts``: how many got no
    token. ``router_entropy``: mean over mixtures, in nats; it is ln(E) where a router does not care.
    """
    seen = [mixture.seen for mixture in mixtures(model).values() if mixture.seen is not None]
    if not seen:
        return {}
    return {
        "moe/max_load": max(float(one.shares.max()) * len(one.shares) for one in seen),
        "moe/unused_experts": float(sum(int((one.shares == 0).sum()) for one in seen)),
        "moe/router_entropy": sum(one.entropy for one in seen) / len(seen),
    }
