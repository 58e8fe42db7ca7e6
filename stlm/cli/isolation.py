"""``stlm --no-plugins``: stlm's own components alone, to see whether a plugin is at fault."""

import os

import click

from stlm.cli.edge import process_rank, tell
from stlm.registry.discovery import ALL, DISABLE, disabled_here, unknown_among
from stlm.spec.suggest import nearest


def no_plugins_option() -> click.Option:
    """Make the flag that stands before a command."""
    text = f"Leave out all plugins but stlm's own components (also {DISABLE}={ALL}, or =NAME,NAME for some)."
    return click.Option(["--no-plugins"], is_flag=True, is_eager=True, expose_value=False, callback=_asked, help=text)


def _asked(context: click.Context, _: click.Parameter, value: bool) -> None:
    """Disable them by the environment, which processes that a command starts are given too, until it is done."""
    if not value:
        return
    before = os.environ.get(DISABLE)
    os.environ[DISABLE] = ALL
    context.call_on_close(lambda: _restore(before))


def warn_of_unknown_plugins() -> None:
    """Warn of packages that are disabled by name and are not there: a plugin that was meant is on then."""
    if disabled_here() in ("", ALL) or process_rank():
        return
    from stlm.registry.manager import installed

    registry = installed()
    for name in unknown_among(registry.installed):
        close = nearest(name, sorted({entry.distribution for entry in registry.entries()}))
        tell(f"warning: {DISABLE} names `{name}`, which is not installed" + "".join(f"; {line}" for line in close))


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(DISABLE, None)
    else:
        os.environ[DISABLE] = before
