"""Which components exist, what each may be told, and who brought it; also the one import that a plugin needs."""

from stlm.registry.component import Identity, build_in_layer, component, identity_of, is_named
from stlm.registry.hookspecs import hook
from stlm.registry.loading import load_spec, make_component, parse_spec
from stlm.registry.version import CONTRACT
from stlm.spec.checks import (
    Check,
    at_least,
    below,
    between,
    dropout_rate,
    fraction,
    matches,
    non_negative,
    not_empty,
    positive,
    proper_fraction,
)
from stlm.spec.declaration import (
    NotAtHandError,
    block,
    choice,
    choices,
    derived,
    option,
    provides,
    rule,
    same_as,
    section,
)

__all__ = [
    "CONTRACT",
    "Check",
    "Identity",
    "NotAtHandError",
    "at_least",
    "below",
    "between",
    "block",
    "build_in_layer",
    "choice",
    "choices",
    "component",
    "derived",
    "dropout_rate",
    "fraction",
    "hook",
    "identity_of",
    "is_named",
    "load_spec",
    "make_component",
    "matches",
    "non_negative",
    "not_empty",
    "option",
    "parse_spec",
    "positive",
    "proper_fraction",
    "provides",
    "rule",
    "same_as",
    "section",
]
