"""Tokenizers in the form that Hugging Face's libraries read."""

from pathlib import Path

import pytest
import tiktoken
from corpus import real
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.data.tokenizers.convert import to_huggingface
from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer

TEXT = "Lists' are\r\n\n  mutable sequences; 20261234 naïve café 東京 🙂\u00a0\u2003x\x0b\x85 <|endoftext|>  \n "
NAMES = ("gpt2", "cl100k_base", "o200k_base")


def loaded(name: str) -> TiktokenTokenizer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(real("tokenizers/tiktoken_cache")))
        return TiktokenTokenizer(tiktoken.get_encoding(name))


@pytest.fixture(scope="module")
def small() -> TiktokenTokenizer:
    """Bytes, some merges that can be made in two ways, a gap, and an end of text."""
    tokens = [b"th", b"he", b"the", b" a", b"in", b"ing", b"thing", "é".encode()]
    ranks = {bytes([i]): i for i in range(256)} | {token: 256 + i for i, token in enumerate(tokens)}
    pattern = r"(?i:[sdmt]|ll)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s+(?!\S)|\s"
    return TiktokenTokenizer(
        tiktoken.Encoding("small", pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 270})
    )


def test_what_is_of_that_kind_already_stays_itself(bytes_tokenizer: object) -> None:
    assert to_huggingface(bytes_tokenizer) is bytes_tokenizer  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(st.text(), st.text(alphabet="theing a\n\r12 é's\u2003", max_size=40)))
def test_the_ids_are_the_same(small: TiktokenTokenizer, text: str) -> None:
    theirs = to_huggingface(small)
    assert theirs.encode_batch([text]) == small.encode_batch([text])
    assert (theirs.vocab_size, theirs.eot_id) == (small.vocab_size, small.eot_id)


@pytest.mark.parametrize("name", NAMES)
def test_the_ids_of_real_encodings_are_the_same(name: str, tmp_path: Path) -> None:
    ours = loaded(name)
    theirs = to_huggingface(ours)
    texts = [TEXT, real("text/tinyshakespeare.txt").read_text(encoding="utf-8")[:20_000]]
    assert theirs.encode_batch(texts) == ours.encode_batch(texts)
    assert theirs.decode(range(ours.vocab_size + 2)) == ours.decode(range(ours.vocab_size + 2))


def test_transformers_loads_it(small: TiktokenTokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    to_huggingface(small).save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.eos_token_id == 270
    text = "the thing's 123 é"
    assert theirs(text, add_special_tokens=False)["input_ids"] == small.encode_batch([text])[0]
