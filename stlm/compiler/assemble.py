"""The network of a spec, and whose fault it is where a component cannot be built."""

from types import TracebackType
from typing import Any

import torch
from torch import nn

from stlm.nn.initialize import initialize, materialize
from stlm.registry import identity_of
from stlm.registry.manager import Registry
from stlm.spec import Code, Spec, SpecError, StlmError, mistake
from stlm.spec.canonical import paths_of


def assemble(spec: Spec, registry: Registry) -> nn.Module:
    """Build the network on the meta device: its shapes and none of its numbers.

    Raises `SpecError` at the key that chose a component, where that component cannot be built.
    """
    try:
        with torch.device("meta"):
            network = spec.model.model_shell.build(spec.model)
    except StlmError:
        raise
    except Exception as error:
        raise _blame(spec, error, registry, "be built") from error
    if not isinstance(network, nn.Module):
        message = f"`build` of model_shell `{spec.model.model_shell.selector}` gave {type(network).__name__}"
        raise mistake(spec, "model.model_shell_type", Code.PLUGIN, message, "it must give a torch.nn.Module")
    return network


def start(network: nn.Module, spec: Spec, device: str, registry: Registry) -> nn.Module:
    """Give the network memory on ``device`` and its initial weights, the same for the same seed; evaluation is off."""
    try:
        scheme = spec.model.initialization.build(spec.model)
        initialize(materialize(network, device), scheme, spec.general.seed)
    except StlmError:
        raise
    except torch.OutOfMemoryError:
        need = sum(p.numel() * p.element_size() for p in network.parameters())
        help_lines = ("`stlm compile --dry-run` says what it needs",)
        message = f"the weights take {need:,} bytes, which {device} does not have"
        raise mistake(spec, "general.device", Code.DEVICE, message, *help_lines) from None
    except Exception as error:
        raise _blame(spec, error, registry, "be initialized") from error
    return network


def _blame(spec: Spec, error: Exception, registry: Registry, act: str) -> SpecError:
    """Find the innermost component whose `build` was running, and point at the key that chose it."""
    culprit: Any = spec.model.model_shell
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        held = trace.tb_frame.f_locals.get("self")
        if held is not None and identity_of(type(held)) is not None:
            culprit = held
        trace = trace.tb_next
    identity = identity_of(type(culprit))
    assert identity is not None
    path = next((p for p, held in paths_of(spec.sections) if held is culprit), "model")
    plugin = registry.find(identity.kind, culprit.selector).plugin
    text = " ".join(str(error).split())[:300] or "no reason given"
    message = f"{identity.kind} `{culprit.selector}` of {plugin} cannot {act}: {type(error).__name__}: {text}"
    return mistake(spec, path, Code.RULE if plugin == "stlm" else Code.PLUGIN, message)
