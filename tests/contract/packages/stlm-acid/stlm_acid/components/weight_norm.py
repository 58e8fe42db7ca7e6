"""A hook that watches the weights grow."""

from typing import Any

from stlm.registry import component, hook, option


@component("hook", "weight_norm")
class WeightNorm:
    """Logs the norm of the weights after each step, as `weight_norm` in metrics.jsonl."""

    weight_norm_of: str = option(default="", doc="Only parameters whose name begins so; empty for all of them.")

    @hook
    def training_starts(self, run: Any) -> None:
        """End the run before it has cost anything, where there is nothing to watch."""
        if not self._watched(run):
            from stlm.spec import WorkError

            raise WorkError(f"`weight_norm_of` is `{self.weight_norm_of}`, and no parameter's name begins so")

    @hook
    def step_ends(self, run: Any, metrics: dict[str, float]) -> None:
        """Add the norm to the numbers of the step."""
        metrics["weight_norm"] = sum(float(p.detach().square().sum()) for p in self._watched(run)) ** 0.5

    def _watched(self, run: Any) -> list[Any]:
        return [p for name, p in run.model.named_parameters() if name.startswith(self.weight_norm_of)]
