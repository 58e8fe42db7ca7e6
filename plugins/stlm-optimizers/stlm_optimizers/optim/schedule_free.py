"""Schedule-free AdamW whose two points can be told from each other to the last bit."""

from typing import Any

import torch
from schedulefree import AdamWScheduleFree


class ExactScheduleFree(AdamWScheduleFree):
    """The library's `AdamWScheduleFree`, which comes back from the average to where it was.

    The parameters hold the training point y, or, after `eval`, the average x, which is worked out of y and z. Worked
    out of x again, y would be another by rounding: a run that was evaluated, or that went on from a checkpoint, would
    not be the one that never stopped. So `eval` keeps y in the state, which costs as much again as the weights until
    the next `train`. Where beta1 is another by then, y is another point, and is worked out.

    It begins at the training point, as a module does.
    """

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)
        self.train()

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average into the parameters."""
        for group in self.param_groups:
            if group["train_mode"]:
                group["kept_at_beta1"] = group["betas"][0]
                for p in group["params"]:
                    if "z" in self.state[p]:
                        self.state[p]["y"] = p.detach().clone()
        super().eval()

    @torch.no_grad()
    def train(self) -> None:
        """Put the training point into the parameters."""
        for group in self.param_groups:
            is_same = group.get("kept_at_beta1") == group["betas"][0]
            for p in group["params"]:
                kept = self.state[p].pop("y", None)
                if is_same and kept is not None:
                    p.copy_(kept)
            group["train_mode"] = group["train_mode"] or is_same
        super().train()
