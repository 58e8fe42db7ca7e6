"""The fast encoder gives the very ids of a tokenizer, or there is none."""

import json
import logging
import pickle
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiktoken
import tokenizers
from corpus import real, story
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from stlm.data.tokenizers import fast
from stlm.data.tokenizers.bpe import BPETokenizer, train
from stlm.data.tokenizers.fast import FastEncoder, fast_encoder
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer
from stlm.data.tokenizers.tokenizer import Tokenizer, encode_packed
from stlm.data.tokenizers.words import GPT2
from stlm.registry import make_component

pytest.importorskip("gigatoken")

STORIES = [story(i) for i in range(60)] + ["It was 2026 in 1999; naïve café, it's 12.5 \"x\"\n\n\tdon't"] * 9
STORIES += ["def f(x):\n    if x:\n        return  y\n"] * 20  # blanks that merge
ODD = st.text(alphabet="aB1 \n\t\r.!'/s\u00e9\u0301\u00a0\u2003東🙂\x00٣", max_size=60)
ENCODINGS = ("gpt2", "p50k_base", "cl100k_base", "o200k_base")


def small_tiktoken() -> TiktokenTokenizer:
    """GPT-2's rule and a few merges."""
    ranks = {bytes([i]): i for i in range(256)}
    ranks |= {token: 256 + i for i, token in enumerate([b"th", b"the", b" the", b"in", b"ing", b"20", "é".encode()])}
    specials = {"<|endoftext|>": 270}
    return TiktokenTokenizer(tiktoken.Encoding("s", pat_str=GPT2, mergeable_ranks=ranks, special_tokens=specials))


