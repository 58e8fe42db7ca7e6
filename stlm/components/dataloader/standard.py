"""The loader of whole windows."""

from typing import Any

from stlm.registry import component


@component("dataloader", "standard")
class StandardLoader:
    """Batches of windows of ``context_window`` tokens; the batch of a step depends on the step alone."""

    def build(self, trainer: Any, tokens: Any, sampling: Any, context_window: int) -> Any:
        """Make the loader of a stream of tokens, with the documents apart and the targets that the trainer asks for."""
        from stlm.data.serving.loader import WindowLoader, asked_by

        return WindowLoader(
            tokens,
            sampling,
            context_window,
            trainer.batch_size,
            trainer.gradient_accumulation_steps,
            **asked_by(trainer),
        )
