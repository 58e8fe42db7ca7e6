"""Options of an optimizer's groups: which of them a spec says, and which are state.

A group of a `torch.optim` optimizer keeps both in one dict: options that `build` gave it (weight decay, betas,
``fused``), and what some optimizers count there while they run (the steps done, the largest rate so far). A run that
goes on takes the first from its spec, which may have been changed, and its device, which may be another; and the second
from its checkpoint. No name tells which is which, so it is told by what happens: an option that is what `build` made it
comes from the next `build`; one that was changed since is state, and so is one that `build` did not make.
"""

import copy
from itertools import zip_longest
from typing import Any

import torch

Options = list[dict[str, Any]]
"""A dict for each group, without its parameters."""


def group_options(optimizer: torch.optim.Optimizer) -> Options:
    """Copy the options of an optimizer's groups as they are now."""
    return copy.deepcopy([{key: v for key, v in group.items() if key != "params"} for group in optimizer.param_groups])


def changed_options(optimizer: torch.optim.Optimizer, built: Options) -> list[list[str]]:
    """Name the options of each group that are no longer what they were when the optimizer was ``built``.

    Of a group that was added since, these are all.
    """
    return [
        [key for key, value in now.items() if key not in before or not _same(value, before[key])]
        for now, before in zip_longest(group_options(optimizer), built, fillvalue={})
    ]


def with_built_options(state: dict[str, Any], changed: list[list[str]], built: Options) -> dict[str, Any]:
    """Put the options of ``built`` into a stored state of an optimizer, but for those that were ``changed``.

    Raises `ValueError` where the optimizer has another number of groups.
    """
    groups = [
        {**stored, **{key: value for key, value in options.items() if key not in state_keys}}
        for stored, state_keys, options in zip(state["param_groups"], changed, built, strict=True)
    ]
    return {**state, "param_groups": groups}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and torch.equal(one, other)
    return bool(one == other)