def llama_like(**added: Any) -> HuggingFaceTokenizer:
    """Llama's make, with every byte, as transformers converts it from a sentencepiece model."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "t", "h", "e", "th", "the", "▁the"]
    merges = [("t", "h"), ("th", "e"), ("▁", "the")]
    vocab = {p: i for i, p in enumerate(pieces)}
    made = tokenizers.Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    blanks, first = normalizers.Replace(" ", "▁"), normalizers.Replace(Regex(r"\A▁"), "▁▁")
    made.normalizer = normalizers.Sequence([blanks, first])
    metaspace: Any = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([metaspace])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    if added:
        made.add_tokens([AddedToken(**added)])
    return HuggingFaceTokenizer(made, eot="</s>")


MADE: dict[str, Tokenizer] = {
    "simple": BPETokenizer(train(STORIES, 200, simplify=True)),
    "plain": BPETokenizer(train(STORIES, 400, simplify=False)),
    "tiktoken": small_tiktoken(),
    "llama": llama_like(),
}
EVERY = pytest.mark.parametrize("name", MADE)


@pytest.fixture(scope="module")
def encoders() -> dict[str, FastEncoder]:
    found = {name: fast_encoder(tokenizer) for name, tokenizer in MADE.items()}
    return {name: encoder for name, encoder in found.items() if encoder is not None}


def same(tokenizer: Tokenizer, encoder: FastEncoder, texts: list[str]) -> bool:
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype
        for a, b in zip(encode_packed(tokenizer, texts), encoder.encode_packed(texts), strict=True)
    )


@EVERY
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.one_of(ODD, st.text(max_size=40)), max_size=4))
def test_the_ids_are_the_tokenizers_own(encoders: dict[str, FastEncoder], name: str, texts: list[str]) -> None:
    assert same(MADE[name], encoders[name], texts)


@EVERY
def test_names_of_special_tokens_are_text(encoders: dict[str, FastEncoder], name: str) -> None:
    assert same(MADE[name], encoders[name], ["<|endoftext|>", "a<|mask|>b", "<s>the</s>", "<unk>"])


@pytest.mark.parametrize("name", ENCODINGS)
def test_openais_encodings_are_known_to_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(real("tokenizers/tiktoken_cache")))
    made = make_component("tokenizer", name).build(None)
    encoder = fast_encoder(made)
    assert encoder is not None
    texts = [real(f"text/{file}.txt").read_text(encoding="utf-8")[:300_000] for file in ("moby_dick", "war_and_peace")]
    assert same(made, encoder, [*texts, *texts[0].splitlines(), "<|endoftext|>", "9" * 5000, " " * 5000])


@EVERY
def test_an_unpickled_encoder_is_an_equal_one(encoders: dict[str, FastEncoder], name: str) -> None:
    assert same(MADE[name], pickle.loads(pickle.dumps(encoders[name])), STORIES)


def test_lists_of_ids_are_packed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = fast_encoder(MADE["plain"])
    assert encoder is not None
    in_lists = SimpleNamespace(encode_batch=encoder._engine.encode_batch_list)
    monkeypatch.setattr(encoder, "_engine", in_lists)
    assert same(MADE["plain"], encoder, [*STORIES[:3], ""])


def test_it_says_its_name_and_version(encoders: dict[str, FastEncoder]) -> None:
    assert encoders["plain"].name == fast.engine_name()
    assert encoders["plain"].name.startswith("gigatoken ")


def test_what_it_remembers_is_forgotten_before_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    known = fast_encoder(MADE["plain"])
    assert known is not None
    made: list[int] = []
    encoder = FastEncoder(*known._made_of[:2], memory_bytes=100)
    new_engine = encoder._new_engine
    monkeypatch.setattr(encoder, "_new_engine", lambda: made.append(1) or new_engine())
    monkeypatch.setattr(fast, "_resident_bytes", iter(range(0, 10_000, 60)).__next__)  # each call seems to take 60
    for _ in range(6):
        assert same(MADE["plain"], encoder, STORIES[:3])
    assert len(made) == 2


def test_an_added_token_that_is_not_special_is_one_token() -> None:
    made = llama_like(content="<tool>", normalized=False)
    encoder = fast_encoder(made)
    assert encoder is not None
    assert made.encode_batch(["the<tool>the"])[0][1] == made.vocab_size - 1
    assert same(made, encoder, ["the<tool>the", "<tool>", " <tool> <tool>x"])


def why_not(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.INFO, logger="stlm"):
        assert fast_encoder(tokenizer) is None
    return caplog.text


def test_without_the_package_there_is_none(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    assert "gigatoken is not installed (`stlm[fast]`)" in why_not(MADE["plain"], caplog)


def test_a_tokenizer_that_it_does_not_know_has_none(caplog: pytest.LogCaptureFixture) -> None:
    letters = tokenizers.Tokenizer(models.WordLevel({"<e>": 0, "a": 1}, unk_token="<e>"))
    assert "does not know this tokenizer" in why_not(HuggingFaceTokenizer(letters, eot="<e>"), caplog)


def test_a_tokenizer_of_somebody_elses_make_has_none(caplog: pytest.LogCaptureFixture) -> None:
    assert "a object has no form" in why_not(object(), caplog)


def test_a_mistake_in_a_tokenizer_is_not_taken_for_one_that_is_not_known() -> None:
    class Mistaken(BPETokenizer):
        def decode(self, ids: Any) -> str:
            raise TypeError("a mistake")

    plain = MADE["plain"]
    assert isinstance(plain, BPETokenizer)
    with pytest.raises(TypeError, match="a mistake"):
        fast_encoder(Mistaken(plain._backend))


class Careless(BPETokenizer):
    """A tokenizer that changes a text more than its files say."""

    changed = ("", "")

    def encode_packed(self, texts: list[str]) -> Any:
        return super().encode_packed([text.replace(*self.changed) for text in texts])


@pytest.mark.parametrize(
    "changed",
    [
        *(("ø", "o"), ("é", "e\u0301"), ("\x00", ""), ("\u2003", " "), ("\u200d", ""), ("\r\n", "\n"), ("  ", " ")),
        *(
            ("<|mask|>", "<mask>"),
            ("٣", "3"),
            ("\ufeff", ""),
            ("9" * 2000, "9"),
            ("'S", "'s"),
            ("\x1c", ""),
            ("½", "1"),
        ),
    ],
    ids=ascii,
)
def test_one_other_id_on_the_hard_texts_and_there_is_none(
    changed: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    plain = MADE["plain"]
    assert isinstance(plain, BPETokenizer)
    other = Careless(plain._backend)
    other.changed = changed
    assert "gives other ids for" in why_not(other, caplog)


def test_the_description_leaves_out_what_is_added_at_the_ends() -> None:
    description, simplify = fast._told_to_gigatoken(MADE["llama"], llama_like().description())
    told = json.loads(description)
    assert (told["post_processor"], told["added_tokens"], simplify) == (None, [], False)


def test_an_interrupt_while_its_packages_are_imported_is_not_lost() -> None:
    code = """
import signal, sys

from stlm.data.tokenizers.bpe import BPETokenizer, train
from stlm.data.tokenizers.fast import fast_encoder

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "awkward._kernels":
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start its commands with another
tokenizer = BPETokenizer(train(["a"], 258, simplify=False))
sys.meta_path.insert(0, Interrupting())
try:
    fast_encoder(tokenizer)
except KeyboardInterrupt:
    import awkward
    sys.exit("gone on, and then interrupted" if hasattr(awkward, "Array") else "torn")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr == "gone on, and then interrupted\n"
