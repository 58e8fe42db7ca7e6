"""Patches: the core sees one vector for several tokens, and the head makes tokens of them again."""

from typing import Any

from stlm.registry import at_least, block, choice, component, option, rule


@component("embedding", "patches")
class PatchEmbedding:
    """Tokens, best of all bytes, joined to patches of a fixed size (MegaByte: Yu et al., 2023; arXiv:2305.07185)."""

    patch_size: int = option(at_least(2), doc="Number of tokens in a patch.")

    @rule("embedding_model_type", "model.lm_head_type")
    def the_head_makes_tokens_again(embedding_model_type: str, lm_head_type: str) -> str | None:
        """The head is the one that takes patches apart."""
        if lm_head_type.partition("@")[0] != "patches":
            return f"`{embedding_model_type}` joins tokens, which head `{lm_head_type}` cannot undo; choose `patches`"
        return None

    def build(self, model: Any) -> Any:
        """Build the embedder for the tokenizer's vocabulary."""
        from stlm_acid.nn.patches import PatchEmbedder

        return PatchEmbedder(model.tokenizer.vocab_size, model.hidden_dim, self.patch_size)


@component("lm_head", "patches")
class PatchHead:
    """A head that predicts each token from the latest whole patch and the tokens since (Yu et al., 2023)."""

    local_attn: Any = block("attention", type_key="attn_type", doc="The attention among the tokens of one patch.")
    lm_head_normalization: Any = choice("norm", default="rms_norm", doc="Norm of the last hidden state.")

    @rule("lm_head_type", "model.embedding_model_type")
    def there_are_patches(lm_head_type: str, embedding_model_type: str) -> str | None:
        """The embedder is the one that joins tokens to patches."""
        if embedding_model_type.partition("@")[0] != "patches":
            return f"`{lm_head_type}` takes patches apart, but embedder `{embedding_model_type}` makes none"
        return None

    @rule("model.local_attn.attn_type", "model.attn.attn_type")
    def tokens_see_no_further_than_patches(local: str, between_patches: str) -> str | None:
        """Where the core is causal, so is the attention within a patch."""
        if local == "bidirectional" != between_patches:
            return f"`{local}` shows tokens what follows them, which core attention `{between_patches}` does not"
        return None

    def build(self, model: Any) -> Any:
        """Build the head for the tokenizer's vocabulary and the embedder's patches."""
        from stlm_acid.nn.patches import PatchLMHead

        return PatchLMHead(
            model.hidden_dim,
            model.tokenizer.vocab_size,
            patch_size=model.embedding_model.patch_size,
            local=self.local_attn.build(model),
            norm=self.lm_head_normalization.build(model, model.hidden_dim),
        )
