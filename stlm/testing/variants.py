"""Every option of a component with several good values: specs in which one key is not as it was."""

from collections.abc import Iterator
from typing import Any

import attrs

from stlm.spec import Code, Spec, SpecError
from stlm.spec.components import NotFoundError
from stlm.spec.declaration import REQUIRED, Block, Declaration, Derived, Option, Slot
from stlm.testing.bench import Bench, Home
from stlm.testing.checking import BrokenError, NoValueError
from stlm.testing.plain import Plain, at, changed
from stlm.testing.values import fitting, of_type

MOST_NUMBERS = 3
"""Numbers to try until so many are good: a check or a rule may refuse some."""

NOT_OF_THE_NETWORK = ("tokenizer", "dataset")


@attrs.frozen
class Variant:
    """A spec in which one ``key`` of the ``owner`` (`kind name`, or `model`) is not as it was in ``base``."""

    owner: str
    key: str
    value: Any
    spec: Spec = attrs.field(repr=False)
    base: Spec = attrs.field(repr=False)

    def __str__(self) -> str:
        return f"`{self.key}: {self.value}`"


def variants(
    bench: Bench, plain: Plain, blocks: tuple[str, ...], declaration: Declaration, owner: str
) -> Iterator[Variant]:
    """Yield variants of a spec in the keys that a declaration has in the mapping at ``blocks``."""
    base = bench.parse(plain)
    settled = at(base.to_plain(), blocks)
    for field, slot in declaration.slots.items():
        was = settled.get(slot.key)
        if isinstance(slot, Block):
            was = (was or {}).get(slot.type_key)
        numbers = 0
        for value in _values(bench, slot, declaration.types[field]):
            if value == was or numbers == MOST_NUMBERS:
                continue
            try:
                spec = bench.parse(_say(bench, slot, value, blocks, plain))
            except (SpecError, NoValueError, NotFoundError) as error:  # a rule forbids it, or something is not at hand
                if isinstance(slot, Option):
                    refuses(error, f"`{slot.key}: {value}`")
                continue
            numbers += isinstance(value, int | float)
            yield Variant(owner, slot.key, value, spec, base)


def refuses(error: Exception, what: str) -> None:
    """Hold that an error is a refusal of what is said, and not a rule or a default that fails at it."""
    told = error.diagnostics if isinstance(error, SpecError) else ()
    for defect in (one for one in told if one.code is Code.PLUGIN):
        raise BrokenError(f"with {what}: {defect.message}")


def may_differ(bench: Bench, slot: Slot, wanted: Any) -> bool:
    """Whether there is more than one thing that a key could say, as far as is known here."""
    if isinstance(slot, Option):
        values = fitting(slot, of_type(wanted))
        has_plain_default = slot.default is not REQUIRED and not isinstance(slot.default, Derived)
        return len(values) > 1 or (has_plain_default and any(value != slot.default for value in values))
    return slot.kind not in (None, *NOT_OF_THE_NETWORK) and len(bench.names(str(slot.kind))) > 1


def _values(bench: Bench, slot: Slot, wanted: Any) -> list[Any]:
    if isinstance(slot, Option):
        return fitting(slot, of_type(wanted))
    return bench.names(str(slot.kind)) if slot.kind not in (None, *NOT_OF_THE_NETWORK) else []


def _say(bench: Bench, slot: Slot, value: Any, blocks: tuple[str, ...], plain: Plain) -> Plain:
    if isinstance(slot, Option):
        return changed(plain, blocks, {slot.key: value})
    home = Home(blocks, slot.key, many=getattr(slot, "many", False))
    if isinstance(slot, Block):
        home = Home((*blocks, slot.key), str(slot.type_key), alone=True)
    kind = str(slot.kind)
    chosen = bench.choose(plain, home, kind, value)
    ways = (way for part in ([chosen], bench.beside(chosen, kind)) for way in part)
    return bench.good(ways, bench.registry.find(kind, value).cls)[0]
