"""The sample that a tokenizer is trained on."""

import io
import random
from collections.abc import Iterator, Sequence

import attrs
import pytest
from corpus import story
from hypothesis import given, settings
from hypothesis import strategies as st

from stlm.data.sources.source import Document, Example
from stlm.data.tokenizers import tokenizer
from stlm.data.tokenizers.sample import Sample, pieces_of
from stlm.spec.errors import WorkError

STORIES = [story(i) for i in range(400)]
TOTAL = sum(len(s) for s in STORIES)


@attrs.frozen
class Long:
    """A document that comes in the given pieces."""

    parts: tuple[str, ...]

    def pieces(self) -> Iterator[str]:
        yield from self.parts


def sample(documents: Sequence[Document], limit: int, seed: int = 1) -> list[str]:
    made = Sample(io.BytesIO(), limit, seed)
    made.add(documents)
    return list(made.pieces())


def test_a_data_set_below_the_bound_is_taken_whole_and_in_order() -> None:
    made = Sample(io.BytesIO(), TOTAL, 1)
    made.add(STORIES)
    assert list(made.pieces()) == STORIES
    assert (made.is_whole, made.total_bytes) == (True, TOTAL)


@pytest.mark.parametrize("limit", [TOTAL // 2, TOTAL // 10, TOTAL - 1])
def test_a_larger_one_is_sampled_up_to_the_bound(limit: int) -> None:
    kept = sample(STORIES, limit)
    assert limit - 2000 < sum(len(s) for s in kept) <= limit
    assert set(kept) < set(STORIES)


def test_the_sample_is_the_same_in_any_order() -> None:
    shuffled = random.Random(3).sample(STORIES, len(STORIES))
    assert sorted(sample(shuffled, TOTAL // 5)) == sorted(sample(STORIES, TOTAL // 5))
    assert sorted(sample(STORIES[::-1], TOTAL // 5)) == sorted(sample(STORIES, TOTAL // 5))


def test_another_seed_draws_another_sample() -> None:
    first, again, other = (set(sample(STORIES, TOTAL // 5, seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_the_sample_comes_from_all_over_the_data() -> None:
    numbers = [int(s.split()[1]) for s in sample(STORIES, TOTAL // 4)]
    assert all(any(low <= n < low + 50 for n in numbers) for low in range(0, 400, 50))


def test_a_bound_below_the_first_piece_still_gives_one() -> None:
    assert len(sample(STORIES, 1)) == 1
    assert sample(STORIES[::-1], 1) == sample(STORIES, 1)


def test_no_documents_give_no_pieces() -> None:
    assert sample([], 10) == []
    assert sample(["", ""], 10) == ["", ""]


def test_an_example_is_its_whole_text() -> None:
    assert list(pieces_of(Example(prompt="2+2=", completion="4"))) == ["2+2=4"]


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert sample(["a\ud800b"], 100) == ["a\ufffdb"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab .\n", max_size=9), max_size=9))
def test_a_long_text_is_cut_alike_however_it_comes(parts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "_CHUNK_CHARACTERS", 4)
        whole = list(pieces_of("".join(parts)))
        assert list(pieces_of(Long(tuple(parts)))) == whole
    assert "".join(whole) == "".join(parts)


def test_a_long_document_is_sampled_in_pieces() -> None:
    text = " ".join(STORIES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "_CHUNK_CHARACTERS", 500)
        kept = sample([text], len(text) // 3)
    assert len(text) // 4 < sum(len(piece) for piece in kept) <= len(text) // 3
    assert all(piece in text for piece in kept)


def test_a_full_disk_is_one_line() -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(WorkError, match="cannot write the tokenizer's sample: No space left"):
        Sample(Full(), 10, 1).add(["text"])
