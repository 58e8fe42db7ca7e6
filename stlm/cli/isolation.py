"""``stlm --no-plugins``: stlm's own components alone, to see whether a plugin is at fault."""

import os

import click

from stlm.registry.discovery import ALL, DISABLE


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


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(DISABLE, None)
    else:
        os.environ[DISABLE] = before
