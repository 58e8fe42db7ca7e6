"""The hook that a spec names to see each expert by itself: `general.hooks: [expert_shares]`."""

import logging
from typing import Any

from stlm.registry import component, hook

_log = logging.getLogger(__name__)


@component("hook", "expert_shares")
class ExpertShares:
    """Logs the share of a step's choices that fell on each expert of each mixture, as `expert_share/MODULE/NUMBER`."""

    @hook
    def training_starts(self, run: Any) -> None:
        """Say so where there is nothing to log."""
        from stlm_moe.nn.figures import mixtures

        if run.processes.is_main and not mixtures(run.model):
            _log.warning("`general.hooks` names `expert_shares`, but no part of this model is a `moe`")

    @hook
    def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
        """Add a number for each expert; those of a mixture add up to 1."""
        from stlm_moe.nn.figures import mixtures

        for path, mixture in mixtures(run.model).items():
            if mixture.seen is not None:
                shares = mixture.seen.shares.tolist()
                metrics.update({f"expert_share/{path}/{number}": share for number, share in enumerate(shares)})
