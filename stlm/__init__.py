"""stlm compiles one YAML spec into a language model, and trains it.

import stlm                                     # imports no torch by itself
spec = stlm.load_spec("specs/quickstart.yaml", ["model.hidden_dim=256"])
program = stlm.compile(spec, device="meta")     # .model .report .tokenizer
run = stlm.train(spec)                          # .spec .model .tokenizer .metrics .generate(…)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stlm.compiler import Program, compile
    from stlm.experiments.evaluate import evaluate
    from stlm.experiments.run import Run, load_run
    from stlm.experiments.train import train
    from stlm.registry import load_spec
    from stlm.spec import Spec, SpecError

__version__ = "0.1.0"

# Names are given on first use (PEP 562), so that `stlm check` does not wait for torch.
_HOMES = {
    "Program": "stlm.compiler",
    "Run": "stlm.experiments.run",
    "Spec": "stlm.spec",
    "SpecError": "stlm.spec",
    "compile": "stlm.compiler",
    "evaluate": "stlm.experiments.evaluate",
    "load_run": "stlm.experiments.run",
    "load_spec": "stlm.registry",
    "train": "stlm.experiments.train",
}

__all__ = [
    "Program",
    "Run",
    "Spec",
    "SpecError",
    "compile",
    "evaluate",
    "load_run",
    "load_spec",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stlm' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
