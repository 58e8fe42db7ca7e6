"""What tests ask of a run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stlm.experiments.run import Run


def losses(run: "Run") -> list[float]:
    """Return the losses of the steps that a run has logged, in their order; with a ``log_interval`` of 1, of all."""
    return [line["loss"] for line in run.metrics if line["split"] == "train"]
