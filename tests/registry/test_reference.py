"""The reference pages, as they are written from the registry."""

from typing import Any

from stlm.registry import component, hook, option
from stlm.registry.hookspecs import Lifecycle
from stlm.registry.reference import pages


def test_every_moment_of_a_run_is_described_with_what_it_may_change() -> None:
    page = pages()["moments.md"]
    for name, moment in vars(Lifecycle).items():
        if not name.startswith("_"):
            assert f"## `{name}(" in page
            assert moment.__doc__.splitlines()[0] in page


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
