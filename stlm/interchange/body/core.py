"""The body of a published model as a core: what it computes, how it starts, what it costs."""

import inspect
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from stlm.interchange.body import cost
from stlm.interchange.body.ends import Ends, hand_over, require_same_logits
from stlm.interchange.body.loading import (
    is_language_model,
    load_model,
    make_model,
    quiet,
    read_config,
    stripped,
    without_dropout,
)
from stlm.interchange.body.shape import first_position, is_causal, makes_masks, most_positions
from stlm.interchange.body.start import copy_tensors, start_fresh
from stlm.interchange.published import Published
from stlm.nn.context import Context
from stlm.nn.initialize import Scheme
from stlm.spec.errors import UsageError, WorkError

_log = logging.getLogger(__name__)


@attrs.frozen
class Wishes:
    """What is to become of a published model."""

    load_weights: bool = True
    load_embeddings: bool = False
    frozen: bool = True
    dtype: str = "float32"
    recompute: bool = False
    trust_remote_code: bool = False


@dataclass
class BodyState:
    """What a body remembers during generation: transformers' own cache, and the segments of the tokens so far."""

    cache: Any
    length: int = 0
    segments: Tensor | None = None

    def extend(self, segments: Tensor | None, batch: int, seq: int, device: torch.device) -> Tensor | None:
        """Take note of ``seq`` more tokens, and return the segments (batch, length) of all, None where none were told.

        As in our own attention, tokens of which nothing is told are of segment 0.
        """
        if segments is not None or self.segments is not None:
            before = torch.zeros(batch, self.length, dtype=torch.long, device=device)
            new = torch.zeros(batch, seq, dtype=torch.long, device=device) if segments is None else segments
            self.segments = torch.cat((before if self.segments is None else self.segments, new), dim=1)
        self.length += seq
        return self.segments


