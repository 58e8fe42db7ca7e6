"""The standard shell: embedder, core, head, in that order."""

from typing import Any

from stlm.registry import component


@component("model_shell", "standard")
class StandardShell:
    """Embedder, core and head in a row, the head tied to the embedder where that asks for it."""

    def build(self, model: Any) -> Any:
        """Build the parts that ``model`` chose, and join them."""
        from stlm.nn.shell import ModelShell

        return ModelShell(
            model.embedding_model.build(model),
            model.core_model.build(model),
            model.lm_head.build(model),
            model.positional_encoding.build(model),
        )
