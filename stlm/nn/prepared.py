"""Networks made ready to be called thousands of times: what can be looked up or decided once is, before the first call.

Generating a token of a small model takes a few milliseconds, in which the weights pass through the caches and push out
everything else; finding a module, its hooks and its parameters then costs as much as reading some of the weights. So a
module may have a method ``prepared()`` that returns a function of the arguments of its `forward`, in which all this is
done already. What is computed is written once, in a function that both call.
"""

from collections.abc import Callable
from typing import Any

from torch import nn


def prepare(module: nn.Module) -> Callable[..., Any]:
    """Return a function that computes what ``module`` does in evaluation mode and without gradients.

    It holds as long as the parameters are the tensors that they are now, on their device. A module is returned as it is
    where it has no ``prepared`` beside its `forward`, or where someone has hung a hook in it.
    """
    if is_hooked(module) or not stands_for(module, "prepared", "forward"):
        return module
    made: Callable[..., Any] = module.prepared()  # type: ignore[operator]
    return made


def is_hooked(module: nn.Module) -> bool:
    """Whether someone has hung a hook into the module or a part of it, which only calls of `forward` reach."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def stands_for(thing: Any, shortcut: str, method: str) -> bool:
    """Whether ``shortcut`` was written for the ``method`` that a thing has, and not for one that is overridden.

    They must stand in the same class: who writes a method anew has not thought of the shortcut of the one before it.
    """
    owner = next((owner for owner in type(thing).__mro__ if method in vars(owner)), object)
    return shortcut in vars(owner) and method not in vars(thing)
