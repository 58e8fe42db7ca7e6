"""From prompts to new tokens, with the model's running state where it has one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stlm.generation.window import Window
from stlm.nn.modes import evaluating, untraced
from stlm.spec.errors import WorkError

Sampler = Callable[[Tensor, list[list[int]], torch.Generator], Tensor]


class Decoder:
    """Goes on with several texts at once, one token of each at a time.

    Each text has a generator of its own, on the CPU: what is drawn for it depends on its seed alone, neither on the
    texts beside it nor on the device. Between two steps nothing of the process is changed. A model that sees what
    follows is told ``mask_id``, the token that stands for one not there yet.
    """

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        *,
        device: torch.device,
        sampler: Sampler,
        context_window: int,
        cached: bool = True,
        mask_id: int | None = None,
    ) -> None:
        self.texts = [list(ids) for ids in prompts]
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.model, self.device, self.sampler = model, device, sampler
        self.settled = not any(module.training for module in model.modules())
        """Whether the model is in evaluation mode already: to look through its modules takes long, for each token."""
        self.unfinished = dict.fromkeys(range(len(self.texts)))
        together = getattr(model.embedder, "positions_per_token", 1.0) == 1.0
        """Whether texts may be padded: pooled tokens would be pooled with the padding."""
        self.lanes = [
            _Lane(lane, Window(model, context_window, device, cached=cached, mask_id=mask_id))
            for lane in ([list(self.unfinished)] if together else [[text] for text in self.unfinished])
        ]

    def step(self) -> dict[int, int]:
        """Draw one more token of each text that is not finished, and return them by the text's number."""
        settled = self.settled and not self.model.training
        with untraced(self.device) if settled else evaluating(self.model, self.device):
            drawn = [self._step(lane) for lane in self.lanes if any(text in self.unfinished for text in lane.texts)]
        return {text: token_id for tokens in drawn for text, token_id in tokens.items()}

    def finish(self, text: int) -> None:
        """Draw no more tokens of a text."""
        del self.unfinished[text]

    def _step(self, lane: "_Lane") -> dict[int, int]:
        going_on = {text: row for row, text in enumerate(lane.texts) if text in self.unfinished}
        if not lane.window.texts:
            lane.window.start([self.texts[text] for text in lane.texts])
        else:
            if 2 * len(going_on) <= len(lane.texts):  # until then, those that are finished cost little
                lane.keep(list(going_on.values()))
                going_on = {text: row for row, text in enumerate(lane.texts)}
            lane.window.add([self.texts[text][-1] for text in lane.texts])
        scores = lane.window.scores()
        if not bool(scores.amax(dim=-1).isfinite().all()):  # by these a sampler on CUDA would fail for good
            raise WorkError("the model computes what is not a number (NaN), or infinite, so that no token can be drawn")
        drawn = {}
        for text, row in going_on.items():
            token_id = int(self.sampler(scores[row : row + 1], [self.texts[text]], self.generators[text]))
            self.texts[text].append(token_id)
            drawn[text] = token_id
        return drawn


@dataclass
class _Lane:
    """Texts that are computed as one batch, in the order of their rows."""

    texts: list[int]
    window: Window

    def keep(self, rows: list[int]) -> None:
        """Leave the others out from now on."""
        self.window.keep(rows)
        self.texts = [self.texts[row] for row in rows]


def generate_tokens(
    model: Any,
    prompt_ids: list[int],
    *,
    device: torch.device,
    sampler: Sampler,
    max_new_tokens: int,
    context_window: int,
    eot_id: int,
    seed: int,
    cached: bool = True,
) -> Iterator[int]:
    """Yield new tokens of one text, until the end of text (which is not yielded) or ``max_new_tokens``.

    An empty prompt is an end of text, as before a document.
    """
    prompt = list(prompt_ids) or [eot_id]
    how: dict[str, Any] = {"device": device, "sampler": sampler, "context_window": context_window, "cached": cached}
    decoder = Decoder(model, [prompt], [seed], **how)
    for _ in range(max_new_tokens):
        token_id = decoder.step()[0]
        if token_id == eot_id:
            return
        yield token_id
