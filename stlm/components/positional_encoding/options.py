"""Where positional encodings act, for those who must know it before anything is built."""

from stlm.registry.manager import installed
from stlm.spec.components import NotFoundError

EVERYWHERE = ("input", "qk")
"""What an encoding may act on: embedded tokens (`at_input`), and q and k in each attention (`on_qk` or `on_heads`)."""


def acts_on(selector: str) -> tuple[str, ...]:
    """Return where an encoding acts, given the name that a spec chose it by.

    It is what its component says by an attribute ``acts_on``, some of `EVERYWHERE`; one that says nothing is taken to
    act everywhere.
    """
    try:
        chosen = installed().find("positional_encoding", selector).cls
    except NotFoundError:
        return EVERYWHERE
    return tuple(getattr(chosen, "acts_on", EVERYWHERE))
