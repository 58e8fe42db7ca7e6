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
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    if hooked or not _stands_for_its_forward(module):
        return module
    made: Callable[..., Any] = module.prepared()  # type: ignore[operator]
    return made


def _stands_for_its_forward(module: nn.Module) -> bool:
    """Whether ``prepared`` was written for the `forward` that the module has, and not for one that is overridden."""
    owners = (owner for owner in type(module).__mro__ if "forward" in vars(owner))
    return "prepared" in vars(next(owners)) and "forward" not in vars(module)
