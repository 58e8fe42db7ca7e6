"""Options that attention with a running state has in common."""

from typing import Any

from stlm.registry import choice, dropout_rate, option, positive, rule, section


@section
class RunningOptions:
    """Heads, each of which keeps a matrix, and the chunks in which texts are worked through."""

    num_heads: int = option(positive, doc="Number of heads, each with a state of its own.")
    chunk_size: int = option(
        positive,
        default=64,
        doc="Tokens that meet pair by pair; between chunks goes the state. It changes cost, and results by rounding.",
    )
    attn_dropout: float = option(dropout_rate, default=0.0, doc="Dropout at the start of the block, after its norm.")
    normalization: Any = choice("norm", default="rms_norm", doc="Norm at the entrance of the block.")

    @rule("chunk_size")
    def chunks_can_be_halved(chunk_size: int) -> str | None:
        """The size of a chunk is a power of 2, for chunks are halved."""
        if chunk_size & (chunk_size - 1) == 0:
            return None
        return f"`chunk_size` is {chunk_size}, and must be a power of 2, such as {1 << chunk_size.bit_length() - 1}"
