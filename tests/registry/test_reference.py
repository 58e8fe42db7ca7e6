"""The reference pages, as they are written from the registry."""

from typing import Any

from stlm.registry import component, hook, option
from stlm.registry.reference import pages


class Blinks:
    """Blinks at each step."""

    blinks: int = option(default=1, doc="How often.")

    @hook
    def step_ends(self, run: Any) -> None:
        """Blink."""


def test_the_pages_do_not_depend_on_what_else_is_installed(with_plugins) -> None:
    registry = with_plugins({"stlm-toy": [component("hook", "blinks")(Blinks)]})
    assert pages(registry) == pages()
    assert "`blinks`" in pages(registry, "stlm-toy")["hook.md"]
