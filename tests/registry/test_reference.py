"""The reference pages, as they are written from the registry."""

from typing import Any

import pytest

from stlm.registry import component, hook, option
from stlm.registry.hookspecs import moments
from stlm.registry.kinds import KINDS
from stlm.registry.manager import Registry
from stlm.registry.reference import pages


def test_every_moment_of_a_run_is_described_with_what_it_may_change() -> None:
    page = pages()["moments.md"]
    assert len(moments()) >= 10
    for name, moment in moments().items():
        assert f"## `{name}(" in page
        assert str(moment.__doc__).splitlines()[0] in page


def test_what_is_always_returned_stands_on_the_page_of_a_kind() -> None:
    written = pages()
    told = [(kind.name, name, means) for kind in KINDS.values() for name, means in kind.given_has.items()]
    assert {kind for kind, _, _ in told} >= {"model_shell", "tokenizer", "dataloader"}
    for kind, name, means in told:
        assert f"- What it returns has `{name}`: {means}." in written[f"{kind}.md"]
    assert "returns a torch.nn.Module: (..., dim) to the same." in written["norm.md"]


def test_a_component_is_described_without_a_walk_over_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(self: Registry, kind: str) -> None:
        assert kind != "norm", "the name says which one it is"
        return all_of(self, kind)

    all_of = Registry.all_of
    monkeypatch.setattr(Registry, "all_of", walk)
    assert "## `rms_norm`" in pages()["norm.md"]


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
