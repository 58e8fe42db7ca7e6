"""Acts: what a component builds has all that its kind is asked for, under the names by which it is asked."""

from typing import Any

from stlm.registry.kinds import KINDS
from stlm.spec.suggest import nearest_names
from stlm.testing.checking import check, hold
from stlm.testing.kits.network import NETWORK
from stlm.testing.subject import Subject

NEEDED: dict[str, tuple[str, ...]] = {
    "model_shell": ("embedder", "core", "head", "positional_encoding", "token_states", "init_state"),
    "embedding": ("tied_weight", "positions_per_token"),
    "lm_head": ("token_states", "project", "tie"),
    "tokenizer": (
        *("encode_batch", "decode", "decode_bytes", "normalize", "save"),
        *("vocab_size", "eot_id", "mask_id", "fingerprint"),
    ),
    "dataset": ("documents", "fingerprint"),
}
"""What is always asked for: methods and attributes."""

MAY = tuple(sorted({name for kind in KINDS.values() for name in kind.module_may}))
"""What a module may have, under names that mean nothing else."""


@check("acts", *NETWORK, *(kind for kind in NEEDED if kind not in NETWORK))
def acts(subject: Subject) -> None:
    """What it builds has all that is asked of its kind, and nothing that a letter more or less would make such."""
    if subject.kind in NEEDED:
        around = subject.spec.model if subject.kind in NETWORK else subject.spec
        require(subject.kind, subject.made(subject.component.build, around), "what it builds")
    if subject.kind in NETWORK:
        for cls in {type(module) for module in subject.network().modules()}:
            for name in _said(cls, subject.cls.__module__.partition(".")[0]):
                meant = nearest_names(name, MAY, cutoff=0.85)
                hold(name in MAY or not meant, f"{cls.__name__} has `{name}`, which nobody asks for{_hint(meant)}")


def require(kind: str, built: Any, what: str) -> None:
    """Hold that a thing has all that is asked of its kind."""
    for need in NEEDED[kind]:
        meant = nearest_names(need, (name for name in dir(built) if not name.startswith("_")), cutoff=0.8)
        hold(hasattr(built, need), f"{what} has no `{need}`{_hint(meant, 'is it')}")


def _hint(meant: list[str], ask: str = "did you mean") -> str:
    return f"; {ask} `{meant[0]}`?" if meant else ""


def _said(cls: type, package: str) -> list[str]:
    """The public names that a class, and what it inherits from in a package other than stlm, say themselves."""
    own = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == package != "stlm"]
    return sorted({name for base in own for name in vars(base) if not name.startswith("_")})
