"""What cores made of blocks have in common: which blocks are run again in the backward pass."""

from typing import Any, Literal

from stlm.registry import option, positive

Recomputed = Literal["none", "full"] | int
"""What `activation_checkpointing` may be."""


def recomputed_blocks() -> Any:
    """Return the option `activation_checkpointing`; a core has it as its last."""
    return option(
        positive,
        default="none",
        doc="Blocks that keep only their input for the backward pass, which runs them again: `none`, `full` for every "
        "one, N for the N-th, the 2N-th and so on. It saves memory; `full` takes about a third more time. No "
        "result depends on it, and counts of operations are without it.",
    )


def recompute_every(said: str | int) -> int:
    """Return the N of `activation_checkpointing`; 0 for none."""
    return said if isinstance(said, int) else {"none": 0, "full": 1}[said]


def too_few_to_recompute(said: str | int, num_blocks: int) -> str | None:
    """Say what is wrong where every N-th of the blocks that a token goes through is run again, and there are fewer."""
    if isinstance(said, str) or said <= num_blocks:
        return None
    return (
        f"`activation_checkpointing` is {said}, but a token goes through only {num_blocks} blocks, so that none would "
        "be recomputed; `none` says so"
    )
