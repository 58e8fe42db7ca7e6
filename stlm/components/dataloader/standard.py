"""The loader of whole windows."""

from typing import Any

from stlm.registry import component


@component("dataloader", "standard")
class StandardLoader:
    """Batches of windows of ``context_window`` tokens; the batch of a step depends on the step alone."""

    def build(self, trainer: Any, tokens: Any, sampling: Any, context_window: int) -> Any:
        """Make the loader of a token file."""
        from stlm.data.serving.loader import WindowLoader

        return WindowLoader(tokens, sampling, context_window, trainer.batch_size, trainer.gradient_accumulation_steps)
