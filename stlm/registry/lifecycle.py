"""The plugin manager of one run: its spec's components and the run's own hooks, called by pluggy at each moment."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import pluggy

from stlm.registry.blame import blaming_component
from stlm.registry.component import identity_of
from stlm.registry.hookspecs import PROJECT, Lifecycle, moments_of
from stlm.spec.components import Components


def lifecycle(*plugins: Any, registry: Components) -> pluggy.PluginManager:
    """Make the plugin manager of one run: the component objects of its spec, then the run's own hooks, each once.

    What goes wrong in a component of the ``registry`` is told as its own, as in any other of its acts. With
    ``STLM_TRACE_HOOKS`` set in the environment, each call of a hook is shown on stderr as it happens.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Lifecycle)
    held: list[Any] = []
    for plugin in plugins:
        if moments_of(type(plugin)) and plugin not in held:
            held.append(plugin)
            manager.register(plugin, name=f"{type(plugin).__module__}.{type(plugin).__qualname__}#{len(held)}")
            if identity_of(type(plugin)) is not None:
                _blame(manager, plugin, registry)
    if os.environ.get("STLM_TRACE_HOOKS"):
        manager.trace.root.setwriter(lambda text: print(text, end="", file=sys.stderr))
        manager.enable_tracing()
    return manager


def _blame(manager: pluggy.PluginManager, plugin: Any, registry: Components) -> None:
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin is plugin:
                implementation.function = _blamed(implementation.function, plugin, registry)  # type: ignore[misc]


def _blamed(act: Callable[..., Any], plugin: Any, registry: Components) -> Callable[..., Any]:
    @functools.wraps(act)
    def acted(*args: Any) -> Any:
        with blaming_component(plugin, registry):
            return act(*args)

    return acted
