"""For those who write components: the checks that each kind must pass, and a package to start from."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stlm.testing.checking import BrokenError, Check, NotApplicableError, check
    from stlm.testing.conformance import Outcome, check_class, check_component, check_package, checks_of
    from stlm.testing.fixtures import A_FEW_STEPS, goes_on, package_fixtures, trained_by_command
    from stlm.testing.installed import installed_from
    from stlm.testing.plugin import conformance_tests
    from stlm.testing.runs import losses
    from stlm.testing.several_processes import seen_by_each, tell, torchrun
    from stlm.testing.subject import Subject
    from stlm.testing.tensors import kept_by_autograd

__all__ = [
    "A_FEW_STEPS",
    "BrokenError",
    "Check",
    "NotApplicableError",
    "Outcome",
    "Subject",
    "check",
    "check_class",
    "check_component",
    "check_package",
    "checks_of",
    "conformance_tests",
    "goes_on",
    "installed_from",
    "kept_by_autograd",
    "losses",
    "package_fixtures",
    "seen_by_each",
    "tell",
    "torchrun",
    "trained_by_command",
]

_FROM = {
    **dict.fromkeys(("BrokenError", "Check", "NotApplicableError", "check"), "checking"),
    **dict.fromkeys(("Outcome", "check_class", "check_component", "check_package", "checks_of"), "conformance"),
    "Subject": "subject",
    "kept_by_autograd": "tensors",
    "conformance_tests": "plugin",
    "losses": "runs",
    **dict.fromkeys(("seen_by_each", "tell", "torchrun"), "several_processes"),
    "installed_from": "installed",
    **dict.fromkeys(("A_FEW_STEPS", "goes_on", "package_fixtures", "trained_by_command"), "fixtures"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: pytest imports this package at every start, whoever needs it."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_FROM[name]}"), name)
