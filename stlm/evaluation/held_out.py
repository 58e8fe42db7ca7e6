"""Held-out data, which the trainer never sees: the loss on it, and how well its text is modelled."""

import itertools
import math
from typing import Any

import attrs
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.serving.loader import iterate_windows
from stlm.data.serving.tokens import TokenFile
from stlm.evaluation.subject import Subject
from stlm.evaluation.text_modeling import TextModeling, TokenBytes
from stlm.training.losses import prepare_batch


@attrs.frozen
class HeldOut:
    """The tokens, the loss, and how much is measured: at most ``max_batches``, their text only where it is asked."""

    tokens: TokenFile
    loss: Any
    batch_size: int
    max_batches: int
    with_text: bool = True
    unigram_loss: float | None = None

    @classmethod
    def of(cls, data: Any, trainer: Any, loss: Any) -> "HeldOut":
        """Take the held-out tokens of prepared data, and as much of them as a trainer's ``eval`` says."""
        return cls(
            data.val,
            loss,
            trainer.batch_size,
            max_batches=trainer.eval.dataset_loss_eval_iters,
            with_text=trainer.eval.text_modeling_eval,
            unigram_loss=data.unigram_loss,
        )


def measure_held_out(subject: Subject, held_out: HeldOut) -> dict[str, dict[str, float]]:
    """Return ``dataset_loss`` and ``text_modeling``, each absent where it was not asked for or there is nothing.

    Both are measured in one pass. The batches are the first ones of the tokens in order, so they are the same at every
    evaluation, and a loss that draws random numbers draws the same ones each time. Where the loss takes the batches as
    they are, the model reads each once; where it changes them, the text is read by itself.
    """
    bytes_of = TokenBytes(subject.tokenizer)
    loss, text = DatasetLoss(bytes_of), TextModeling(bytes_of)
    model, window = subject.model, subject.context_window
    with subject.looked_at():
        batches = itertools.islice(iterate_windows(held_out.tokens, window, held_out.batch_size), held_out.max_batches)
        for index, plain in enumerate(batches):
            subject.check()
            batch = prepare_batch(held_out.loss, plain, subject.tokenizer, subject.seed, "held-out", index)
            here = batch.to(subject.device)
            states = _states(model, here)
            loss_sum, count = held_out.loss(states, model.head, here)
            loss.add(loss_sum, count, batch)
            if held_out.with_text:
                states = states if batch is plain else _states(model, plain.to(subject.device))
                text.add(model.head, states, plain)
    results = {"dataset_loss": loss.numbers(), "text_modeling": text.numbers()}
    if results["dataset_loss"] and held_out.unigram_loss is not None:
        results["dataset_loss"]["unigram_loss"] = held_out.unigram_loss
    return {name: numbers for name, numbers in results.items() if numbers}


def _states(model: Any, batch: Batch) -> Tensor:
    states: Tensor = model.token_states(batch.token_ids, segments=batch.segments)[0]
    return states


class DatasetLoss:
    """The mean ``loss`` in nats a counted token, ``perplexity`` and ``bits_per_byte``.

    Each batch is weighted by its number of counted tokens. The bits are those of all counted tokens, ends of documents
    included, over the bytes that these tokens stand for; `TextModeling` has those of the text alone.
    """

    def __init__(self, bytes_of: TokenBytes) -> None:
        self.bytes_of = bytes_of
        self.nats, self.counted, self.bytes = 0.0, 0.0, 0

    def add(self, loss_sum: Tensor, count: Tensor, batch: Batch) -> None:
        """Count the loss of one batch, summed over ``count`` tokens."""
        self.nats += float(loss_sum)
        self.counted += float(count)
        self.bytes += int(self.bytes_of(batch.targets[batch.targets != IGNORE].numpy()).sum())

    def numbers(self) -> dict[str, float]:
        """Return the numbers; nothing where no token counted."""
        if not self.counted:
            return {}
        mean = self.nats / self.counted
        numbers = {"loss": mean, "perplexity": math.exp(min(mean, 700.0))}
        return numbers | ({"bits_per_byte": self.nats / math.log(2) / self.bytes} if self.bytes else {})
