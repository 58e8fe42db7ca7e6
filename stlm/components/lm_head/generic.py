"""The language-model head."""

from typing import Any

from stlm.registry import choice, component, dropout_rate, option


@component("lm_head", "generic")
class GenericHead:
    """Norm, dropout and one linear map to the vocabulary (Radford et al., 2019)."""

    lm_head_normalization: Any = choice("norm", default="rms_norm", doc="Norm of the last hidden state.")
    lm_head_bias: bool = option(default=False, doc="Whether each token has a bias of its own.")
    lm_head_dropout: float = option(dropout_rate, default=0.0, doc="Dropout of the last hidden state, after its norm.")

    def build(self, model: Any) -> Any:
        """Build the head for the tokenizer's vocabulary."""
        from stlm.nn.head import LMHead

        return LMHead(
            model.hidden_dim,
            model.tokenizer.vocab_size,
            norm=self.lm_head_normalization.build(model, model.hidden_dim),
            bias=self.lm_head_bias,
            dropout=self.lm_head_dropout,
        )
