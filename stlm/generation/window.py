"""What a model sees of texts that grow: at most a context window of each, all of them in one batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stlm.nn.context import PADDING


class Window:
    """Feeds growing texts to a model and gives the scores of the next token of each.

    The model sees at most the last ``context_window`` tokens of a text. When a text fills its window, the second half
    of it is kept and read anew from its first position, so that there is room to go on; with and without a running
    state this happens at the same tokens, so both see the same. Shorter texts are padded at their beginning; the
    padding is a segment of its own, which no text attends to, and positions count from the first token of each text.

    With a ``mask_id``, the token that comes next stands there already, hidden, as a model that sees both sides was
    trained with it (`next_token_mlm`). It takes one token's room.
    """

    def __init__(
        self,
        model: Any,
        context_window: int,
        device: torch.device,
        *,
        cached: bool = True,
        mask_id: int | None = None,
    ) -> None:
        self.model, self.device = model, device
        self.hidden = [] if mask_id is None or context_window < 2 else [mask_id]
        self.context_window = context_window - len(self.hidden)
        self.cached = cached and mask_id is None and hasattr(model, "init_state")
        self.texts: list[list[int]] = []
        self.unread = 0
        self.state: Any = None

    def start(self, texts: Sequence[Sequence[int]]) -> None:
        """Begin with ``texts``, or as many of their last tokens as the window holds."""
        self.texts = [list(ids[-self.context_window :]) for ids in texts]
        self._begin_anew()

    def add(self, token_ids: Sequence[int]) -> None:
        """Go on with one more token of each text."""
        full = [len(ids) == self.context_window for ids in self.texts]
        if any(full):
            kept = self.context_window // 2
            self.texts = [
                ids[len(ids) - kept :] if is_full else ids for ids, is_full in zip(self.texts, full, strict=True)
            ]
            self._begin_anew()
        for ids, token_id in zip(self.texts, token_ids, strict=True):
            ids.append(token_id)
        self.unread += 1

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the texts only."""
        self.texts = [self.texts[row] for row in rows]
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.unread = max(map(len, self.texts))
        self.state = self.model.init_state(len(self.texts), self.context_window) if self.cached else None

    def scores(self) -> Tensor:
        """Return the logits of the token that comes next in each text, (texts, vocab), float32 on the CPU."""
        longest = max(map(len, self.texts)) + len(self.hidden)
        unread = longest if self.state is None else self.unread
        padding = [longest - len(ids) - len(self.hidden) for ids in self.texts]
        new = [([0] * more + ids + self.hidden)[-unread:] for more, ids in zip(padding, self.texts, strict=True)]
        where = self._where(padding, longest, unread) if any(padding) else {}
        states, _ = self.model.token_states(torch.tensor(new, device=self.device), state=self.state, **where)
        self.unread = 0
        return self.model.head.project(states[:, -1 - len(self.hidden)]).float().cpu()

    def _where(self, padding: list[int], longest: int, unread: int) -> dict[str, Tensor]:
        """Say where the new tokens stand, (texts, unread): their positions, and whether they are padding."""
        before = torch.tensor(padding, device=self.device).unsqueeze(1)
        positions = torch.arange(longest - unread, longest, device=self.device) - before
        return {"positions": positions.clamp(min=0), "segments": torch.where(positions < 0, PADDING, 0)}
