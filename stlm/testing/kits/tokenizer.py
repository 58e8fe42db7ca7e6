"""What a tokenizer must do: know its size beforehand, lose nothing of a text, and be the same when it is read again."""

import tempfile
from pathlib import Path
from typing import Any

from stlm.testing.checking import check, hold
from stlm.testing.kits.acts import require
from stlm.testing.subject import Subject

TEXTS = ["", " ", "The cat saw 12 cafés.\n\n\tAnd  slept. ", "日本語 🦊 e\u0301\r\n", "\x00\ufeff\ufffd", "a" * 300]


def made(subject: Subject) -> Any:
    """Its tokenizer, made once for all checks."""
    key = ("tokenizer", subject.name, str(subject.options))
    if key not in subject.bench.kept:
        subject.bench.kept[key] = subject.made(subject.component.build, subject.spec)
    return subject.bench.kept[key]


@check("vocabulary", "tokenizer")
def vocabulary(subject: Subject) -> None:
    """The size of its vocabulary is known without its files, and its end-of-text and mask ids are below it."""
    told = subject.component.vocab_size
    tokenizer = made(subject)
    hold(
        told == tokenizer.vocab_size, f"its component says {told} tokens, and its tokenizer has {tokenizer.vocab_size}"
    )
    for name in ("eot_id", "mask_id"):
        found = getattr(tokenizer, name)
        hold(0 <= found < told, f"its `{name}` is {found}, and its ids are 0 to {told - 1}")


@check("round-trip", "tokenizer")
def round_trip(subject: Subject) -> None:
    """A text comes back as `normalize` gives it, which is settled after once; a batch is encoded as its texts alone."""
    tokenizer = made(subject)
    encoded = tokenizer.encode_batch(TEXTS)
    for text, ids in zip(TEXTS, encoded, strict=True):
        shown = repr(text[:40])
        hold(tokenizer.encode_batch([text])[0] == ids, f"{shown} becomes other ids in a batch than alone")
        numbers = all(hasattr(i, "__index__") for i in ids)
        hold(numbers, f"{shown} becomes {ids[:3]!r:.40}, which are no integers")
        hold(all(0 <= i < tokenizer.vocab_size for i in ids), f"{shown} has an id that is not in the vocabulary")
        back, normal = tokenizer.decode(ids), tokenizer.normalize(text)
        hold(back == normal, f"{shown} comes back as {back[:40]!r}, and `normalize` says {normal[:40]!r}")
        hold(tokenizer.normalize(normal) == normal, f"{shown} is normalized otherwise a second time")


@check("any-id", "tokenizer")
def any_id(subject: Subject) -> None:
    """Any ids can be decoded, those outside the vocabulary too, and `decode_bytes` gives the bytes of that text."""
    tokenizer = made(subject)
    size = tokenizer.vocab_size
    for ids in ([], *([i] for i in range(size)), range(size), [-1, size, 2**40, 0]):
        try:
            text, data = tokenizer.decode(ids), tokenizer.decode_bytes(ids)
        except Exception as error:
            hold(False, f"decoding {list(ids)[:4]!s} raises {type(error).__name__}: {error}")
        hold(data.decode("utf-8", "replace") == text, f"`decode` and `decode_bytes` of {list(ids)[:4]} say two things")


@check("special-tokens", "tokenizer")
def special_tokens(subject: Subject) -> None:
    """The name of a special token inside a text is text: no document can end itself."""
    tokenizer = made(subject)
    specials = {tokenizer.eot_id, tokenizer.mask_id}
    for special in sorted(specials):
        text = f"a{tokenizer.decode([special])} b"
        (ids,) = tokenizer.encode_batch([text])
        hold(not specials & set(ids), f"{text!r} is encoded with the special token {special} in it")
        hold(tokenizer.decode(ids) == tokenizer.normalize(text), f"{text!r} does not come back")


@check("stored-tokenizer", "tokenizer")
def stored_tokenizer(subject: Subject) -> None:
    """What `save` writes, `load` reads as the same tokenizer, of the same fingerprint."""
    tokenizer, component = made(subject), subject.component
    with tempfile.TemporaryDirectory(dir=subject.bench.folder) as folder:
        tokenizer.save(Path(folder))
        again = component.load(Path(folder))
        require("tokenizer", again, f"what its `load` gives, {type(again).__name__},")
        for what in ("vocab_size", "eot_id", "mask_id", "fingerprint"):
            one, other = getattr(tokenizer, what), getattr(again, what)
            hold(one == other, f"stored and read, its `{what}` is {other}, and was {one}")
        hold(again.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS), "stored and read, it encodes otherwise")


@check("fingerprint", "tokenizer")
def fingerprint(subject: Subject) -> None:
    """Its fingerprint is a text that is the same whenever the tokenizer is made: prepared tokens are found by it."""
    one, other = made(subject).fingerprint, subject.made(subject.component.build, subject.spec).fingerprint
    hold(isinstance(one, str) and one, f"its fingerprint is {one!r}")
    hold(one == other, f"its fingerprint was {one}, and is {other} when it is made again")
