"""From documents to batches: what data sets, samplings and loaders must do, so that a run can stop and go on."""

from itertools import islice
from typing import Any

import numpy as np
import torch

from stlm.data.preparation.prepare import prepare
from stlm.testing.checking import check, hold
from stlm.testing.subject import Subject

MOST_DOCUMENTS = 500


def _text(document: Any) -> Any:
    return document if isinstance(document, str) else getattr(document, "text", None)


@check("documents", "dataset")
def documents(subject: Subject) -> None:
    """It gives texts, the same in the same order each time: tokens are prepared again from where it stopped."""
    source, other = (subject.made(subject.component.build, subject.spec) for _ in range(2))
    subject.made(source.fingerprint)  # a data set of the hub is asked for now
    first = list(islice(source.documents(), MOST_DOCUMENTS))
    hold(first, "it has no document")
    for number, document in enumerate(first):
        if hasattr(document, "pieces"):
            continue
        text = _text(document)
        hold(isinstance(text, str) and text, f"document {number} is {document!r:.60}, not a text")
    for again, how in ((source, "a second time"), (other, "when it is made again")):
        second = list(islice(again.documents(), MOST_DOCUMENTS))
        at = next(
            (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
        )
        hold(first == second or hasattr(first[0], "pieces"), f"{how}, document {at} is another one")


@check("data-fingerprint", "dataset")
def data_fingerprint(subject: Subject) -> None:
    """Its fingerprint is a text that stays while the data do: prepared tokens are found by it."""
    source, other = (subject.made(subject.component.build, subject.spec) for _ in range(2))
    one, again, made_again = subject.made(source.fingerprint), source.fingerprint(), other.fingerprint()
    hold(isinstance(one, str) and one, f"its fingerprint is {one!r}")
    hold(one == again == made_again, f"its fingerprint was {one}, and is {again if again != one else made_again} now")


@check("splits", "dataset", "tokenizer")
def splits(subject: Subject) -> None:
    """Data and tokenizer can be prepared for training: both sides of the split have a window of tokens at least."""
    made = subject.made(subject.component.build, subject.spec)
    if subject.kind == "dataset":
        subject.made(made.fingerprint)  # a data set of the hub is asked for now
    prepared = prepare(subject.spec, subject.compiled().tokenizer)
    window = subject.spec.model.context_window
    for side in ("train", "val"):
        held = getattr(prepared, side).num_windows(window)
        hold(held > 0, f"its {side} side has no window of {window} tokens")


@check("every-window-once", "datasampling")
def every_window_once(subject: Subject) -> None:
    """The windows of an epoch come once each, of any number of windows."""
    trainer = subject.spec.trainer
    for num_windows in (1, 2, 37):
        order = subject.component.build(trainer, num_windows, 0).order(0, 4 * num_windows)
        for epoch, windows in enumerate(np.split(np.asarray(order), 4)):
            counts = np.bincount(windows, minlength=num_windows)
            where = f"of {num_windows} windows in epoch {epoch}"
            hold(len(counts) == num_windows, f"{where}, window {int(windows.max())} is asked for")
            hold((counts == 1).all(), f"{where}, window {int(counts.argmax())} comes {int(counts.max())} times")


@check("order", "datasampling")
def order(subject: Subject) -> None:
    """The order is a function of seed and sample: no matter where one starts, or how many are asked for."""
    one, same = (subject.component.build(subject.spec.trainer, 37, 0) for _ in range(2))
    whole = np.asarray(one.order(0, 100)).tolist()
    backwards = [int(same.order(start, 1)[0]) for start in reversed(range(100))][::-1]
    hold(backwards == whole, "asked for one by one, from the last to the first, the samples are others")
    hold(np.asarray(one.order(30, 20)).tolist() == whole[30:50], "samples 30 to 49 by themselves are others")
    hold(len(one.order(5, 0)) == 0, "none were asked for, and some came")


def served(subject: Subject) -> tuple[Any, Any]:
    """The tokens that its spec trains on, and an order of their windows."""
    spec = subject.spec
    tokens = prepare(spec, subject.compiled().tokenizer).train
    num_windows = tokens.num_windows(spec.model.context_window)
    return tokens, spec.trainer.datasampling.build(spec.trainer, num_windows, 0)


@check("batches", "dataloader")
def batches(subject: Subject) -> None:
    """A batch is a function of the step, asked for in any order, and its targets are its tokens one place on."""
    trainer, window = subject.spec.trainer, subject.spec.model.context_window
    steps = [(step, micro) for step in range(5) for micro in range(trainer.gradient_accumulation_steps)]
    one, other = (subject.component.build(trainer, *served(subject), window) for _ in range(2))
    first = {at: one.batch(*at) for at in steps}
    for at in reversed(steps):
        batch, same, where = first[at], other.batch(*at), f"of step {at[0]}, micro-batch {at[1]},"
        for name in ("token_ids", "targets"):
            ids = getattr(batch, name)
            wanted = (trainer.batch_size, window)
            hold(tuple(ids.shape) == wanted, f"{where} `{name}` are {tuple(ids.shape)}, not {wanted}")
            hold(ids.dtype == torch.int64, f"{where} `{name}` are {ids.dtype}, not int64")
            hold(
                torch.equal(ids, getattr(same, name)), f"{where} `{name}` are others when steps are asked for backwards"
            )
        hold(
            torch.equal(batch.targets[:, :-1], batch.token_ids[:, 1:]),
            f"{where} targets are not the tokens one place on",
        )
    hold(not torch.equal(first[0, 0].token_ids, first[1, 0].token_ids), "two steps have the same batch")
