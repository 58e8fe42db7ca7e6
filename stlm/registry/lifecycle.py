"""The plugin manager of one run: its spec's components and the run's own hooks, called by pluggy at each moment."""

import os
import sys
from typing import Any

import pluggy

from stlm.registry.hookspecs import PROJECT, Lifecycle


def lifecycle(*plugins: Any) -> pluggy.PluginManager:
    """Make the plugin manager of one run: the component objects of its spec, then the run's own hooks, each once.

    With ``STLM_TRACE_HOOKS`` set in the environment, each call of a hook is shown on stderr as it happens.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Lifecycle)
    held: list[Any] = []
    for plugin in plugins:
        if takes_part(type(plugin)) and not any(
            plugin is one or (type(plugin) is type(one) and plugin == one) for one in held
        ):
            held.append(plugin)
            manager.register(plugin, name=f"{type(plugin).__module__}.{type(plugin).__qualname__}#{len(held)}")
    if os.environ.get("STLM_TRACE_HOOKS"):
        manager.trace.root.setwriter(lambda text: print(text, end="", file=sys.stderr))
        manager.enable_tracing()
    return manager


def takes_part(cls: type) -> bool:
    """Whether a class implements any hook."""
    return any(hasattr(member, f"{PROJECT}_impl") for base in cls.__mro__ for member in vars(base).values())
