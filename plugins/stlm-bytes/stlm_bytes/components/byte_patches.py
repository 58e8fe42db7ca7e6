"""Patches of bytes: the core sees one vector for several bytes, and the head makes bytes of them again."""

from typing import Any

from stlm.registry import at_least, between, choice, component, derived, dropout_rate, is_named, option, positive, rule

NAME = "byte_patches"


@component("embedding", NAME)
class BytePatchEmbedding:
    """Bytes joined to patches of a fixed size, which the core sees (MegaByte: Yu et al., 2023; arXiv:2305.07185)."""

    patch_size: int = option(at_least(2), doc="Number of bytes in a patch.")
    embedding_weight_tying: bool = option(
        default=True, doc="Whether the head uses the matrix of the bytes' vectors (arXiv:1608.05859)."
    )
    embedding_dropout: float = option(
        dropout_rate, default=0.0, doc="Dropout of embedded patches, after positions are added."
    )

    @rule("embedding_model_type", "model.lm_head_type")
    def the_head_makes_bytes_again(embedding_model_type: str, lm_head_type: str) -> str | None:
        """The head is the one that takes patches apart."""
        if is_named(lm_head_type, NAME):
            return None
        return (
            f"`{embedding_model_type}` joins bytes, which head `{lm_head_type}` cannot undo; "
            f"choose `lm_head_type: {NAME}`"
        )

    @rule("patch_size", "model.context_window")
    def a_patch_fits(patch_size: int, context_window: int) -> str | None:
        """There is at least one whole patch in a window."""
        if patch_size <= context_window:
            return None
        return f"a patch of {patch_size} bytes is longer than the `context_window` of {context_window}"

    def build(self, model: Any) -> Any:
        """Build the embedder; the bytes' vectors are as wide as the head's local network."""
        from stlm_bytes.nn.embedder import BytePatchEmbedder

        return BytePatchEmbedder(
            model.tokenizer.vocab_size,
            model.hidden_dim,
            patch_size=self.patch_size,
            byte_dim=model.lm_head.local_dim,
            tied=self.embedding_weight_tying,
            dropout=self.embedding_dropout,
        )


@component("lm_head", NAME)
class BytePatchHead:
    """A small transformer that predicts each byte from the patches before its own and the bytes of its own so far.

    Its blocks are causal self-attention and a SiLU-gated feed-forward network, within one patch (Yu et al., 2023).
    """

    local_layers: int = option(between(1, 1_000), doc="Number of blocks of the local transformer.")
    local_dim: int = option(positive, doc="Its width, and that of the bytes' vectors.")
    local_num_heads: int = option(positive, doc="Its attention heads; a number that divides `local_dim`.")
    local_ffn_dim: int = option(
        positive,
        default=derived(lambda local_dim: 3 * local_dim, "local_dim", says="3 · `local_dim`"),
        doc="Inner width of its feed-forward networks.",
    )
    lm_head_normalization: Any = choice(
        "norm", default="rms_norm", doc="Norm of the core's last state, of the local blocks, and of what they end in."
    )
    lm_head_bias: bool = option(default=False, doc="Whether each byte has a bias of its own.")
    lm_head_dropout: float = option(dropout_rate, default=0.0, doc="Dropout of the last local state, after its norm.")

    @rule("lm_head_type", "model.embedding_model_type")
    def there_are_patches(lm_head_type: str, embedding_model_type: str) -> str | None:
        """The embedder is the one that joins bytes to patches."""
        if is_named(embedding_model_type, NAME):
            return None
        return (
            f"`{lm_head_type}` takes patches apart, but embedder `{embedding_model_type}` makes none; choose `{NAME}`"
        )

    @rule("local_num_heads", "local_dim")
    def heads_divide_evenly(local_num_heads: int, local_dim: int) -> str | None:
        """The local width splits evenly among its heads."""
        if local_dim % local_num_heads == 0:
            return None
        return f"`local_dim` {local_dim} cannot be split evenly among {local_num_heads} heads"

    def build(self, model: Any) -> Any:
        """Build the head for the tokenizer's vocabulary and the embedder's patches."""
        from stlm_bytes.nn.head import BytePatchLMHead

        return BytePatchLMHead(
            model.hidden_dim,
            model.tokenizer.vocab_size,
            patch_size=model.embedding_model.patch_size,
            layers=self.local_layers,
            local_dim=self.local_dim,
            num_heads=self.local_num_heads,
            ffn_dim=self.local_ffn_dim,
            norm=lambda dim: self.lm_head_normalization.build(model, dim),
            bias=self.lm_head_bias,
            dropout=self.lm_head_dropout,
        )
