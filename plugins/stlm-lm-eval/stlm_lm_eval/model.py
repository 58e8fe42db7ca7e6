"""A model of stlm's as the harness sees one: `--model stlm --model_args run=outputs/my-run,checkpoint=best`."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from stlm.evaluation.likelihood import score_requests
from stlm.evaluation.requests import Opening, Request, encode_pairs
from stlm.evaluation.subject import Subject
from stlm.experiments.evaluate import load_model
from stlm.spec.errors import UsageError
from stlm.spec.suggest import nearest

_TEXTS_AT_ONCE = 32
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
_GIVEN_BY_HARNESS = ("batch_size", "max_batch_size", "trust_remote_code")
"""What the harness passes to every model, and means nothing here: batches are made by the tokens in them."""
_MAX_NEW_TOKENS = 256


class StlmLM(TemplateLM):
    """Answers the harness's requests by stlm's own scoring and generation.

    An empty context is an end of text, and nothing else is put before a text or behind it, as in training; for a model
    that others published, scoring puts there what its tokenizer's files say. What is longer than the context window
    loses its beginning. ``run`` is a run's folder, a checkpoint, or a Hugging Face folder; ``checkpoint`` is `latest`,
    `best` or a name such as `step-100`.
    """

    def __init__(self, run: str = "", checkpoint: str | None = None, device: str | None = None, **more: Any) -> None:
        super().__init__()
        if strange := [name for name in more if name not in _GIVEN_BY_HARNESS]:
            known = ("run", "checkpoint", "device")
            help_lines = nearest(strange[0], known) or (f"there are {', '.join(f'`{name}`' for name in known)}",)
            raise UsageError("; ".join((f"`--model_args {strange[0]}` is no argument of an stlm model", *help_lines)))
        if not run:
            raise UsageError("`--model_args run=FOLDER` must name the run, the checkpoint or the Hugging Face folder")
        self.run = load_model(str(run), None if checkpoint is None else str(checkpoint), device or "auto")
        self.subject = Subject.of(self.run.program, self.run.tokenizer)
        self.opening = self.subject.opening or Opening.of(self.run.tokenizer)
        self._device = self.run.program.device

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None) -> "StlmLM":
        """Make a model of `--model_args`, which win over the harness's own options (`--device`)."""
        given = {key: value for key, value in (additional_config or {}).items() if value is not None}
        return cls(**{**given, **arg_dict})

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.run.tokenizer.eot_id)

    @property
    def prefix_token_id(self) -> int:
        """The token that stands before a text that has nothing before it."""
        return int(self.opening.alone[-1])

    @property
    def max_length(self) -> int:
        """Tokens that the model sees at most."""
        return int(self.subject.context_window)

    @property
    def tokenizer_name(self) -> str:
        """What tells the tokenizer apart from others, for the harness's caches."""
        return str(self.run.tokenizer.fingerprint)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Encode a text; the tokenizer puts nothing before or behind it, whatever is asked."""
        encoded: list[int] = self.run.tokenizer.encode_batch([string])[0]
        return encoded

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Score (context, continuation) pairs: the log-likelihood in nats, and whether greedy decoding gives it."""
        pairs = [request.args for request in requests]
        scored = self._score(encode_pairs(self.run.tokenizer, pairs, self.opening))
        for pair, answer in zip(pairs, scored, strict=True):
            self.cache_hook.add_partial("loglikelihood", pair, answer)
        return scored

    def _loglikelihood_tokens(
        self, requests: Iterable[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        return self._score([Request(context, continuation) for _, context, continuation in requests])

    def _score(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        return [(scored.log_likelihood, scored.greedy) for scored in score_requests(self.subject, requests)]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Score whole texts, each token once, by the harness's rule for texts longer than the window.

        The first token follows what stands for an empty context. Windows lie side by side, and each token sees what is
        before it in its own; the last window is full, and only its new tokens are scored.
        """
        texts = [request.args[0] for request in requests]
        windows = [self._windows(ids) for ids in self.run.tokenizer.encode_batch(texts)]
        scored = iter(self._score([window for some in windows for window in some]))
        totals = [sum(next(scored)[0] for _ in some) for some in windows]
        for text, total in zip(texts, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), total)
        return totals

    def _windows(self, token_ids: list[int]) -> list[Request]:
        room = self.max_length - int(self.subject.sees_answers)  # there the last token of a window is read too
        cut = get_rolling_token_windows(token_ids, self.prefix_token_id, max_seq_len=room, context_len=1)
        return [Request(*make_disjoint_window(window)) for window in cut]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Go on from each context until one of its stop strings, an end of text, or as many tokens as it may have.

        A prompt longer than the window loses its beginning, and of a text that outgrows it the second half is kept.
        """
        texts = [""] * len(requests)
        for kwargs, numbers in self._alike(requests):
            how = normalize_gen_kwargs(kwargs, _MAX_NEW_TOKENS)
            sampling = {name: how[name] for name in _SAMPLING if name in how}
            sampling |= {} if how["do_sample"] else {"temperature": 0.0}
            stop = [string for string in how["until"] if string]
            prompts = [requests[number].args[0] for number in numbers]
            made = self.run.generate(prompts, max_new_tokens=how["max_gen_toks"], stop=stop, **sampling)
            for number, text in zip(numbers, made, strict=True):
                texts[number] = text
                self.cache_hook.add_partial("generate_until", requests[number].args, text)
        return texts

    def _alike(self, requests: Sequence[Any]) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Group the numbers of requests that are generated in one way, longest prompts first, some at a time."""
        order = sorted(range(len(requests)), key=lambda n: (repr(requests[n].args[1]), -len(requests[n].args[0])))
        for _, group in groupby(order, key=lambda n: repr(requests[n].args[1])):
            numbers = list(group)
            for start in range(0, len(numbers), _TEXTS_AT_ONCE):
                some = numbers[start : start + _TEXTS_AT_ONCE]
                yield requests[some[0]].args[1], some
