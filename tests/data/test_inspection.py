"""A look at prepared tokens."""

import json
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from corpus import story
from hypothesis import given
from hypothesis import strategies as st

from stlm.cli import windows as printing
from stlm.components.datasampling.standard import StandardSampling
from stlm.data.inspection import DocumentLengths, Inspection, Pieces, Window, document_lengths, inspect
from stlm.data.preparation.prepare import prepare
from stlm.data.serving.drawing import sampling_of
from stlm.data.sources.memory import TextDocuments
from stlm.data.sources.source import Example

WINDOW = 8


class Given:
    """A data set whose documents are given."""

    selector = "given"

    def __init__(self, *documents: Any, has_completions: bool = False) -> None:
        self.documents, self.has_completions = documents, has_completions

    def build(self, spec: Any) -> Any:
        plain = TextDocuments(tuple(d if isinstance(d, str) else d.text for d in self.documents))
        if not self.has_completions:
            return plain
        return SimpleNamespace(
            documents=lambda: iter(self.documents), fingerprint=plain.fingerprint, has_completions=True
        )


@pytest.fixture
def look(spec_for: Any, bytes_tokenizer: Any) -> Any:
    """Prepare documents and look at them."""

    def looked(
        *documents: Any, count: int = 3, tokenizer: Any = bytes_tokenizer, loss_on: str = "completion", **options: Any
    ) -> Any:
        spec = spec_for(Given(*documents, **options), fraction=0.1, context_window=WINDOW)
        spec.trainer.loss_on = loss_on if options.get("has_completions") else "all"
        spec.trainer.datasampling = StandardSampling()
        prepared = prepare(spec, tokenizer, workers=1)
        return inspect(prepared, tokenizer, spec, count), prepared

    return looked


STORIES = tuple(story(i) for i in range(60))


def test_the_windows_are_the_first_that_training_sees(look: Any) -> None:
    seen, prepared = look(*STORIES)
    order = sampling_of(prepared.train, partial(StandardSampling().build, None), WINDOW, 1).order(0, 3)
    assert [list(window.tokens) for window in seen.windows] == prepared.train.windows(order, WINDOW).tolist()


def test_the_pieces_of_a_window_make_its_text(look: Any, bytes_tokenizer: Any) -> None:
    seen, _ = look(*STORIES)
    for window in seen.windows:
        parts = [bytes_tokenizer.decode([token]) for token in window.tokens if token != bytes_tokenizer.eot_id]
        assert [piece for piece in window.pieces if piece != "<|eot|>"] == parts


def test_no_more_windows_are_shown_than_there_are(look: Any) -> None:
    seen, prepared = look(*STORIES, count=10**6)
    assert len(seen.windows) == prepared.train.num_windows(WINDOW)
    assert len({window.tokens for window in seen.windows}) > 1


def test_a_token_that_is_half_a_character_shows_its_bytes(bytes_tokenizer: Any) -> None:
    pieces = Pieces(bytes_tokenizer)
    assert [pieces.text_of(token) for token in bytes_tokenizer.encode_batch(["é"])[0]] == ["\\xc3", "\\xa9"]
    assert pieces.text_of(bytes_tokenizer.eot_id) == "<|eot|>"


def test_a_piece_keeps_the_blank_that_is_dropped_at_the_head_of_a_text() -> None:
    words = {0: b" the", 1: b"</s>"}
    dropping = SimpleNamespace(eot_id=1, decode_bytes=lambda ids: b"".join(words[i] for i in ids).removeprefix(b" "))
    assert Pieces(dropping).text_of(0) == " the"


def test_bytes_per_token_leave_out_what_was_dropped(look: Any) -> None:
    from stlm.data.tokenizers.bpe import BPETokenizer, train

    text = "naïve café 東京 " * 60
    seen, prepared = look(text, tokenizer=BPETokenizer(train(["a"], 99, simplify=True)))
    kept, whole = len("naive cafe  " * 60), len(text.encode())
    assert seen.dropped_fraction == pytest.approx(1 - kept / whole)
    assert seen.bytes_per_token == pytest.approx(kept / sum(prepared.manifest["tokens"].values()))


