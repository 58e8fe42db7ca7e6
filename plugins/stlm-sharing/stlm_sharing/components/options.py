"""What both cores are told: their blocks, and which of them are run again in the backward pass."""

from typing import Any, Literal

from stlm.registry import block, option, positive, section


@section
class Blocks:
    """Attention and feed-forward network, as in core `generic`."""

    attn: Any = block("attention", type_key="attn_type", doc="The attention of every block.")
    ffn: Any = block("ffn", type_key="ffn_type", doc="The feed-forward network of every block.")
    activation_checkpointing: Literal["none", "full"] | int = option(
        positive,
        default="none",
        doc="Uses of a block that keep only their input for the backward pass, which runs them again: `none`, `full` "
        "for every one, N for the N-th, the 2N-th and so on. It saves memory, takes up to a third more time, and "
        "changes no result.",
    )

    @property
    def recompute_every(self) -> int:
        """The N of `activation_checkpointing`; 0 for none."""
        said = self.activation_checkpointing
        return said if isinstance(said, int) else {"none": 0, "full": 1}[said]


def too_few_to_recompute(activation_checkpointing: str | int, num_uses: int) -> str | None:
    """Say what is wrong where every N-th use is to be run again and there are fewer than N."""
    if isinstance(activation_checkpointing, str) or activation_checkpointing <= num_uses:
        return None
    return (
        f"`activation_checkpointing` is {activation_checkpointing}, but a token goes through only {num_uses} blocks, "
        "so that none would be recomputed; `none` says so"
    )
