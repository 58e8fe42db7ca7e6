"""What a check is: a name, the kinds that it is about, and a function that raises where a promise is not kept."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NoReturn

import attrs

if TYPE_CHECKING:
    from stlm.testing.subject import Subject


class BrokenError(AssertionError):
    """A component does not keep its contract; the text says how in one line, with numbers where there are any."""


class NotLoadedError(BrokenError):
    """A component cannot be loaded, so that there is nothing to look at."""


class NotApplicableError(Exception):
    """A check has nothing to say of a component; the text is the reason."""


class NoValueError(LookupError):
    """A spec must say something that nothing here can make up; the text says what.

    A class of its own, so that a `KeyError` of a component is never taken for it.
    """


Result = Literal["passed", "failed", "skipped"]


@attrs.frozen
class Outcome:
    """What one check said of one component; ``why`` is empty where it passed.

    Of what is wrong with a whole package, the kind is ``package``. ``traceback`` is that of what a failed check raised.
    """

    kind: str
    name: str
    check: str
    result: Result
    why: str = ""
    traceback: str = attrs.field(default="", eq=False, repr=False)


@attrs.frozen
class Check:
    """One promise of a component, under a name that stays.

    ``look`` takes a `Subject`. It returns where the promise is kept, raises `NotApplicableError` where there is none,
    and anything else where it is broken.
    """

    name: str
    kinds: tuple[str, ...]  # none: every kind
    look: Callable[["Subject"], None] = attrs.field(eq=False)

    @property
    def doc(self) -> str:
        """What is promised, in a sentence or a few."""
        return " ".join((self.look.__doc__ or "").split())

    def is_about(self, kind: str) -> bool:
        """Whether components of a kind are looked at."""
        return not self.kinds or kind in self.kinds


def check(name: str, *kinds: str) -> Callable[[Callable[["Subject"], None]], Check]:
    """Make a check of a function, for components of the ``kinds``, or of every kind."""
    return lambda look: Check(name, kinds, look)


def hold(condition: object, why: str) -> None:
    """Raise `BrokenError` unless a condition holds."""
    if not condition:
        raise BrokenError(why)


def no_promise(reason: str) -> NoReturn:
    """Raise `NotApplicableError`."""
    raise NotApplicableError(reason)