def test_nothing_is_dropped_by_a_tokenizer_of_bytes(look: Any) -> None:
    seen, _ = look(*STORIES)
    assert seen.dropped_fraction == seen.unknown_fraction == 0


def test_what_is_unknown_is_counted(look: Any) -> None:
    class Letters:
        """A token a character: a, b, or unknown."""

        vocab_size, eot_id, mask_id, fingerprint = 4, 3, 3, "letters"

        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return [[{"a": 0, "b": 1}.get(letter, 2) for letter in text] for text in texts]

        def decode_bytes(self, ids: Any) -> bytes:
            return b"".join((b"a", b"b", "\ufffd".encode(), b"")[i] for i in ids)

    seen, prepared = look("aabc" * 500, tokenizer=Letters())
    windows = prepared.train.num_windows(WINDOW)
    stored = np.concatenate([prepared.train.windows(np.arange(windows), WINDOW)[:, 1:].ravel()])
    assert seen.counted_tokens == len(stored)
    assert seen.unknown_fraction == (stored == 2).mean() == pytest.approx(0.25, abs=0.01)


def test_completions_are_marked_as_the_loss_counts_them(look: Any, bytes_tokenizer: Any) -> None:
    documents = [Example(f"question {i}?", f" ANSWER {i}") for i in range(300)]
    seen, _ = look(*documents, count=20, has_completions=True)
    for window in seen.windows:
        assert window.counts is not None
        assert len(window.counts) == len(window.tokens)
        for piece, counts in zip(window.pieces, window.counts, strict=True):
            assert counts or piece not in {*"ANSWER", "<|eot|>"}
            assert not counts or piece not in set("questio?")
    assert {counted for window in seen.windows for counted in window.counts} == {True, False}


def test_every_target_counts_where_the_loss_is_on_all(look: Any) -> None:
    documents = [Example(f"question {i}?", f" ANSWER {i}") for i in range(300)]
    seen, _ = look(*documents, has_completions=True, loss_on="all")
    assert all(window.counts is None for window in seen.windows)


def test_plain_texts_have_no_marks(look: Any) -> None:
    seen, _ = look(*STORIES)
    assert all(window.counts is None for window in seen.windows)
    assert "counts" not in seen.windows[0].as_json()


def lengths_in(folder: Path, *files: list[int]) -> list[Path]:
    for number, lengths in enumerate(files):
        np.array(lengths, dtype="<u4").tofile(folder / f"{number}.lengths")
    return [folder / f"{number}.lengths" for number in range(len(files))]


def test_lengths_are_those_of_all_files(tmp_path: Path) -> None:
    lengths = document_lengths(lengths_in(tmp_path, [1, 2, 3, 4], [7, 8, 100]), context_window=8)
    assert lengths.documents == 7
    assert lengths.median == 4
    assert lengths.max == 100
    assert lengths.mean == pytest.approx(125 / 7)
    assert lengths.longer_than_window == pytest.approx(1 / 7)
    assert lengths.bins == ((1, 1, 1), (2, 3, 2), (4, 7, 2), (8, 15, 1), (16, 31, 0), (32, 63, 0), (64, 127, 1))


def test_the_median_of_an_even_number_is_the_lower_of_two(tmp_path: Path) -> None:
    assert document_lengths(lengths_in(tmp_path, [9, 1], [5, 3]), 8).median == 3


