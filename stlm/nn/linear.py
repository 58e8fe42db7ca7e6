"""A linear layer that knows its place in the network, so that initialization can treat it by what it is for."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn


class Linear(nn.Linear):
    """`torch.nn.Linear` with three remarks on its role; what it computes is the same.

    ``into_residual``: its result is added to the residual stream. ``to_vocabulary``: its result is logits.
    ``parts``: output widths of several projections that are computed as one (q, k and v), each of which is
    initialized as the matrix that it stands for.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        into_residual: bool = False,
        to_vocabulary: bool = False,
        parts: Sequence[int] = (),
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.into_residual = into_residual
        self.to_vocabulary = to_vocabulary
        self.parts = tuple(parts) or (out_features,)

    def weight_parts(self) -> Iterator[Tensor]:
        """Yield a view of the weight for each projection that this layer stands for, (part, in_features)."""
        yield from self.weight.split(self.parts)
