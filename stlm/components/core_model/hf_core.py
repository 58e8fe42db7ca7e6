"""The transformer body of a model that is published on Hugging Face's hub."""

from pathlib import Path
from typing import Any, Literal

import attrs

from stlm.registry import NotAtHandError, component, is_named, matches, not_empty, option, provides, rule

_nameable = matches(
    r"(?=[\s\S]*\S)[^/\0]{0,255}(?:/[^/\0]{0,255})*",
    "a name that is not blank, of which no part between slashes is longer than 255 characters",
    " ",
)


def _width(name: str, revision: str | None) -> int | None:
    """Read the width of a published model from its `config.json`; None where it is not at hand, or does not say."""
    from stlm.interchange.published import Published
    from stlm.spec.errors import UsageError

    try:
        return Published(name, revision).width()
    except UsageError:  # told when the body is built
        return None


@component("core_model", "hf_core")
class HuggingFaceCore:
    """The body of any decoder or encoder that `transformers.AutoModel` loads, fed with our embeddings.

    Positions are the body's own, and so is the norm at its end, so that `lm_head_normalization: none` gives what the
    published model computes. The body's embedding, its pooler and its head are not part of it.
    """

    hf_model_name: str = option(_nameable, doc="A model of the hub (`owner/name`), or a folder with a `config.json`.")
    hf_revision: str | None = option(
        not_empty, default=None, doc="The hub's branch, tag or commit to take; where there is none, `main`."
    )
    freeze_core: bool = option(
        default=True, doc="Whether the body stays as it is: no gradient, no optimizer state, no dropout."
    )
    hf_load_weights: bool = option(
        default=True, doc="Whether the body starts from its published weights, or only has their shapes."
    )
    hf_load_embeddings: bool = option(
        default=False,
        doc="Whether the published embedding and head are taken as well: the whole model, ready to be fine-tuned.",
    )
    hf_trust_remote_code: bool = option(
        default=False, doc="Whether Python code that comes with the model may be run; never asked, only said here."
    )
    hf_dtype: Literal["float32", "bfloat16", "float16"] = option(
        default="float32", doc="Number format in which the body's weights are held, trained or not."
    )
    activation_checkpointing: Literal["none", "full"] = option(
        default="none",
        doc="Whether each layer of the body keeps only its input for the backward pass, which runs it again (`full`).",
    )

    _kept: Path | None = attrs.field(default=None, eq=False, repr=False)

    @provides("model.hidden_dim", "hf_model_name", "hf_revision")
    def width_of_the_body(hf_model_name: str, hf_revision: str | None) -> int | None:
        """the width that the `config.json` of `hf_model_name` says"""
        from stlm.interchange.published import CONFIG, Published
        from stlm.spec.errors import UsageError

        source = Published(hf_model_name, hf_revision)
        if source.find(CONFIG) is None:
            raise NotAtHandError(f"the model would say it in its `{CONFIG}`: {source.how_to_get(CONFIG)}")
        try:
            width = source.width()
        except UsageError as error:
            raise NotAtHandError(str(error)) from error
        if width is None:
            raise NotAtHandError(f"`{source.find(CONFIG)}` says no width under any name that is known")
        return width

    @rule("model.hidden_dim", "hf_model_name", "hf_revision")
    def widths_agree(hidden_dim: int, hf_model_name: str, hf_revision: str | None) -> str | None:
        """`hidden_dim` is the width that the body has, where its `config.json` is at hand to say it."""
        width = _width(hf_model_name, hf_revision)
        if width is None or width == hidden_dim:
            return None
        return f"`hidden_dim` is {hidden_dim}, but the body of `{hf_model_name}` is {width} wide; leave the key out"

    @rule("hf_revision", "hf_model_name")
    def a_folder_has_no_revisions(hf_revision: str | None, hf_model_name: str) -> str | None:
        """`hf_revision` goes with a model of the hub."""
        from stlm.interchange.published import Published

        if hf_revision is None or Published(hf_model_name).folder is None:
            return None
        return f"`hf_model_name` is a folder, `{hf_model_name}`, which has no revision; leave `hf_revision` out"

    @rule("model.positional_encoding_type")
    def positions_are_the_bodys_own(positional_encoding_type: str) -> str | None:
        """`positional_encoding_type` is `none`, for the body brings its own positions."""
        if is_named(positional_encoding_type, "none"):
            return None
        return (
            f"`positional_encoding_type` is `{positional_encoding_type}`, but the body brings its own positions; "
            "it must be `none`"
        )

    @rule("hf_load_embeddings", "hf_load_weights")
    def a_whole_model_has_weights(hf_load_embeddings: bool, hf_load_weights: bool) -> str | None:
        """`hf_load_embeddings` goes with `hf_load_weights`."""
        if hf_load_embeddings and not hf_load_weights:
            return "`hf_load_embeddings` takes the whole published model, so `hf_load_weights` must be true"
        return None

    @rule("model.lm_head_normalization", "hf_load_embeddings")
    def the_last_norm_is_the_bodys(lm_head_normalization: str, hf_load_embeddings: bool) -> str | None:
        """With `hf_load_embeddings`, `lm_head_normalization` is `none`, for the body ends with a norm of its own."""
        if not hf_load_embeddings or is_named(lm_head_normalization, "none"):
            return None
        return (
            f"`lm_head_normalization` is `{lm_head_normalization}`, but with `hf_load_embeddings` the head reads what "
            "the body's own last norm gives; it must be `none`"
        )

    def kept_in(self, folder: Path) -> "HuggingFaceCore":
        """Return the same body of the files that a run keeps of it; as it is where the run was of another model."""
        source = self._source.kept_in(folder)
        return self if source is None else attrs.evolve(self, kept=source.kept)

    def fetch(self, *, weights: bool) -> None:
        """Download what is missing of the model, once: before the network is built on a real device."""
        self._source.fetch(weights=weights and self.hf_load_weights, code=self.hf_trust_remote_code)

    def build(self, model: Any) -> Any:
        """Build the body's shapes, without its embedding."""
        from stlm.interchange.body import HuggingFaceBody, Wishes

        wishes = Wishes(
            load_weights=self.hf_load_weights,
            load_embeddings=self.hf_load_embeddings,
            frozen=self.freeze_core,
            dtype=self.hf_dtype,
            recompute=self.activation_checkpointing == "full",
            trust_remote_code=self.hf_trust_remote_code,
        )
        body = HuggingFaceBody(self._source, wishes)
        body.require_room(model.hidden_dim, model.context_window)
        if body.ends is not None:
            body.ends.require(
                self._source,
                model.tokenizer.vocab_size,
                tied=getattr(model.embedding_model, "embedding_weight_tying", False),
                bias=getattr(model.lm_head, "lm_head_bias", True),
            )
        return body

    @property
    def _source(self) -> Any:
        from stlm.interchange.published import Published

        return Published(self.hf_model_name, self.hf_revision, self._kept)