@given(st.lists(st.integers(1, 300_000) | st.integers(1, 2**32 - 1), min_size=1), st.integers(0, 3))
def test_the_median_is_that_of_the_sorted_lengths(lengths: list[int], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = lengths_in(Path(folder), lengths[:cut], lengths[cut:])
        assert document_lengths(files, 8).median == sorted(lengths)[(len(lengths) - 1) // 2]


def test_without_documents_every_number_is_one_that_json_can_say() -> None:
    assert '"mean": 0.0, "median": 0' in json.dumps(document_lengths([], 8).as_json(), allow_nan=False)


@pytest.mark.parametrize("length", [1, 2**31 - 1, 2**31, 2**32 - 1])
def test_any_length_that_can_be_stored_has_its_place(tmp_path: Path, length: int) -> None:
    lengths = document_lengths(lengths_in(tmp_path, [length]), 8)
    ((low, high, count),) = lengths.bins
    assert low <= length <= high
    assert (count, lengths.median, lengths.max) == (1, length, length)


def test_lengths_of_prepared_tokens_are_those_of_the_documents(look: Any) -> None:
    seen, prepared = look(*STORIES)
    stored = [len(text.encode()) + 1 for text in STORIES]
    said = seen.document_lengths
    assert (said.documents, said.max, said.median) == (60, max(stored), sorted(stored)[29])
    assert said.mean * 60 == sum(prepared.manifest["tokens"].values())


def test_documents_whose_tails_are_held_out_count_once(look: Any) -> None:
    text = story(3, sentences=200)
    seen, prepared = look(text)
    assert prepared.manifest["split_rule"] == "tails"
    said = seen.document_lengths
    assert (said.documents, said.max) == (1, prepared.manifest["tokens"]["train"])


def test_it_can_be_written_as_json(look: Any) -> None:
    seen, _ = look(*STORIES)
    said = json.loads(json.dumps(seen.as_json()))
    assert said["windows"][0] == {
        "tokens": list(seen.windows[0].tokens),
        "pieces": list(seen.windows[0].pieces),
    }
    assert said["document_lengths"]["bins"][0].keys() == {"from", "to", "documents"}
    assert said["bytes_per_token"] == seen.bytes_per_token


def test_tokens_are_divided_by_bars_where_there_are_no_colors() -> None:
    window = Window((1, 2, 9, 3), ("a", " b\n", "<|eot|>", "\x1b\tc"))
    assert printing.plain_window(window) == "a│ b↵\n│<|eot|>│\\x1b→c"


def test_what_does_not_count_is_bracketed() -> None:
    window = Window((1, 2, 3, 4, 5), ("a", "b", "c", "d", "e"), (False, False, True, True, False))
    assert printing.plain_window(window) == "⟦a│b⟧c│d⟦e⟧"


def test_the_first_token_of_a_window_is_no_target(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = DocumentLengths(0, 0.0, 0, 0, 0.0, ())
    window = Window((1, 2, 3), ("a", "b", "c"), (True, False, True))
    printing.print_inspection(Inspection((window,), 9, 1.0, 0.0, 0.0, 1, nothing))
    assert "window 1, 3 tokens: 2 inputs, 2 targets, 1 of them counted" in capsys.readouterr().out


def test_neighbors_have_different_grounds() -> None:
    spans = printing.colored_window(Window((1, 2, 9), ("a", "b", "<|eot|>"), (True, False, True)), 9).spans
    assert len({span.style.bgcolor.name for span in spans}) == 3
    assert [span.style.strike for span in spans] == [False, True, False]


def test_the_longest_bar_is_full_and_the_least_can_be_seen() -> None:
    assert printing.bar(1.0) == "█" * 40
    assert printing.bar(1e-9) == "▏"
    assert printing.bar(0.0) == ""


def test_a_small_share_is_not_said_to_be_nothing() -> None:
    assert [printing.percent(share) for share in (0, 1e-6, 0.123)] == ["0.00%", "0.0001%", "12.30%"]


def test_without_a_terminal_nothing_is_colored(look: Any, capsys: pytest.CaptureFixture[str]) -> None:
    seen: Inspection = look(*STORIES)[0]
    printing.print_inspection(seen)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert f"window 1, {WINDOW + 1} tokens: {WINDOW} inputs, {WINDOW} targets\n" in out
    assert f"bytes/token {seen.bytes_per_token:.2f}" in out
    assert out.count("│") >= 3 * WINDOW
