"""From a prompt to new tokens, with the model's running state where it has one."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from stlm.nn.modes import evaluating

Sampler = Callable[[Tensor, list[list[int]], torch.Generator], Tensor]


class Window:
    """Feeds a growing text to a model and gives the scores of its next token.

    The model sees at most ``context_window`` tokens. A longer prompt loses its beginning. When the window is full, the
    second half of it is kept and read anew from its first position, so that there is room to go on; with and without a
    running state this happens at the same tokens, so both see the same.
    """

    def __init__(self, model: Any, context_window: int, device: torch.device, *, cached: bool = True) -> None:
        self.model, self.context_window, self.device = model, context_window, device
        self.cached = cached and hasattr(model, "init_state")
        self.ids: list[int] = []
        self.unread = 0
        self.state: Any = None

    def start(self, ids: list[int]) -> None:
        """Begin with ``ids``, or as many of its last as the window holds."""
        self.ids = ids[-self.context_window :]
        self._begin_anew()

    def add(self, token_id: int) -> None:
        """Go on with one more token."""
        if len(self.ids) == self.context_window:
            self.ids = self.ids[len(self.ids) - self.context_window // 2 :]
            self._begin_anew()
        self.ids.append(token_id)
        self.unread += 1

    def _begin_anew(self) -> None:
        self.unread = len(self.ids)
        self.state = self.model.init_state(1, self.context_window) if self.cached else None

    def scores(self) -> Tensor:
        """Return the logits of the token that comes next, (1, vocab), float32 on the CPU."""
        new = self.ids if self.state is None else self.ids[-self.unread :]
        states, _ = self.model.token_states(torch.tensor([new], device=self.device), state=self.state)
        self.unread = 0
        return self.model.head.project(states[:, -1]).float().cpu()


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
    """Yield new tokens, until the end of text (which is not yielded) or ``max_new_tokens``.

    An empty prompt is an end of text, as before a document. Drawing happens on the CPU with a generator of its own, so
    a seed means the same wherever the model is; between two tokens nothing of the process is changed.
    """
    generator = torch.Generator().manual_seed(seed)
    history = list(prompt_ids) or [eot_id]
    window: Window | None = None
    for _ in range(max_new_tokens):
        with evaluating(model, device):
            if window is None:
                window = Window(model, context_window, device, cached=cached)
                window.start(history)
            else:
                window.add(history[-1])
            token_id = int(sampler(window.scores(), [history], generator))
        if token_id == eot_id:
            return
        history.append(token_id)
        yield token_id
