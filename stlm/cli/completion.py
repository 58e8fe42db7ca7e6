"""What the shell is offered for arguments that name kinds and components."""

from click import Context, Parameter
from click.shell_completion import CompletionItem

from stlm.registry.manager import installed


def kinds(_: Context, __: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the kinds that anything is installed for."""
    return _beginning(begun, installed().installed.kinds())


def kinds_or_names(_: Context, __: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the kinds, and the components that need no kind before them, for one kind alone has the name."""
    registry = installed()
    names = [name for kind in registry.installed.kinds() for name in registry.names(kind)]
    return _beginning(begun, [*registry.installed.kinds(), *(name for name in names if names.count(name) == 1)])


def names(context: Context, _: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the components of the kind that was named before."""
    return _beginning(begun, installed().names(context.params.get("kind") or ""))


def shipped(_: Context, __: Parameter, begun: str) -> list[CompletionItem]:
    """Offer the shipped specs."""
    from stlm.cli.shipped import names as shipped_specs

    return _beginning(begun, shipped_specs())


def _beginning(begun: str, words: list[str]) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(begun)]
