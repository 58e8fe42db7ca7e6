"""Documents of every form to shards, and the fast engine under suspicion."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from corpus import story
from hypothesis import given
from hypothesis import strategies as st

from stlm.data.preparation.encoding import Encoder, at_seams
from stlm.data.preparation.plan import Preparation
from stlm.data.preparation.prepare import carry_out
from stlm.data.preparation.prepared import PreparedData
from stlm.data.preparation.shards import write_shards
from stlm.data.preparation.split import SplitRule, tail_start_of, where
from stlm.data.sources.memory import TextDocuments
from stlm.data.sources.source import Document, Example
from stlm.data.tokenizers import fast
from stlm.data.tokenizers.bpe import BPETokenizer, train
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
from stlm.data.tokenizers.tokenizer import encode_packed
from stlm.spec.errors import WorkError


@attrs.frozen
class Long:
    """A text in pieces."""

    text: str
    size: int = 97

    def pieces(self) -> Iterator[str]:
        yield from (self.text[i : i + self.size] for i in range(0, len(self.text), self.size))


@attrs.frozen
class Given:
    """Documents of any form."""

    given: tuple[Document, ...]
    has_completions: bool = False

    def documents(self) -> Iterator[Document]:
        yield from self.given

    def fingerprint(self) -> str:
        return f"sha256:{hashlib.sha256(repr(self.given).encode()).hexdigest()}"


def made(
    source: Any, tokenizer: Any, parent: Path, rule: SplitRule = SplitRule.DOCUMENTS, fraction: float = 0.0
) -> PreparedData:
    plan = Preparation.of(source, tokenizer, rule, fraction, name="given", parent=parent, shard_bytes=5000)
    return carry_out(plan, workers=1)


def tokens(prepared: PreparedData, split: str = "train") -> list[int]:
    stream = getattr(prepared, split)
    ids: list[int] = stream.read(0, len(stream)).tolist()
    return ids


@pytest.fixture(scope="module")
def words() -> BPETokenizer:
    return BPETokenizer(train([story(i) for i in range(40)], 400, simplify=False))


def test_a_long_text_has_the_tokens_of_the_whole(
    words: BPETokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stlm.data.preparation.encoding._PIECES_TOGETHER", 200)
    text = "".join(story(i) for i in range(30))
    prepared = made(Given((Long(text), "short", Long(text[:50]))), words, tmp_path)
    whole, short, head = words.encode_batch([text, "short", text[:50]])
    assert tokens(prepared) == [*whole, 0, *short, 0, *head, 0]
    assert prepared.manifest["bytes"] == len(text) + 55 == prepared.split_bytes["train"]
    assert [shard["documents"] for shard in prepared.manifest["shards"]] == [1, 2]


@given(st.text("ab \n.1", max_size=300), st.integers(1, 40))
def test_texts_are_cut_at_seams_alone(text: str, size: int) -> None:
    seam = words_seam()
    pieces = list(at_seams(Long(text, size).pieces(), seam))
    assert "".join(pieces) == text
    ends = np.cumsum([len(piece) for piece in pieces])[:-1].tolist()
    assert set(ends) <= {found.start() for found in seam.finditer(text)}


def words_seam() -> Any:
    return BPETokenizer(train(["a"], 258, simplify=False)).seam


def test_a_long_text_is_held_out_by_the_hash_of_the_whole(words: BPETokenizer, tmp_path: Path) -> None:
    texts = [story(i) for i in range(40)]
    short = made(Given(tuple(texts)), words, tmp_path / "a", fraction=0.3)
    long = made(Given(tuple(Long(text) for text in texts)), words, tmp_path / "b", fraction=0.3)
    for split in ("train", "val"):
        assert tokens(short, split) == tokens(long, split) != []


def test_the_tail_of_a_long_text_is_held_out(words: BPETokenizer, tmp_path: Path) -> None:
    text = "".join(story(i) for i in range(30))
    prepared = made(Given((Long(text),)), words, tmp_path, SplitRule.TAILS, 0.2)
    head, tail = (words.decode(tokens(prepared, split)).removesuffix("<|endoftext|>") for split in ("train", "val"))
    assert head + tail == text
    assert 0 <= tail_start_of(len(text), 0.2) - len(head) < 40
    assert tail[0].isspace()


def test_completions_are_marked_and_so_is_the_end_after_them(words: BPETokenizer, tmp_path: Path) -> None:
    examples = (Example("The cat ", "sat on a mat"), Example("", "dogs ran"), Example("Only a prompt", ""))
    prepared = made(Given(examples, has_completions=True), words, tmp_path)
    (shard,) = prepared.manifest["shards"]
    mask = np.fromfile(prepared.folder / shard["file"].replace(".bin", ".mask"), dtype=np.uint8)
    ids = np.array(tokens(prepared))
    assert len(mask) == len(ids)
    prompt = words.encode_batch(["The cat"])[0]  # its blank is part of the token `▁sat`, which the completion asks for
    whole = words.encode_batch([example.text for example in examples])
    expected = [0] * len(prompt) + [1] * (len(whole[0]) - len(prompt) + 1)
    expected += [1] * (len(whole[1]) + 1) + [0] * len(whole[2]) + [1]
    assert mask.tolist() == expected
    assert shard["mask_sha256"] == hashlib.sha256(mask.tobytes()).hexdigest()


def test_a_prompt_with_its_completion_is_never_cut(words: BPETokenizer, tmp_path: Path) -> None:
    examples = (Example("Say it: ", "one two three four five six seven eight nine ten"),)
    prepared = made(Given(examples, has_completions=True), words, tmp_path, SplitRule.TAILS, 0.3)
    assert words.decode(tokens(prepared)) == f"{examples[0].text}<|endoftext|>"
    assert tokens(prepared, "val") == []


def test_blank_documents_are_skipped_when_going_on(words: BPETokenizer, tmp_path: Path) -> None:
    texts = tuple(text for i in range(60) for text in (story(i), ""))
    source = Given((*texts, Long("")))
    whole = made(source, words, tmp_path / "a").manifest
    assert (whole["documents"], whole["blank_documents"], len(whole["shards"])) == (60, 61, 4)
    plan = Preparation.of(
        source, words, SplitRule.DOCUMENTS, 0.0, name="given", parent=tmp_path / "b", shard_bytes=5000
    )
    plan.work.mkdir(parents=True)
    shards = write_shards(plan.tasks[0], plan.layout, plan.encoder(), plan.work, lambda done: None)
    next(shards), next(shards)
    shards.close()
    assert carry_out(plan, workers=1).manifest["shards"] == whole["shards"]


@attrs.frozen
class Wrong:
    """An engine that is right but for one document."""

    tokenizer: HuggingFaceTokenizer
    name: str = "swift 1.0"

    def encode_packed(self, texts: list[str], utf8: list[bytes] | None = None) -> Any:
        ids, lengths = encode_packed(self.tokenizer, texts)
        if any("Story 37\n" in text for text in texts):
            ids = ids.copy()
            at = int(np.cumsum(lengths)[next(i for i, text in enumerate(texts) if "Story 37\n" in text)]) - 1
            ids[at] = 65
        return ids, lengths


def test_an_engine_that_differs_is_caught_named_and_dropped(
    bytes_tokenizer: HuggingFaceTokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = TextDocuments(tuple(story(i) for i in range(60)))
    plain = Preparation.of(
        source, bytes_tokenizer, SplitRule.DOCUMENTS, 0.2, name="given", parent=tmp_path, shard_bytes=5000
    )
    monkeypatch.setattr(fast, "fast_encoder", lambda tokenizer: None)
    right = made(source, bytes_tokenizer, tmp_path / "a")
    monkeypatch.setattr(fast, "fast_encoder", Wrong)
    monkeypatch.setattr("stlm.data.preparation.encoding._SAMPLE_DOCUMENTS", 1000)
    prepared = made(source, bytes_tokenizer, tmp_path / "b")
    assert tokens(prepared) == tokens(right)
    assert "document 38 of the data set has other ids by swift 1.0 than by tokenizers" in caplog.text
    assert prepared.manifest["engine"] == "tokenizers"
    assert plain.refused is None
    files = {file: file.read_bytes() for file in prepared.folder.iterdir()}
    (prepared.folder / prepared.manifest["shards"][0]["file"]).write_bytes(b"")
    assert made(source, bytes_tokenizer, tmp_path / "b").manifest == prepared.manifest
    assert {file: file.read_bytes() for file in prepared.folder.iterdir()} == files, "repaired without it too"


def test_a_document_that_differs_is_named_by_its_place_among_all(
    bytes_tokenizer: HuggingFaceTokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts = (" ", *(story(i) for i in range(37)), "\n", *(story(i) for i in range(37, 50)))
    monkeypatch.setattr(fast, "fast_encoder", Wrong)
    monkeypatch.setattr("stlm.data.preparation.encoding._SAMPLE_DOCUMENTS", 1000)
    monkeypatch.setattr("stlm.data.preparation.shards._BATCH_CHARACTERS", 1)  # several batches in a shard
    made(TextDocuments(texts), bytes_tokenizer, tmp_path, fraction=0.3)
    assert f"document {texts.index(story(37)) + 1} of the data set has other ids" in caplog.text


@pytest.mark.parametrize("long", [False, True])
def test_halves_of_characters_are_mended_wherever_documents_come_from(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path, long: bool
) -> None:
    torn = "alone \ud800, a pair \ud83d\ude42 and \udc00"
    document = Long(torn, size=torn.index("\ude42")) if long else torn
    prepared = made(Given((document,)), bytes_tokenizer, tmp_path)
    assert bytes_tokenizer.decode(tokens(prepared)) == "alone \ufffd, a pair 🙂 and \ufffd<|endoftext|>"
    assert prepared.manifest["bytes"] == len("alone \ufffd, a pair 🙂 and \ufffd".encode())


def test_halves_of_characters_in_a_prompt_are_mended(bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path) -> None:
    prepared = made(Given((Example("\ud800", "\udc00"),), has_completions=True), bytes_tokenizer, tmp_path)
    assert bytes_tokenizer.decode(tokens(prepared)) == "\ufffd\ufffd<|endoftext|>"


def test_the_sample_is_a_sample_and_the_same_each_time(bytes_tokenizer: HuggingFaceTokenizer) -> None:
    asked: list[str] = []

    class Asked(HuggingFaceTokenizer):
        def encode_packed(self, texts: list[str]) -> Any:
            asked.extend(texts)
            return super().encode_packed(texts)

    tokenizer = Asked(bytes_tokenizer._backend, eot="<|endoftext|>")
    encoder = Encoder(tokenizer, Wrong(bytes_tokenizer))
    texts = [story(i) for i in range(30)]
    ids, lengths = encoder.encode(texts)
    samples = []
    for seed in ("a", "a", "b"):
        asked.clear()
        encoder.check(texts, ids, lengths, seed, "here", range(1, 31))
        samples.append(list(asked))
    assert samples[0] == samples[1] != samples[2]
    assert 0 < len(samples[0]) < 30


def test_long_texts_in_one_shard_have_a_length_and_a_mask_each(words: BPETokenizer, tmp_path: Path) -> None:
    texts = (story(1), story(2, sentences=3), story(3))
    prepared = made(Given((Long(texts[0]), Long(texts[1]), texts[2]), has_completions=True), words, tmp_path)
    (shard,) = prepared.manifest["shards"]
    lengths, mask = (
        np.fromfile(prepared.folder / shard["file"].replace(".bin", kind), dtype=dtype)
        for kind, dtype in ((".lengths", "<u4"), (".mask", "u1"))
    )
    assert lengths.tolist() == [len(ids) + 1 for ids in words.encode_batch(list(texts))]
    assert mask.tolist() == [1] * sum(lengths)
    assert (shard["documents"], shard["bytes"]) == (3, sum(map(len, texts)))


def test_long_texts_without_completions_have_no_mask(words: BPETokenizer, tmp_path: Path) -> None:
    prepared = made(Given((Long(story(1)), Long(story(2)))), words, tmp_path)
    assert not list(prepared.folder.glob("*.mask"))


def test_shards_of_another_size_are_other_tokens(words: BPETokenizer, tmp_path: Path) -> None:
    def folder(shard_bytes: int) -> Path:
        source = Given((story(1),))
        return Preparation.of(
            source, words, SplitRule.DOCUMENTS, 0.1, name="given", parent=tmp_path, shard_bytes=shard_bytes
        ).folder

    assert folder(5000) == folder(5000) != folder(5001)


def test_where_a_document_goes_is_a_number_that_can_be_worked_out_by_hand() -> None:
    # SHA-256 of "abc" (FIPS 180-2, B.1) begins ba7816bf: 0xba78 / 0x10000 is 0.72839.
    assert where(b"abc", SplitRule.DOCUMENTS, 0.7283) == "train"
    assert where(b"abc", SplitRule.DOCUMENTS, 0.7285) == "val"


@attrs.frozen
class UnderOneName(Given):
    """Documents that say of themselves what others say too."""

    def fingerprint(self) -> str:
        return "sha256:one"


def test_damaged_tokens_are_not_mended_by_other_data_of_the_same_name(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path
) -> None:
    texts = [story(i) for i in range(40)]
    prepared = made(UnderOneName(tuple(texts)), bytes_tokenizer, tmp_path)
    first, last = (prepared.folder / prepared.manifest["shards"][i]["file"] for i in (0, -1))
    whole = last.read_bytes()
    last.write_bytes(whole[:-1])
    with pytest.raises(WorkError, match=f"{last.name}` is damaged, and what the data give now is not what it was"):
        made(UnderOneName((*texts[:-1], "another")), bytes_tokenizer, tmp_path)
    assert last.read_bytes() == whole[:-1]
    assert first.stat().st_size
    made(UnderOneName(tuple(texts)), bytes_tokenizer, tmp_path)
    assert last.read_bytes() == whole
