"""The loss of masked tokens, in next-token fashion. Shapes: B = batch, S = tokens."""

from dataclasses import replace
from typing import Any

import torch

from stlm.data.serving.batch import IGNORE, Batch
from stlm.training.losses import NextTokenCrossEntropy


class MaskedNextTokenLoss(NextTokenCrossEntropy):
    """Hide some tokens of the input, and ask for each at the position before it, and for nothing else.

    So a model that was trained to predict the next token learns to see both sides and keeps its head as it was.
    Source: "MNTP" of BehnamGhader et al., 2024 (arXiv:2404.05961).
    """

    def __init__(self, masked_fraction: float) -> None:
        super().__init__()
        self.masked_fraction = masked_fraction

    def prepare(self, batch: Batch, generator: torch.Generator, tokenizer: Any) -> Batch:
        """Put the mask in the place of inputs (B, S) at random, and keep the targets that these inputs are.

        The first input has no position before it, the last target is no input, and neither a token that is the mask
        itself nor one that begins a new document is asked for.
        """
        follows = batch.targets[:, :-1] == batch.token_ids[:, 1:]  # the target at t is the input at t + 1
        follows &= batch.targets[:, :-1] != tokenizer.mask_id
        if batch.segments is not None:
            follows &= batch.segments[:, 1:] == batch.segments[:, :-1]
        hidden = follows & (torch.rand(follows.shape, generator=generator) < self.masked_fraction)
        token_ids, targets = batch.token_ids.clone(), torch.full_like(batch.targets, IGNORE)
        token_ids[:, 1:][hidden] = tokenizer.mask_id
        targets[:, :-1][hidden] = batch.targets[:, :-1][hidden]
        return replace(batch, token_ids=token_ids, targets=targets)
