"""What the language asks of a registry: components by kind and name, and nothing more."""

from collections.abc import Iterable
from typing import Protocol

import attrs

from stlm.spec.diagnostics import Code


class Source(Protocol):
    """Who brought a component; reading either may open a file, so only messages and listings do."""

    @property
    def distribution(self) -> str: ...

    @property
    def version(self) -> str: ...


@attrs.frozen
class Found:
    """A component that a spec may choose: its class, and the canonical name by which it is chosen again."""

    kind: str
    selector: str
    cls: type
    source: Source | None = attrs.field(default=None, eq=False, repr=False)
    member: str = attrs.field(default="", eq=False)  # of a family: what stands after its prefix

    @property
    def plugin(self) -> str:
        """The distribution that brought it."""
        return self.source.distribution if self.source else "an unknown package"

    def __str__(self) -> str:
        return f"{self.kind} `{self.selector}`"


class NotFoundError(Exception):
    """No component goes by this name, or it cannot be loaded; says so as a diagnostic does, without a place."""

    def __init__(self, code: Code, message: str, help_lines: tuple[str, ...] = ()) -> None:
        self.code, self.message, self.help = code, message, help_lines
        super().__init__(message)


class Components(Protocol):
    """The registry, as the language sees it."""

    def find(self, kind: str, name: str) -> Found:
        """Return the component that ``name`` (an alias, a family's member, ``name@distribution``) stands for.

        Raises `NotFoundError`.
        """
        ...

    def names(self, kind: str) -> list[str]:
        """List the names of a kind, from metadata alone."""
        ...

    def allowed(self, kind: str) -> str:
        """Say in words which names a kind has, those of open families included."""
        ...

    def all_of(self, kind: str) -> Iterable[Found]:
        """Load and yield every component of a kind that can be loaded; for messages, never for a spec that is good."""
        ...
