"""Blocks of a core: each is told which one it is."""

from typing import Any

import attrs
import torch

from stlm.registry import build_in_layer
from stlm.registry.kinds import KINDS
from stlm.spec.declaration import Block, declaration_of
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.subject import Subject


class Noting:
    """Stands for a part of a core: notes the layers that its `build` is told, and builds what the part builds."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.told: list[int | None] = []

    def build(self, model: Any, layer: int | None = None) -> Any:
        self.told.append(layer)
        return build_in_layer(self.part, model, layer or 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)


@check("tells-layers", "core_model")
def tells_layers(subject: Subject) -> None:
    """Each attention and feed-forward network is told the number of its block, from 0 on (`build_in_layer`).

    A block that is run several times is built once, and told once.
    """
    fields = _parts_of_blocks(subject.cls)
    if not fields:
        no_promise("it builds no attention and no feed-forward network")
    core, model = subject.component, subject.spec.model
    fields = {field: slot for field, slot in fields.items() if getattr(core, field) is not None}
    noting = {field: Noting(getattr(core, field)) for field in fields}
    with torch.device("meta"):
        attrs.evolve(core, **noting).build(model)
    by_kind: dict[str, set[int]] = {}
    for field, slot in fields.items():
        told, key = noting[field].told, slot.key
        hold(None not in told, f"`{key}` is built without its layer: a core builds it by `build_in_layer`")
        layers = {layer for layer in told if layer is not None}
        hold(len(layers) > 1 or len(told) < 2, f"`{key}` is built {len(told)} times, each time for layer {min(layers)}")
        by_kind.setdefault(str(slot.kind), set()).update(layers)
    blocks = max(map(len, by_kind.values()), default=0)
    for kind, layers in by_kind.items():
        hold(layers <= set(range(blocks)), f"of {blocks} blocks, {kind} is built for the layers {sorted(layers)}")


def _parts_of_blocks(cls: type) -> dict[str, Block]:
    """The fields of a core that hold a component which may be told its layer."""
    slots = declaration_of(cls).slots.items()
    kinds = {kind for kind, one in KINDS.items() if "layer" in one.offers}
    return {field: slot for field, slot in slots if isinstance(slot, Block) and slot.kind in kinds}
