"""The token embedding."""

from typing import Any

from stlm.registry import component, dropout_rate, option


@component("embedding", "generic")
class GenericEmbedding:
    """A trained vector for each token, with `torch.nn.Embedding` (Bengio et al., 2003)."""

    embedding_weight_tying: bool = option(
        default=True, doc="Whether the head uses the same matrix (Press and Wolf, 2017; arXiv:1608.05859)."
    )
    embedding_dropout: float = option(
        dropout_rate, default=0.0, doc="Dropout of embedded tokens, after positions are added."
    )

    def build(self, model: Any) -> Any:
        """Build the embedder for the tokenizer's vocabulary."""
        from stlm.nn.embedding import TokenEmbedding

        return TokenEmbedding(
            model.tokenizer.vocab_size,
            model.hidden_dim,
            tied=self.embedding_weight_tying,
            dropout=self.embedding_dropout,
        )
