"""What the shell is offered for arguments that name kinds, components, packages and keys of a spec."""

from collections.abc import Callable, Iterable
from typing import Any

from click import Context, Parameter
from click.shell_completion import CompletionItem

Offer = Callable[[Context, Parameter, str], list[CompletionItem]]


def installed() -> Any:
    """The registry, imported when a shell asks: every command names these functions, and few are ever completed."""
    from stlm.registry.manager import installed

    return installed()


def kinds(_: Context, __: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the kinds that anything is installed for."""
    return _beginning(begun, installed().installed.kinds())


def kinds_or_names(_: Context, __: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the kinds, and the components that need no kind before them, for one kind alone has the name."""
    registry = installed()
    names = [name for kind in registry.installed.kinds() for name in registry.names(kind)]
    return _beginning(begun, [*registry.installed.kinds(), *(name for name in names if names.count(name) == 1)])


def names(context: Context, _: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the components of the kind that was named before; where none was, those that need none."""
    kind = context.params.get("kind")
    if kind is None:
        every = [name for one in installed().installed.kinds() for name in installed().names(one)]
        return _beginning(begun, [name for name in every if every.count(name) == 1])
    return _beginning(begun, installed().names(kind))


def of_kind(kind: str) -> Offer:
    """Make what offers the components of a kind."""
    return lambda _, __, begun: _beginning(begun, installed().names(kind))


def list_of_kind(kind: str) -> Offer:
    """Make what offers components of a kind one after the other, with commas between."""

    def offer(_: Context, __: Parameter, begun: str) -> list[CompletionItem]:
        before, comma, _last = begun.rpartition(",")
        said = set(before.split(","))
        return _beginning(begun, [f"{before}{comma}{name}" for name in installed().names(kind) if name not in said])

    return offer


def packages(_: Context, __: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the packages that bring components."""
    return _beginning(begun, sorted({entry.distribution for entry in installed().entries()}))


def checks(context: Context, _: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the checks, those of a kind where one was named; what they are takes torch to know.

    Those of a whole package are not about one component.
    """
    from stlm.testing.conformance import checks_of
    from stlm.testing.kits import CHECKS
    from stlm.testing.packages import OF_ALL

    kind = context.params.get("kind")
    if kind is not None:
        return _beginning(begun, [one.name for one in checks_of(kind)])
    of_package = () if context.params.get("name") is not None else OF_ALL
    return _beginning(begun, [*of_package, *(one.name for one in CHECKS)])


def shipped(_: Context, __: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the shipped specs."""
    from stlm.cli.shipped import names as shipped_specs

    return _beginning(begun, shipped_specs())


def settings(context: Context, _: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the keys of the spec that was named before, each with a `=`, and behind that the values of a key."""
    from stlm.cli.keys import keys_of_spec

    named = context.args  # where they stand while an option has no value yet
    return _settings(begun, keys_of_spec(named[-1] if named else None))


def options_of(kind: str, parameter: str) -> Offer:
    """Make what offers the options of the component that another parameter names, each with a `=`, and their values."""

    def offer(context: Context, _: Parameter, begun: str) -> list[CompletionItem]:
        from stlm.cli.keys import keys_of_component

        of = context.params.get("kind") if kind == "" else kind
        return _settings(begun, keys_of_component(of, context.params.get(parameter)))

    return offer


def _settings(begun: str, keys: dict[str, list[str]]) -> list[CompletionItem]:
    key, equals, _ = begun.partition("=")
    return _beginning(begun, [f"{key}={value}" for value in keys.get(key, ())] if equals else [f"{k}=" for k in keys])


def _beginning(begun: str, words: Iterable[Any]) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(begun)]
