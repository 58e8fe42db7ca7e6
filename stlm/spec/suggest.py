"""The nearest right name, for every message about a wrong one."""

from collections.abc import Iterable


def nearest_names(name: str, allowed: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Find the names that ``name`` was probably meant to be, best first."""
    from difflib import get_close_matches  # only a mistake needs it, and a spec without one should not wait for it

    lowered: dict[str, str] = {}
    for candidate in allowed:
        lowered.setdefault(candidate.lower(), candidate)
    wanted = name.lower()[:80]
    found = get_close_matches(wanted, lowered, n=most, cutoff=cutoff)
    if not found:
        found = [c for c in lowered if len(wanted) >= 3 and (c.startswith(wanted) or c.endswith(wanted))][:most]
    return [lowered[f] for f in found]


def nearest(name: str, allowed: Iterable[str]) -> tuple[str, ...]:
    """The help line that names the nearest right name, where there is one."""
    found = nearest_names(name, allowed)
    return (f"did you mean `{found[0]}`?",) if found else ()
