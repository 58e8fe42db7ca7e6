"""Layers that share feed-forward networks. Shape: (batch, seq, hidden) -> the same."""

from collections.abc import Sequence

from torch import nn

from stlm.nn.core import TransformerCore, share_parameters


class FFNSharedTransformer(TransformerCore):
    """A transformer core in which the layers of a group hold one set of feed-forward parameters.

    The groups are neighbors and equally many: layer i of L with G groups belongs to group i // (L / G). Unless
    ``share_ffn_norm``, what stands under a network's `norm` is each layer's own.
    Source: Lan et al., 2019 (arXiv:1909.11942), whose layers share attention too.
    """

    def __init__(
        self,
        blocks: Sequence[tuple[nn.Module, nn.Module]],
        *,
        num_ffn_groups: int,
        share_ffn_norm: bool,
        share_out_proj: bool,
        recompute_every: int,
        hidden_dim: int,
    ) -> None:
        super().__init__(blocks, share_out_proj=share_out_proj, recompute_every=recompute_every, hidden_dim=hidden_dim)
        group_size = len(blocks) // num_ffn_groups
        for index, (_, ffn) in enumerate(blocks):
            _, source = blocks[index - index % group_size]
            if source is not ffn:
                share_parameters(source, ffn, but=None if share_ffn_norm else "norm.")
