"""The order of samples in plain pre-training."""

from typing import Any

from stlm.registry import component


@component("datasampling", "standard")
class StandardSampling:
    """Every window once an epoch, each epoch in a random order of its own, drawn from the seed."""

    def build(self, trainer: Any, num_windows: int, seed: int) -> Any:
        """Make the order of ``num_windows`` windows."""
        from stlm.data.serving.sampling import ShuffledEpochs

        return ShuffledEpochs(num_windows, seed)
