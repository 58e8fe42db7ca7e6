"""Acts: what a component builds has all that its kind is asked for, under the names by which it is asked."""

from collections.abc import Callable
from typing import Any

from stlm.registry.kinds import KINDS
from stlm.spec.suggest import nearest_names
from stlm.testing.checking import check, hold, no_promise
from stlm.testing.kits.data import served
from stlm.testing.kits.network import NETWORK
from stlm.testing.kits.options import variants_of
from stlm.testing.subject import Subject

OF_GIVEN = tuple(kind.name for kind in KINDS.values() if kind.given_has)
"""The kinds of which it is known what their `build` always gives."""

MAY = tuple(sorted({name for kind in KINDS.values() for name in kind.module_may}))
"""What a module may have, under names that mean nothing else."""


@check("acts", *NETWORK, *(kind for kind in OF_GIVEN if kind not in NETWORK))
def acts(subject: Subject) -> None:
    """What it builds has all that is asked of its kind, and nothing that a letter more or less would make such."""
    if subject.kind in OF_GIVEN:
        require(subject.kind, subject.made(_built, subject), "what it builds")
    if subject.kind in NETWORK:
        for cls in {type(module) for module in subject.network().modules()}:
            for name in _said(cls, subject.cls.__module__.partition(".")[0]):
                meant = nearest_names(name, MAY, cutoff=0.85)
                hold(name in MAY or not meant, f"{cls.__name__} has `{name}`, which nobody asks for{_hint(meant)}")


PLACES = {"at_input": "input", "on_qk": "qk", "on_heads": "qk"}
"""Where each act of a positional encoding is done, as `acts_on` says it."""


@check("acts-where-it-says", "positional_encoding")
def acts_where_it_says(subject: Subject) -> None:
    """Where it has `acts_on`, what it builds acts there alone, whatever its options say, and with some of them does."""
    said = getattr(subject.cls, "acts_on", None)
    if said is None:
        no_promise("it has no `acts_on`: attentions take it to act at the input and on q and k")
    known = isinstance(said, tuple) and set(said) <= set(PLACES.values())
    hold(known, f'`acts_on` is {said!r}, and must be `("input",)`, `("qk",)`, both or `()`')
    done: set[str] = set()
    for spec in (subject.spec, *(variant.spec for variant in variants_of(subject))):
        encoding = subject.compiled(spec, "meta").model.positional_encoding
        for act in (act for act in PLACES if hasattr(encoding, act)):
            hold(PLACES[act] in said, f"`acts_on` is {said!r}, and what it builds has `{act}`")
            done.add(PLACES[act])
    for place in said:
        acts = " or ".join(f"`{act}`" for act, where in PLACES.items() if where == place)
        hold(place in done, f"`acts_on` is {said!r}, and what it builds has no {acts}")


def require(kind: str, built: Any, what: str) -> None:
    """Hold that a thing has all that is asked of what its kind builds."""
    for need in KINDS[kind].given_has:
        meant = nearest_names(need, (name for name in dir(built) if not name.startswith("_")), cutoff=0.8)
        hold(hasattr(built, need), f"{what} has no `{need}`{_hint(meant, 'is it')}")


def _built(subject: Subject) -> Any:
    """What its `build` gives, called as that of its kind is."""
    spec = subject.spec
    at_hand: dict[str, Callable[[], Any]] = {
        "spec": lambda: spec,
        "model": lambda: spec.model,
        "trainer": lambda: spec.trainer,
        "tokens": lambda: served(subject)[0],
        "sampling": lambda: served(subject)[1],
        "context_window": lambda: spec.model.context_window,
        "num_windows": lambda: 37,
        "seed": lambda: 0,
    }
    return subject.component.build(*(at_hand[name]() for name in KINDS[subject.kind].takes or ()))


def _hint(meant: list[str], ask: str = "did you mean") -> str:
    return f"; {ask} `{meant[0]}`?" if meant else ""


def _said(cls: type, package: str) -> list[str]:
    """The public names that a class, and what it inherits from in a package other than stlm, say themselves."""
    own = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == package != "stlm"]
    return sorted({name for base in own for name in vars(base) if not name.startswith("_")})
