"""What encodes: groups of texts put together again, samples of them compared, completions marked by their bytes."""

from typing import Any

import numpy as np
import pytest
import tiktoken
from corpus import story
from hypothesis import given
from hypothesis import strategies as st

from stlm.data.preparation.encoding import Encoder, EngineDiffersError
from stlm.data.sources.source import Example
from stlm.data.tokenizers.bpe import BPETokenizer, train
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
from stlm.data.tokenizers.tiktoken_tokenizer import TiktokenTokenizer
from stlm.data.tokenizers.tokenizer import encode_packed
from stlm.data.tokenizers.words import GPT2
from stlm.spec.errors import WorkError


@pytest.fixture(scope="module")
def words() -> BPETokenizer:
    return BPETokenizer(train([story(i) for i in range(40)], 400, simplify=False))


@pytest.fixture(scope="module")
def small() -> TiktokenTokenizer:
    """GPT-2's rule, by which two newlines at the end of a text are a word, and a few merges."""
    ranks = {bytes([i]): i for i in range(256)} | {b"\n\n": 256, b" a": 257, b"ab": 258}
    made = tiktoken.Encoding("s", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 259})
    return TiktokenTokenizer(made)


class Spoiling:
    """An engine that gives another last token for whatever ``spoils`` picks."""

    name = "swift 1.0"

    def __init__(self, tokenizer: Any, spoils: Any) -> None:
        self.tokenizer, self.spoils = tokenizer, spoils

    def encode_packed(self, texts: list[str], utf8: list[bytes] | None = None) -> Any:
        ids, lengths = encode_packed(self.tokenizer, texts)
        ids = ids.copy()
        for text, end in zip(texts, np.cumsum(lengths).tolist(), strict=True):
            if self.spoils(text):
                ids[end - 1] += 1
        return ids, lengths


def marked(tokenizer: Any, *examples: Example) -> list[list[int]]:
    encoder = Encoder(tokenizer)
    ids, lengths = encoder.encode([example.text for example in examples])
    mask = encoder.completion_mask(examples, ids, lengths)
    assert len(mask) == len(ids)
    return [part.tolist() for part in np.split(mask, np.cumsum(lengths)[:-1])]


def test_a_prompts_own_tokens_do_not_count_where_it_alone_has_others(small: TiktokenTokenizer) -> None:
    prompt, whole = small.encode_batch(["a:\n\n", "a:\n\nb"])
    assert (prompt[-1], whole[-3:]) == (256, [10, 10, ord("b")])
    assert marked(small, Example("a:\n\n", "b")) == [[0, 0, 0, 0, 1]]


def test_a_token_of_both_counts(small: TiktokenTokenizer) -> None:
    assert marked(small, Example("b ", "a b"), Example("a", "b")) == [[0, 1, 1, 1], [1]]


@given(rows=st.lists(st.tuples(*[st.text("ab \n.é🙂", max_size=8)] * 2), min_size=1, max_size=6))
def test_those_tokens_count_that_hold_a_byte_of_the_completion(
    small: TiktokenTokenizer, words: BPETokenizer, rows: list[tuple[str, str]]
) -> None:
    for tokenizer in (small, words):
        examples = [Example(*row) for row in rows]
        ids = tokenizer.encode_batch([example.text for example in examples])
        ends = [np.cumsum([len(tokenizer.decode_bytes([i])) for i in each]) for each in ids]
        wanted = [
            (end > len(one.prompt.encode())).astype(int).tolist() for end, one in zip(ends, examples, strict=True)
        ]
        assert marked(tokenizer, *examples) == wanted


def test_marks_are_those_of_the_normalized_text() -> None:
    simple = BPETokenizer(train(["the cat"], 100, simplify=True))
    example = Example("naïve 東京 café: ", "ok")
    (mask,) = marked(simple, example)
    (ids,) = simple.encode_batch([example.text])
    assert simple.decode([i for i, counts in zip(ids, mask, strict=True) if counts]).strip() == "ok"


@pytest.mark.parametrize("count", [1, 7, 8, 41])
def test_texts_stay_in_order_at_any_number_of_threads(words: BPETokenizer, count: int) -> None:
    texts = [story(i) for i in range(count)]
    one, several = Encoder(words).encode(texts), Encoder(words, threads=4).encode(texts)
    for a, b in zip(one, several, strict=True):
        assert a.tolist() == b.tolist()
    assert one[0].tolist() == [i for ids in words.encode_batch(texts) for i in ids]


@pytest.mark.parametrize("at", ["head", "end"])
def test_of_a_long_document_the_head_is_compared(words: BPETokenizer, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    monkeypatch.setattr("stlm.data.preparation.encoding._SAMPLE_CHARACTERS", 500)
    monkeypatch.setattr("stlm.data.preparation.encoding._SAMPLE_OF_PIECE", 200)
    text = "".join(story(i) for i in range(9))
    at_head = at == "head"
    encoder = Encoder(words, Spoiling(words, lambda text: (len(text) <= 200) == at_head))
    ids, lengths = encoder.encode([text])
    if not at_head:
        encoder.check([text], ids, lengths, "seed", "rows.jsonl", [5])
        return
    with pytest.raises(EngineDiffersError, match=r"the head of document 5 of rows\.jsonl has other ids by swift"):
        encoder.check([text], ids, lengths, "seed", "rows.jsonl", [5])


def test_the_head_of_each_piece_of_a_text_is_compared(words: BPETokenizer) -> None:
    encoder = Encoder(words, Spoiling(words, lambda text: text.startswith("Story 7")))
    right, wrong = iter([story(1), story(2)]), iter([story(7)])
    assert sum(len(ids) for ids in encoder.encode_long(right, "a.txt")) > 0
    with pytest.raises(EngineDiffersError, match=r"a text that begins with 'Story 7.*' in a\.txt has other ids"):
        list(encoder.encode_long(wrong, "a.txt"))


def test_the_first_id_behind_the_vocabulary_is_outside(bytes_tokenizer: HuggingFaceTokenizer) -> None:
    size = bytes_tokenizer.encode_batch(["z"])[0][0]  # whose id is then the first that there is not
    bytes_tokenizer.vocab_size = size + 1
    assert Encoder(bytes_tokenizer).encode(["z"])[0].tolist() == [size]
    bytes_tokenizer.vocab_size = size
    with pytest.raises(WorkError, match=f"gave id {size}, outside its vocabulary of {size}"):
        Encoder(bytes_tokenizer).encode(["z"])
