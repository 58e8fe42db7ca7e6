"""Nested mappings of a spec, changed at a place and otherwise as they were."""

from collections.abc import Mapping
from typing import Any

Plain = dict[str, Any]


def at(plain: Plain, path: tuple[str, ...]) -> Plain:
    """The mapping at a path of keys; an empty one where there is none."""
    for key in path:
        plain = plain.get(key) or {}
    return plain


def changed(plain: Plain, path: tuple[str, ...], said: Mapping[str, Any], *, whole: bool = False) -> Plain:
    """A copy in which the mapping at a path says something else, in addition or, where ``whole``, instead."""
    if not path:
        return dict(said) if whole else {**plain, **said}
    inner = plain.get(path[0])
    return {
        **plain,
        path[0]: changed(inner if isinstance(inner, dict) else {}, path[1:], said, whole=whole),
    }


def says(plain: Any, path: str) -> bool:
    """Whether nested mappings hold a key path."""
    head, _, rest = path.partition(".")
    return isinstance(plain, dict) and head in plain and (not rest or says(plain[head], rest))
