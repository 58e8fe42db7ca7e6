"""A part whose `build` has a parameter `layer` is told which block it is for; others are built as ever."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from stlm.compiler import compile
from stlm.registry import component, parse_spec
from stlm.registry.manager import Registry
from stlm.spec import Code, SpecError
from tests.registry.test_manager import spec_text


class Placed(nn.Linear):
    """Knows its layer; it mixes nothing."""

    def __init__(self, hidden_dim: int, layer: int) -> None:
        super().__init__(hidden_dim, hidden_dim)
        self.layer = layer
        self.norm = nn.Identity()


@component("attention", "placed")
class PlacedAttention:
    """A part that is told its layer."""

    def build(self, model: Any, layer: int = 0) -> Any:
        """Remember the layer."""
        return Placed(model.hidden_dim, layer)


@component("ffn", "placed")
class PlacedFeedForward:
    """A part that is told its layer, by name alone."""

    def build(self, model: Any, *, layer: int = 0) -> Any:
        """Remember the layer."""
        return Placed(model.hidden_dim, layer)


@component("attention", "misspelled")
class Misspelled:
    """It would always be told 0."""

    def build(self, model: Any, layers: int = 0) -> Any:
        """Remember the layer."""


@component("ffn", "demanding")
class Demanding:
    """It cannot be built by a core that does not count its blocks."""

    def build(self, model: Any, layer: int) -> Any:
        """Remember the layer."""


@pytest.fixture
def registry(with_plugins: Callable[..., Registry]) -> Registry:
    return with_plugins({"stlm-placed": [PlacedAttention, PlacedFeedForward, Misspelled, Demanding]})


def test_each_block_is_told_its_number_by_the_core(registry):
    spec = parse_spec(
        spec_text(attn={"attn_type": "placed"}, ffn={"ffn_type": "placed"}, num_layers=3), (), registry=registry
    )
    blocks = compile(spec, "meta").model.core.blocks
    assert [(block.attn.layer, block.ffn.layer) for block in blocks] == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"attn": {"attn_type": "misspelled"}}, "`build` has `layers`, which it is never given; did you mean `layer`?"),
        ({"ffn": {"ffn_type": "demanding"}}, "it is built by `build(self, model)`, which its `build` does not take"),
    ],
    ids=str,
)
def test_a_parameter_that_no_core_could_give_is_refused_when_the_component_is_loaded(registry, chosen, says):
    with pytest.raises(SpecError) as caught:
        parse_spec(spec_text(**chosen), (), registry=registry)
    (found,) = caught.value.diagnostics
    assert found.code is Code.PLUGIN
    assert says in found.message
