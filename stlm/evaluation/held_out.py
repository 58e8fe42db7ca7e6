"""Held-out data, which the trainer never sees: the loss on it, and how well its text is modelled."""

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import attrs
import torch
from torch import Tensor

from stlm.data.serving.batch import IGNORE, Batch
from stlm.data.serving.blend import TokenBlend, interleaved
from stlm.data.serving.loader import asked_by, iterate_windows
from stlm.data.serving.tokens import TokenStream
from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.evaluation.dealing import dealt
from stlm.evaluation.subject import Subject
from stlm.evaluation.text_modeling import MAX_HIDDEN, TextCounts, TextModeling
from stlm.evaluation.unigram import Unigram
from stlm.spec.seeds import derive_seed
from stlm.training.losses import prepare_batch, require_counted

_Task = tuple[int, tuple[str | None, Batch]]


@attrs.frozen
class HeldOut:
    """The tokens, the loss, and how much is measured: at most ``max_batches``, their text only where it is asked.

    ``unigram_loss`` is that of all tokens, known beforehand. Where the loss asks for some of them, ``train`` are the
    tokens from whose frequencies it is worked out for these.
    """

    tokens: TokenStream
    loss: Any
    batch_size: int
    max_batches: int
    with_text: bool = True
    unigram_loss: float | None = None
    train: TokenStream | TokenBlend | None = None
    document_masking: bool = False
    completions_only: bool = False

    def batches(self, context_window: int) -> Iterator[tuple[str | None, Batch]]:
        """Give the batches in a fixed order, with the name of the data set where there are several.

        Data sets take turns by their weights, each from its start, until all are exhausted or enough is measured.
        """
        blend = self.tokens if isinstance(self.tokens, TokenBlend) else None
        streams = (self.tokens,) if blend is None else blend.streams
        options = {"document_masking": self.document_masking, "completions_only": self.completions_only}
        each = [iterate_windows(stream, context_window, self.batch_size, **options) for stream in streams]
        turns = interleaved((1.0,) if blend is None else blend.weights, each)
        for number, batch in itertools.islice(turns, self.max_batches):
            yield None if blend is None else blend.names[number], batch

    @classmethod
    def of(cls, data: Any, trainer: Any, loss: Any) -> "HeldOut":
        """Take the held-out tokens of prepared data as a trainer takes its own, and as much as its ``eval`` says."""
        asked = asked_by(trainer)
        asks_for_all = not hasattr(loss, "prepare") and not asked["completions_only"]
        return cls(
            data.val,
            loss,
            trainer.batch_size,
            max_batches=trainer.eval.dataset_loss_eval_iters,
            with_text=bool(trainer.eval.text_modeling_eval),
            unigram_loss=data.unigram_loss if asks_for_all else None,
            train=data.train,
            **asked,
        )

    def num_batches(self, context_window: int) -> int:
        """Return how many batches are measured, about: the last ones of several data sets may not be full."""
        return min(self.max_batches, -(-len(self.tokens) // (self.batch_size * context_window)))

    def takes_all(self, context_window: int) -> bool:
        """Whether every held-out token is measured."""
        return len(self.tokens) <= self.max_batches * self.batch_size * context_window

    def share(self, context_window: int, most: int) -> float:
        """Return the share of all targets that makes ``most`` of them, 1 where there are fewer."""
        total = min(len(self.tokens), self.max_batches * self.batch_size * context_window)
        return min(1.0, most / max(total, 1))


def measure_held_out(
    subject: Subject, held_out: HeldOut, told: Callable[[int, int], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Return ``dataset_loss`` and ``text_modeling``, each absent where it was not asked for or there is nothing.

    Both are measured in one pass, whose batches the subject's processes take in turns. The batches are the first ones
    of the tokens in order, so they are the same at every evaluation, and a loss that draws random numbers draws the
    same ones each time. Where the loss takes the batches as they are, the model reads each once; where it changes them,
    the text is read by itself. From a model that sees what follows, the text's tokens are hidden one by one,
    `MAX_HIDDEN` at most: then all batches are done a second time. ``told`` is given how many are done, of how many.
    """
    bytes_of, window = TokenBytes(subject.tokenizer), subject.context_window
    known = held_out.unigram_loss is not None and held_out.takes_all(window)
    train = None if known else held_out.train
    unigram = None if train is None else Unigram(train, subject.tokenizer.vocab_size)
    loss, text = DatasetLoss(bytes_of, unigram), TextModeling(bytes_of)
    hides, share = held_out.with_text and subject.sees_answers, held_out.share(window, MAX_HIDDEN)
    reads, total = held_out.with_text and not hides, held_out.num_batches(window)
    hidden: list[tuple[Batch, Tensor]] = []

    def measured(task: _Task) -> tuple[LossCounts, TextCounts | None]:
        index, (name, plain) = task
        batch = prepare_batch(held_out.loss, plain, subject.tokenizer, subject.seed, "held-out", index)
        here = batch.to(subject.device)
        states = _states(subject.model, here)
        loss_sum, count = held_out.loss(states, subject.model.head, here)
        require_counted(held_out.loss, count, batch)
        counts = loss.of(loss_sum, count, batch, plain, name)
        if not reads:
            return counts, None
        states = states if batch is plain else _states(subject.model, plain.to(subject.device))
        return counts, text.of(subject.model.head, states, plain)

    with subject.looked_at():
        tasks = enumerate(held_out.batches(window))
        while some := list(itertools.islice(tasks, subject.processes.count)):
            for of_loss, of_text in dealt(subject, some, measured):
                loss.add(of_loss)
                if of_text is not None:
                    text.add(of_text)
            for index, (_, plain) in some if hides else ():
                drawing = torch.Generator().manual_seed(derive_seed(subject.seed, "text-modeling", index))
                drawn = text.drawn(plain, share, drawing)
                read = drawn.any(dim=1)
                hidden.append((plain.rows(read), drawn[read]))
            if told is not None:
                told(some[-1][0] + 1, total * (1 + hides))
        again = None if told is None else partial(_tell_again, told, total)
        for counts in text.of_hidden(subject, hidden, again):
            text.add(counts)
    results = {"dataset_loss": loss.numbers(), "text_modeling": text.numbers()}
    if results["dataset_loss"] and known:
        results["dataset_loss"]["unigram_loss"] = held_out.unigram_loss
    return {name: numbers for name, numbers in results.items() if numbers}


def _tell_again(told: Callable[[int, int], None], count: int, share: float) -> None:
    """Tell which share of the batches is done a second time."""
    told(count + int(share * count), 2 * count)


def _states(model: Any, batch: Batch) -> Tensor:
    states: Tensor = model.token_states(batch.token_ids, positions=batch.positions, segments=batch.segments)[0]
    return states


@attrs.frozen
class LossCounts:
    """What was counted of a batch of the data set ``name``: the loss, summed over ``counted`` tokens, and bytes."""

    name: str | None
    nats: float
    counted: float
    bytes: int
    unigram_nats: float


class DatasetLoss:
    """The mean ``loss`` in nats a counted token, ``perplexity`` and ``bits_per_byte``.

    Each batch is weighted by its number of counted tokens. The bits are those of all counted tokens, ends of documents
    included, over the bytes that these tokens stand for; `TextModeling` has those of the text alone. Where there are
    several data sets, ``loss/NAME`` is the mean loss of one. ``unigram_loss`` is that of a model which knows only how
    often each token occurs, on the same tokens.
    """

    def __init__(self, bytes_of: TokenBytes, unigram: Unigram | None = None) -> None:
        self.bytes_of, self.unigram = bytes_of, unigram
        self.nats, self.unigram_nats, self.counted, self.bytes = 0.0, 0.0, 0.0, 0
        self.by_name: dict[str, list[float]] = {}

    def of(self, loss_sum: Tensor, count: Tensor, batch: Batch, plain: Batch, name: str | None = None) -> LossCounts:
        """Count the loss of one batch, summed over ``count`` tokens, which is of the data set ``name``.

        ``plain`` is the batch before the loss changed it.
        """
        counts = batch.targets != IGNORE
        asked = batch.targets[counts].numpy()
        size = int(self.bytes_of(asked, before=plain.token_ids[counts].numpy()).sum())
        unigram_nats = 0.0 if self.unigram is None else self.unigram.nats(asked, name)
        return LossCounts(name, float(loss_sum), float(count), size, unigram_nats)

    def add(self, counts: LossCounts) -> None:
        """Add what was counted of a batch."""
        self.nats += counts.nats
        self.counted += counts.counted
        self.bytes += counts.bytes
        self.unigram_nats += counts.unigram_nats
        if counts.name is not None:
            before = self.by_name.get(counts.name, [0.0, 0.0])
            self.by_name[counts.name] = [before[0] + counts.nats, before[1] + counts.counted]

    def numbers(self) -> dict[str, float]:
        """Return the numbers; nothing where no token counted."""
        if not self.counted:
            return {}
        mean = self.nats / self.counted
        numbers = {"loss": mean, "perplexity": math.exp(min(mean, 700.0))}
        numbers |= {"bits_per_byte": self.nats / math.log(2) / self.bytes} if self.bytes else {}
        numbers |= {} if self.unigram is None else {"unigram_loss": self.unigram_nats / self.counted}
        return numbers | {f"loss/{name}": nats / counted for name, (nats, counted) in self.by_name.items() if counted}
