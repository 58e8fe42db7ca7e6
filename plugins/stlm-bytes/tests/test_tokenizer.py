"""Bytes are tokens: as ByT5 has them, and every text and every sequence of bytes comes back."""

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stlm_bytes.tokenizer import ByteTokenizer

from stlm.data.tokenizers.token_bytes import TokenBytes
from stlm.data.tokenizers.tokenizer import chunked
from stlm.spec import WorkError

BYTES = ByteTokenizer()
ANY_TEXT = st.text(st.characters(codec=None, categories=("L", "N", "Z", "C", "S", "Cs")))
"""Halves of surrogate pairs among the characters, as JSON can leave them."""


@pytest.fixture(scope="module")
def byt5():
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer(extra_ids=0)


@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=50))
def test_the_ids_are_those_of_byt5_without_its_special_ones(byt5, text):
    (ours,) = BYTES.encode_batch([text])
    assert [i + 3 for i in ours] == byt5.encode(text, add_special_tokens=False)


@given(st.binary(max_size=300))
def test_every_sequence_of_bytes_comes_back_valid_or_not(data):
    assert BYTES.decode_bytes(BYTES.encode_bytes(data)) == data


def test_a_byte_that_begins_no_character_is_shown_as_such():
    assert BYTES.decode([0xC3]) == "\N{REPLACEMENT CHARACTER}"
    assert BYTES.decode([0xC3, 0xA9]) == "é"


@given(st.lists(ANY_TEXT, max_size=5))
@example(["a\ud83d\ude00b"])
def test_packed_and_in_chunks_the_ids_are_the_same(texts):
    ids, lengths = BYTES.encode_packed(texts)
    apart = BYTES.encode_batch(texts)
    assert ids.dtype == np.uint32
    assert ids.tolist() == [i for one in apart for i in one]
    assert lengths.tolist() == [len(one) for one in apart]
    for text, whole in zip(texts, apart, strict=True):
        cuts = [found.start() for found in BYTES.seam.finditer(text)]
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert [i for one in BYTES.encode_batch(pieces) for i in one] == whole


def test_a_long_text_is_cut():
    assert len([*chunked("é" * 200_000, BYTES.seam)]) == 4


def test_a_token_counts_as_one_byte_and_the_end_of_a_text_as_none():
    assert TokenBytes(BYTES)(np.array([0, 65, 255, BYTES.eot_id])).tolist() == [1, 1, 1, 0]


def test_it_can_be_handed_to_another_process():
    assert pickle.loads(pickle.dumps(BYTES)).encode_batch(["é"]) == [[0xC3, 0xA9]]


def test_a_folder_of_another_tokenizer_is_refused(tmp_path):
    with pytest.raises(WorkError, match="no tokenizer `bytes`"):
        ByteTokenizer.from_folder(tmp_path)


def test_a_folder_of_other_ids_is_refused_and_its_own_is_read(tmp_path):
    BYTES.save(tmp_path)
    assert ByteTokenizer.from_folder(tmp_path).vocab_size == 258
    file = next(tmp_path.iterdir())
    file.write_text(file.read_text().replace("<|mask|>", "<|pad|>"))
    with pytest.raises(WorkError, match="no tokenizer `bytes`"):
        ByteTokenizer.from_folder(tmp_path)


def test_the_end_of_a_text_and_the_mask_are_behind_the_bytes():
    assert (BYTES.eot_id, BYTES.mask_id, BYTES.vocab_size) == (256, 257, 258)
    assert BYTES.decode([65, 256, 257, 66]) == "A<|endoftext|><|mask|>B"


@given(ANY_TEXT)
@example("a\ud83d")
def test_a_text_comes_back_as_it_is_normalized(text):
    assert BYTES.decode(BYTES.encode_batch([text])[0]) == BYTES.normalize(text)