class HuggingFaceBody(nn.Module):
    """What `transformers.AutoModel` makes of a published config, without its token embedding.

    Shape: (batch, seq, hidden) -> the same, in the dtype of ``x``; inside, the body works in its own. Made on the meta
    device; `initialize` fills it. Frozen, it has no trainable parameter and stays in evaluation mode, and gradients
    pass through it to what is before it.
    """

    def __init__(self, source: Published, wishes: Wishes) -> None:
        super().__init__()
        self.source, self.wishes = source, wishes
        self._files = source.small_files(code=wishes.trust_remote_code)
        self.config = read_config(source, trust_remote_code=wishes.trust_remote_code)
        if wishes.frozen:
            without_dropout(self.config)
        if wishes.load_embeddings and not is_language_model(self.config):
            message = f"`{source.name}` is no causal language model, so it has no head to load"
            raise UsageError(message, key="hf_load_embeddings")
        with quiet(source):
            model = self._make(whole=wishes.load_embeddings)
        self.ends = Ends.of(model) if wishes.load_embeddings else None
        body = model.base_model if wishes.load_embeddings else model
        self._takes = _parameters(body.forward)
        if "inputs_embeds" not in self._takes:
            raise source.mistake(f"`{source.name}` ({type(body).__name__}) cannot be fed with embeddings of ours")
        self.width: int = body.get_input_embeddings().embedding_dim
        self.body = stripped(body)
        self.causal = is_causal(self.body, self.config)
        self.first_position = first_position(self.body)
        self._whole: list[Any] = []  # the published model, from `initialize` to `complete`; no part of this module
        if wishes.frozen:
            self.body.requires_grad_(False)
        if wishes.recompute:
            self._recompute()

    def _make(self, *, whole: bool) -> Any:
        dtype = getattr(torch, self.wishes.dtype)
        return make_model(self.config, dtype, whole=whole, trust_remote_code=self.wishes.trust_remote_code)

    def _recompute(self) -> None:
        if not getattr(self.body, "supports_gradient_checkpointing", False):
            raise UsageError(
                f"`{self.source.name}` ({type(self.body).__name__}) cannot recompute its layers",
                key="activation_checkpointing",
            )
        enable = getattr(self.body, "activation_checkpointing_enable", None) or self.body.gradient_checkpointing_enable
        enable({"use_reentrant": False})

    # What is asked of the rest of the network

    def require_room(self, hidden_dim: int, context_window: int) -> None:
        """Check the network's width and longest sequence. Raises `UsageError` at the key that does not fit."""
        gives = getattr(self.config, "word_embed_proj_dim", None) or self.config.hidden_size
        if self.width != gives:
            raise self.source.mistake(
                f"the body of `{self.source.name}` is fed with vectors of {self.width} and gives vectors of {gives}; "
                "only one whose width stays can be used"
            )
        if hidden_dim != self.width:
            message = f"`hidden_dim` is {hidden_dim}, but the body of `{self.source.name}` is {self.width} wide"
            raise UsageError(message, key="model.hidden_dim")
        most = most_positions(self.body, self.config)
        if most is not None and context_window > most:
            raise UsageError(
                f"`context_window` is {context_window}, but the body of `{self.source.name}` has {most} positions",
                key="model.context_window",
            )

    # What it computes

    @property
    def dtype(self) -> torch.dtype:
        """The number format in which the body is fed."""
        return next(p.dtype for p in self.body.parameters() if p.is_floating_point())

    def forward(self, x: Tensor, context: Context, state: BodyState | None = None) -> Tensor:
        """Shape: (batch, seq, hidden) -> the same; with a ``state``, what it holds is attended to as well."""
        inputs = x.to(self.dtype)
        told: dict[str, Any] = {"inputs_embeds": inputs}
        if "position_ids" in self._takes:
            told["position_ids"] = context.positions.expand(len(x), -1) + self.first_position
        if "use_cache" in self._takes:
            told["use_cache"] = state is not None
        segments = context.segments
        if state is not None:
            told[self._cache_word] = state.cache
            segments = state.extend(segments, len(x), x.shape[1], x.device)
        if segments is not None:
            told["attention_mask"] = self._mask(inputs, segments, None if state is None else state.cache)
        return self.body(**told)[0].to(x.dtype)

    @property
    def _cache_word(self) -> str:
        return "cache" if "cache" in self._takes else "past_key_values"

    def _mask(self, inputs: Tensor, segments: Tensor, cache: Any) -> Any:
        """Let transformers make its masks, a kind for each kind of layer, narrowed to pairs of one segment."""
        from transformers import masking_utils

        if "position_ids" not in self._takes or not makes_masks(self.body):
            raise WorkError(f"the body of `{self.source.name}` cannot keep the parts of a sequence apart (`segments`)")

        def of_one_segment(batch: Any, _: Any, query: Any, key: Any) -> Any:
            return segments[batch, query] == segments[batch, key]

        told = {"config": self.config, "inputs_embeds": inputs, "attention_mask": None}
        told["and_mask_function"] = of_one_segment
        if self.causal:
            make = masking_utils.create_masks_for_generate
            return make(**told, **{"cache" if "cache" in _parameters(make) else "past_key_values": cache})
        whole = masking_utils.create_bidirectional_mask(**told)
        kinds = set(getattr(self.config, "layer_types", None) or ())
        if not kinds:
            return whole
        makers = {"sliding_attention": masking_utils.create_bidirectional_sliding_window_mask}
        return {kind: makers[kind](**told) if kind in makers else whole for kind in kinds}

    def init_state(self, batch: int, max_tokens: int, device: torch.device, dtype: torch.dtype) -> BodyState | None:
        """Make an empty state; None where a token also sees what follows it, so that nothing could be kept."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        if not self.causal or not self._takes & {"cache", "past_key_values"}:
            return None
        cache = DynamicCache(config=self.config)
        if not all(isinstance(layer, DynamicLayer) for layer in cache.layers):
            return None  # a recurrent layer of transformers goes on by one token at a time only
        return BodyState(cache)

    def train(self, mode: bool = True) -> "HuggingFaceBody":
        """Change the mode; a frozen body stays in evaluation mode."""
        super().train(mode)
        if self.wishes.frozen:
            self.body.eval()
            for module in self.body.modules():  # transformers recomputes a layer where it is in training mode
                if self.wishes.recompute and hasattr(module, "_gradient_checkpointing_func"):
                    module.training = mode
        return self

    # How it starts

    def initialize(self, scheme: Scheme) -> None:
        """Load the published weights; what they do not hold starts as transformers starts it, then as ``scheme`` says.

        Raises `WorkError` where the files are not there, or not those of this body.
        """
        with quiet(self.source):
            if not self.wishes.load_weights:
                loaded, fresh = self._make(whole=False), {name for name, _ in self.body.named_parameters()}
            elif self.wishes.load_embeddings:
                loaded, fresh = self._load_whole(), set()
            else:
                loaded, fresh = self._load_body()
        copy_tensors(loaded, self.body)
        start_fresh(self.body, fresh, scheme)

    def _load(self, *, whole: bool) -> tuple[Any, set[str]]:
        dtype, trusted = getattr(torch, self.wishes.dtype), self.wishes.trust_remote_code
        return load_model(self.source, self.config, dtype, whole=whole, trust_remote_code=trusted)

    def _load_body(self) -> tuple[Any, set[str]]:
        model, missing = self._load(whole=False)
        names = {name for name, _ in self.body.named_parameters()}
        fresh = names & missing
        if fresh == names:
            raise WorkError(f"`{self.source.name}`: its files hold none of the weights of {type(self.body).__name__}")
        if fresh:
            _log.warning("`%s` lacks %s; they start anew", self.source.name, ", ".join(sorted(fresh)))
        return model, fresh

    def _load_whole(self) -> Any:
        model, missing = self._load(whole=True)
        lacking = sorted(missing & {name for name, _ in model.named_parameters()})
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            raise WorkError(f"`{self.source.name}` is no whole model: it lacks {', '.join(lacking[:3])}{more}")
        self._whole = [model]
        return model.base_model

    def fill_buffers(self) -> None:
        """Fill what no checkpoint holds (rotary frequencies), for trained weights are about to be loaded."""
        from transformers.initialization import no_init_weights

        with quiet(self.source), no_init_weights():
            made = self._make(whole=False)
        copy_tensors(made, self.body, parameters=False)

    def complete(self, network: Any) -> None:
        """Give the published embedding and head to the network, and check that it computes what transformers computes.

        Raises `UsageError` where it cannot: where the published model does more between them than add the body.
        """
        if not self._whole:
            return
        model = self._whole.pop()
        hand_over(model, network)
        seq = min(8, most_positions(self.body, self.config) or 8)
        require_same_logits(self.source, model, network, seq, self.dtype)

    def keep(self, folder: Path) -> None:
        """Write what it was made of into a checkpoint's folder, as it was then."""
        self.source.keep(folder, self._files)

    # What it costs

    def flops_per_token(self, seq_len: int) -> float:
        """Count the matrices, and scores and sums of attention."""
        return cost.flops_per_token(self.body, self.config, seq_len, causal=self.causal)

    def active_elements(self) -> Any:
        """Yield parameters with the elements that a token uses; of experts, those that it is sent to."""
        return cost.active_elements(self.body, self.config)

    def saved_bytes_per_token(self, seq_len: int, width: int) -> float:
        """Estimate what a token leaves behind for the backward pass; a narrow body works in no wider format."""
        stream = self.dtype.itemsize
        width, recompute = min(width, stream), self.wishes.recompute
        return cost.saved_bytes_per_token(self.body, self.config, seq_len, width, stream, recompute=recompute)


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)
