"""The one text form of a resolved spec, and its digest.

The canonical form is YAML again, every value there, keys in the order of their declarations; reading it gives an equal
spec. The digest is taken over what is computed and how it is trained, not over where: paths, logging and device are
not part of it.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from typing import Any

from stlm.spec.declaration import Block, Choice, Declaration, declaration_of

WHERE = ("paths", "logging", "device")
"""The keys of `general` that say where a run happens, not what it is."""


def to_plain(spec: Any) -> dict[str, Any]:
    """A spec (or any section of one) as nested dicts and lists of plain values, keyed as a spec file is."""
    out: dict[str, Any] = {}
    _write(spec, out)
    return out


def _write(value: Any, out: dict[str, Any]) -> None:
    declaration: Declaration = declaration_of(type(value))
    for field, slot in declaration.slots.items():
        held = getattr(value, field)
        if isinstance(slot, Choice) and (members := members_of(slot, held)) is not None:
            out[slot.key] = [to_plain(member) for member in members]
        elif isinstance(slot, Choice):
            out[slot.key] = [one.selector for one in held] if slot.many else held.selector
            for one in held if slot.many else (held,):
                _write(one, out)
        elif isinstance(slot, Block):
            if held is not None:
                inner: dict[str, Any] = {} if slot.type_key is None else {slot.type_key: held.selector}
                _write(held, inner)
                out[slot.key] = inner
        else:
            out[slot.key] = _plain(held)


def members_of(slot: Choice, held: Any) -> tuple[Any, ...] | None:
    """Return what a list under the key of a choice holds; None where a name stands there."""
    if slot.listed is None or not isinstance(held, slot.listed):
        return None
    members: tuple[Any, ...] = held.members
    return members


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def dump(spec: Any) -> str:
    """The canonical text of a spec."""
    return dump_plain(to_plain(spec))


def dump_plain(plain: Any) -> str:
    """Write plain values as YAML 1.2, the way that stlm reads them back."""
    from ruamel.yaml import YAML  # dumping is rarer than reading

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump(plain, text)
    return text.getvalue()


def digest(spec: Any) -> str:
    """``sha256:…`` over what a spec says, apart from where it happens."""
    plain = to_plain(spec)
    plain["general"] = {k: v for k, v in plain["general"].items() if k not in WHERE}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def differences(left: dict[str, Any], right: dict[str, Any], path: str = "") -> Iterable[tuple[str, Any, Any]]:
    """Yield (key path, left value, right value) wherever two plain specs differ; a missing key has the value None."""
    for key in dict.fromkeys((*left, *right)):
        here = f"{path}.{key}" if path else key
        a, b = left.get(key), right.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from differences(a, b, here)
        elif (old := _by_number(a)) and (new := _by_number(b)) and len(old) == len(new):
            yield from differences(old, new, here)
        elif a != b:
            yield here, a, b


def differences_in_meaning(left: Any, right: Any) -> Iterable[tuple[str, Any, Any]]:
    """Yield the differences of two specs that their digests know of: not those in where a run happens."""
    apart = tuple(f"general.{key}" for key in WHERE)
    for key, old, new in differences(left.to_plain(), right.to_plain()):
        if not any(key == where or key.startswith(f"{where}.") for where in apart):
            yield key, old, new


def _by_number(value: Any) -> dict[str, Any]:
    """The mappings of a list by their number; nothing where a value is no such list."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return {}
    return {str(number): item for number, item in enumerate(value)}


def components_of(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Yield (path of the key that names it, component object) for each component that a spec chose."""
    for field, slot in declaration_of(type(value)).slots.items():
        held = getattr(value, field)
        here = f"{path}.{slot.key}" if path else slot.key
        if isinstance(slot, Choice) and (members := members_of(slot, held)) is not None:
            for number, member in enumerate(members):
                yield from components_of(member, f"{here}.{number}")
        elif isinstance(slot, Choice):
            for one in held if slot.many else (held,):
                yield here, one
                yield from components_of(one, path)
        elif isinstance(slot, Block) and held is not None:
            if slot.type_key is not None:
                yield f"{here}.{slot.type_key}", held
            yield from components_of(held, here)
