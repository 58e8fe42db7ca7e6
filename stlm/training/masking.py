"""Masked next-token prediction: which tokens are hidden, and where they are asked for. Shapes: B = batch, S = tokens.

inputs     t0  t1  ▒▒  t3  ▒▒        A hidden token is asked for at the position before it.
targets    ·   t2  ·   t4  ·         t5, the last target, is no input, so it cannot be hidden.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.training.losses import NextTokenCrossEntropy


class MaskedNextToken(NextTokenCrossEntropy):
    """Cross-entropy of hidden tokens, each predicted from the position before it; `prepare` hides them.

    Source: BehnamGhader et al., 2024 (arXiv:2404.05961), section 2.2. A hidden token is always replaced by the mask
    token, never by another one or left as it is.
    """

    def __init__(self, mlm_probability: float, rows_at_once: int = 512) -> None:
        super().__init__(rows_at_once, few_rows=True)
        self.mlm_probability = mlm_probability

    def prepare(self, batch: Batch, generator: torch.Generator, tokenizer: Any) -> Batch:
        """Hide each token that can be with the probability, and ask for these alone.

        Where that hides nothing, the one that came nearest is hidden, so that no micro-batch is read in vain; where
        nothing can be hidden, nothing is asked.
        """
        can = can_hide(batch, tokenizer.mask_id)
        drawn = torch.rand(can.shape, generator=generator).masked_fill_(~can, torch.inf)
        return hide(batch, can & (drawn <= drawn.min().clamp(min=self.mlm_probability)), tokenizer.mask_id)


def can_hide(batch: Batch, mask_id: int) -> Tensor:
    """Say at which positions, (B, S), a token can be asked for that is hidden in the input one further on.

    It must be asked for already, and must not be the mask token itself, of which hiding would hide nothing. Where that
    input is of another segment, as an end of text is where documents are kept apart, the mask could not be seen.
    """
    can = (batch.targets != IGNORE) & (batch.targets != mask_id)
    can[:, -1:] = False
    if batch.segments is not None:
        can[:, :-1] &= batch.segments[:, 1:] == batch.segments[:, :-1]
    return can


def hide(batch: Batch, asked: Tensor, mask_id: int) -> Batch:
    """Return a batch that asks at ``asked`` (B, S) alone, with a mask in the place of each token asked for."""
    token_ids = batch.token_ids.clone()
    token_ids[:, 1:].masked_fill_(asked[:, :-1], mask_id)
    return replace(batch, token_ids=token_ids, targets=batch.targets.masked_fill(~asked, IGNORE))
