"""Where each value of a resolved spec came from; what `stlm explain` prints."""

import attrs

from stlm.spec.diagnostics import Place


@attrs.frozen
class Written:
    """The value was written: in the file, in a parent that it extends, or in an override."""

    place: Place

    def __str__(self) -> str:
        return f"written at {self.place}" if not self.place.is_override else f"set by `{self.place.file}`"


@attrs.frozen
class Default:
    """The value is the default that a component or section declares."""

    owner: str

    def __str__(self) -> str:
        return f"default of {self.owner}"


@attrs.frozen
class Worked:
    """The value was worked out from others, by the rule ``says``."""

    says: str
    sources: tuple[str, ...]

    def __str__(self) -> str:
        return f"worked out as {self.says}, from {_names(self.sources)}"


@attrs.frozen
class Provided:
    """The value was provided by another component."""

    owner: str
    says: str
    sources: tuple[str, ...]

    def __str__(self) -> str:
        return f"provided by {self.owner}: {self.says}"


Origin = Written | Default | Worked | Provided


def _names(paths: tuple[str, ...]) -> str:
    return ", ".join(f"`{p}`" for p in paths)


@attrs.frozen
class Provenance:
    """Origins by key path, and the place of every key that could be written, for messages about it."""

    origins: dict[str, Origin] = attrs.field(factory=dict)
    places: dict[str, Place] = attrs.field(factory=dict)

    def place_of(self, path: str) -> Place | None:
        """The place of a key, or of the nearest mapping around it."""
        while path:
            if path in self.places:
                return self.places[path]
            path = path.rpartition(".")[0]
        return self.places.get("")

    def origin_of(self, path: str) -> Origin | None:
        """Where the value of a key came from."""
        return self.origins.get(path)
