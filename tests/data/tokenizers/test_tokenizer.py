"""What holds for every tokenizer: packed ids, texts in chunks, pickles."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiktoken
from corpus import real, story
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.data.surrogates import mended
from stlm.data.tokenizers.bpe import BPETokenizer, train
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer
from stlm.data.tokenizers.tokenizer import Tokenizer, encode_packed
from stlm.registry import make_component

STORIES = [story(i) for i in range(30)]
SIMPLE = BPETokenizer(train(STORIES, 180, simplify=True))
PLAIN = BPETokenizer(train(STORIES, 320, simplify=False))
AS_HF = HuggingFaceTokenizer(PLAIN._backend, eot="<|endoftext|>", vocab_size=400)
TIKTOKEN = TiktokenTokenizer(
    tiktoken.Encoding(
        "small",
        pat_str=r" ?\w+|\s|[^\w\s]+",
        mergeable_ranks={bytes([i]): i for i in range(256)} | {b"th": 256, b"the": 257},
        special_tokens={"<|endoftext|>": 260},
    )
)
EVERY = pytest.mark.parametrize(
    "tokenizer", [SIMPLE, PLAIN, AS_HF, TIKTOKEN], ids=["simple", "plain", "hf", "tiktoken"]
)
TEXT = "The <|endoftext|> naïve café 東京 🙂 2026\r\n\tthe end"


class OnlyTheProtocol:
    """A tokenizer without a way of its own to pack."""

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [[ord(c) for c in text] for text in texts]


def unpacked(packed: tuple[Any, Any]) -> list[list[int]]:
    ids, lengths = packed
    assert (ids.dtype, lengths.dtype) == (np.uint32, np.int64)
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if len(lengths) else []


@EVERY
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(), max_size=4))
def test_packed_ids_are_those_of_encode_batch(tokenizer: Tokenizer, texts: list[str]) -> None:
    assert unpacked(encode_packed(tokenizer, texts)) == tokenizer.encode_batch(texts)


def test_a_tokenizer_without_a_way_of_its_own_is_packed_too() -> None:
    assert unpacked(encode_packed(OnlyTheProtocol(), ["ab", "", "c"])) == [[97, 98], [], [99]]  # type: ignore[arg-type]


@EVERY
def test_half_a_surrogate_pair_becomes_the_replacement_character(tokenizer: Tokenizer) -> None:
    torn = 'a\ud83db "\ud83d\ude42"'
    (ids,) = tokenizer.encode_batch([torn])
    assert unpacked(encode_packed(tokenizer, [torn])) == [ids] == tokenizer.encode_batch(['a\ufffdb "🙂"'])
    assert tokenizer.decode(ids) == tokenizer.normalize(torn)


def test_a_whole_text_is_left_as_it_is() -> None:
    assert mended(TEXT) is TEXT


@EVERY
def test_an_unpickled_tokenizer_is_an_equal_one(tokenizer: Tokenizer) -> None:
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert type(copy) is type(tokenizer)
    assert copy.fingerprint == tokenizer.fingerprint
    assert (copy.vocab_size, copy.eot_id, copy.mask_id) == (tokenizer.vocab_size, tokenizer.eot_id, tokenizer.mask_id)
    assert copy.encode_batch([TEXT]) == tokenizer.encode_batch([TEXT])
    assert copy.decode(range(400)) == tokenizer.decode(range(400))
    assert getattr(copy, "seam", None) == getattr(tokenizer, "seam", None)


def test_a_process_that_unpickles_one_of_openais_needs_no_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(real("tokenizers/tiktoken_cache")))
    made = make_component("tokenizer", "gpt2").build(None)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).encode_batch(['naïve 2026']))"
    env = os.environ | {"TIKTOKEN_CACHE_DIR": str(tmp_path), "https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(made), env=env, capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == str(made.encode_batch(["naïve 2026"]))
