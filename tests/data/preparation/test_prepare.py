"""Preparing tokens."""

import errno
import hashlib
import json
import multiprocessing
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from corpus import is_held_out, story
from hypothesis import given
from hypothesis import strategies as st

from stlm.data.preparation import plan, shards
from stlm.data.preparation import prepare as module
from stlm.data.preparation.prepare import Reached, prepare
from stlm.data.preparation.prepared import PreparedData
from stlm.data.preparation.split import SplitRule, divide, tail_start, where
from stlm.data.preparation.unigram import unigram_baseline
from stlm.data.sources.memory import TextDocuments
from stlm.data.sources.source import Example
from stlm.data.storage import lock_of
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
from stlm.spec.errors import UsageError, WorkError


class Given:
    """A data set whose documents are given."""

    selector = "given"

    def __init__(self, *texts: str) -> None:
        self.source = TextDocuments(texts)

    def build(self, spec: Any) -> TextDocuments:
        return self.source


STORIES = Given(*(story(i) for i in range(60)))


def files_of(prepared: PreparedData, split: str, kind: str = "bin") -> list[Path]:
    shards = [shard["file"] for shard in prepared.manifest["shards"] if shard["split"] == split]
    return [(prepared.folder / file).with_suffix(f".{kind}") for file in shards]


def tokens_of(prepared: PreparedData, split: str) -> list[int]:
    stored = {"uint16": "<u2", "uint32": "<u4"}[prepared.manifest["dtype"]]
    return [i for file in files_of(prepared, split) for i in np.fromfile(file, dtype=stored).tolist()]


def reference(texts: list[str], tokenizer: HuggingFaceTokenizer) -> list[int]:
    out: list[int] = []
    for text in texts:
        out += [*tokenizer.encode_batch([text])[0], tokenizer.eot_id]
    return out


def test_the_files_hold_what_a_plain_loop_gives(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    prepared = prepare(spec_for(STORIES, fraction=0.2), bytes_tokenizer)
    assert prepared.manifest["split_rule"] == "documents"
    held_out = [text for text in STORIES.source.texts if is_held_out(text, 0.2)]
    training = [text for text in STORIES.source.texts if not is_held_out(text, 0.2)]
    assert 0 < len(held_out) < 30
    assert tokens_of(prepared, "train") == reference(training, bytes_tokenizer)
    assert tokens_of(prepared, "val") == reference(held_out, bytes_tokenizer)


def test_the_batches_of_work_leave_no_trace(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare(spec_for(STORIES), bytes_tokenizer).manifest["shards"]
    monkeypatch.setattr(shards, "_BATCH_CHARACTERS", 100)
    monkeypatch.setattr(plan, "FORMAT", -1)  # so that it is made again
    assert prepare(spec_for(STORIES), bytes_tokenizer).manifest["shards"] == whole


def test_the_manifest_tells_what_there_is(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    prepared = prepare(spec_for(STORIES), bytes_tokenizer)
    said = prepared.as_json()
    assert json.loads((prepared.folder / "manifest.json").read_text()) == prepared.manifest
    assert said["folder"] == str(prepared.folder)
    assert said["fingerprint"] == STORIES.source.fingerprint() == prepared.fingerprint
    assert said["documents"] == 60
    assert (
        said["bytes"] == sum(len(text.encode()) for text in STORIES.source.texts) == sum(said["split_bytes"].values())
    )
    assert said["dtype"] == "uint16"
    assert said["seconds"] >= 0
    for shard in said["shards"]:
        data = (prepared.folder / shard["file"]).read_bytes()
        assert shard["sha256"] == hashlib.sha256(data).hexdigest()
        assert shard["tokens"] == len(data) // 2 == said["tokens"][shard["split"]]
        ends = np.flatnonzero(np.frombuffer(data, dtype="<u2") == bytes_tokenizer.eot_id) + 1
        lengths = np.fromfile(prepared.folder / shard["file"].replace(".bin", ".lengths"), dtype="<u4")
        assert lengths.tolist() == np.diff(ends, prepend=0).tolist()
    assert len(prepared.train) == said["tokens"]["train"]
    assert len(prepared.val) == said["tokens"]["val"]


def test_bytes_are_those_of_the_normalized_text(spec_for: Any) -> None:
    from stlm.data.tokenizers.bpe import BPETokenizer, train

    tokenizer = BPETokenizer(train(["a"], 99, simplify=True))
    text = "naïve café 東京 " * 60
    prepared = prepare(spec_for(Given(text), fraction=0.5), tokenizer)
    assert prepared.manifest["bytes"] == len(text.encode())
    assert sum(prepared.split_bytes.values()) == len("naive cafe  " * 60)


def test_bytes_are_not_tokens(spec_for: Any) -> None:
    from stlm.data.tokenizers.bpe import BPETokenizer, train

    texts = STORIES.source.texts
    prepared = prepare(spec_for(STORIES), BPETokenizer(train(texts, 300, simplify=False)))
    held_out = sum(len(text.encode()) for text in texts if is_held_out(text, 0.1))
    whole = sum(len(text.encode()) for text in texts)
    assert prepared.split_bytes == {"train": whole - held_out, "val": held_out}
    assert prepared.manifest["tokens"]["val"] < held_out


def test_few_documents_have_their_tails_held_out(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    text = story(3, sentences=200)
    prepared = prepare(spec_for(Given(text), fraction=0.1), bytes_tokenizer)
    assert prepared.manifest["split_rule"] == "tails"
    assert "last 0.1 of every document" in prepared.manifest["split"]
    head, tail = divide(text, 0.1)
    assert head is not None
    assert tail is not None
    assert head + tail == text
    assert len(tail) == pytest.approx(0.1 * len(text), rel=0.02)
    assert tokens_of(prepared, "train") == reference([head], bytes_tokenizer)
    assert tokens_of(prepared, "val") == reference([tail], bytes_tokenizer)


def test_the_context_window_decides_which_rule_holds(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    few = prepare(spec_for(STORIES, context_window=8), bytes_tokenizer)
    many = prepare(spec_for(STORIES, context_window=4096), bytes_tokenizer)
    again = prepare(spec_for(STORIES, context_window=8), bytes_tokenizer)
    assert [p.manifest["split_rule"] for p in (few, many, again)] == ["documents", "tails", "documents"]
    assert again.reused
    assert again.folder == few.folder != many.folder


class Rows(Given):
    """A data set of prompts with completions, a row each."""

    selector = "rows"

    def __init__(self, *examples: Example) -> None:
        self.source = SimpleNamespace(
            documents=lambda: iter(examples),
            fingerprint=TextDocuments(tuple(example.text for example in examples)).fingerprint,
            has_completions=True,
        )


def answers(prepared: PreparedData, split: str, tokenizer: HuggingFaceTokenizer) -> set[str]:
    return set(tokenizer.decode(tokens_of(prepared, split)).split("<|endoftext|>")) - {""}


@pytest.mark.parametrize("fraction", [1e-9, 0.2, 1 - 1e-9])
@pytest.mark.parametrize("count", [2, 3, 12])
def test_rows_are_held_out_whole_and_one_at_least_on_each_side(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, count: int, fraction: float
) -> None:
    rows = [Example(f"What is {i} plus one? ", f"It is {i + 1}, and no other number.") for i in range(count)]
    spec = spec_for(Rows(*rows, Example(" ", "\n")), fraction=fraction)
    prepared = prepare(spec, bytes_tokenizer)
    train, val = (answers(prepared, split, bytes_tokenizer) for split in ("train", "val"))
    assert train | val == {row.text for row in rows}
    assert train
    assert val
    assert not train & val
    assert prepared.manifest["split"].startswith(f"{len(val)} of {count} rows ")
    assert prepare(spec, bytes_tokenizer).reused


def test_rows_of_which_none_can_be_held_out_are_told(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    row = Example("What is one plus one? ", "It is two.")
    prepared = prepare(spec_for(Rows(row, row), fraction=0.999999), bytes_tokenizer)
    assert answers(prepared, "train", bytes_tokenizer) == {row.text}
    assert prepared.manifest["tokens"]["val"] == 0
    assert "nothing is held out, because no two rows differ" in caplog.messages


def test_data_that_change_while_they_are_prepared_leave_nothing(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, folder_of_stories: Path
) -> None:
    file = folder_of_stories / "07.txt"
    before = file.read_text()

    def change(reached: Reached) -> None:
        file.write_text("another story")

    spec = spec_for(folder_of_stories)
    with pytest.raises(WorkError, match="changed while they were prepared"):
        prepare(spec, bytes_tokenizer, change)
    left = [path.name for path in (Path(spec.general.paths.data_dir) / "tokens").iterdir()]
    assert not [name for name in left if not name.endswith(".lock")], "not even what may be read again"
    new = prepare(spec, bytes_tokenizer)
    assert new.manifest["bytes"] == sum(file.stat().st_size for file in folder_of_stories.iterdir())
    file.write_text(before)
    assert prepare(spec, bytes_tokenizer).fingerprint != new.fingerprint


def test_nothing_held_out_is_told(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    letters = Given(*"abcdefghijklmnopqrstuvwxyz")  # of which none has a tail
    assert prepare(spec_for(letters, fraction=1e-9), bytes_tokenizer).manifest["tokens"]["val"] == 0
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["nothing could be held out of given-bytes, so there is no held-out loss"]
    caplog.clear()
    assert prepare(spec_for(letters, fraction=0.0), bytes_tokenizer).manifest["tokens"]["val"] == 0
    assert not [record for record in caplog.records if record.levelname == "WARNING"], "it was not asked for"


def test_rows_within_a_mixture_stay_whole(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    rows = [Example(f"What is {i} plus one? ", f"It is {i + 1}.") for i in range(5)]
    members = tuple(SimpleNamespace(component=one, weight=1.0) for one in (Rows(*rows), STORIES))
    spec = spec_for(SimpleNamespace(members=members, build=lambda spec: None), fraction=1e-9)
    spec.trainer.max_iters = spec.trainer.gradient_accumulation_steps = spec.trainer.batch_size = 1
    mixture = prepare(spec, bytes_tokenizer)
    assert mixture.members[0].manifest["split"].startswith("1 of 5 rows is held out")
    assert mixture.members[1].manifest["split_rule"] == "tails"
    of_rows = [answers(mixture.members[0], split, bytes_tokenizer) for split in ("train", "val")]
    assert of_rows[0] | of_rows[1] == {row.text for row in rows}


def test_blank_documents_are_none(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    plain = prepare(spec_for(STORIES), bytes_tokenizer).manifest
    texts = [text for story in STORIES.source.texts for text in (story, "", " \n\t")]
    said = prepare(spec_for(Given(*texts)), bytes_tokenizer).manifest
    assert (said["documents"], said["blank_documents"], plain["blank_documents"]) == (60, 120, 0)
    same = ("tokens", "bytes", "split_bytes")
    assert [said[key] for key in same] == [plain[key] for key in same]


def test_too_little_text_for_a_window_is_an_error(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    with pytest.raises(WorkError, match="data set `given` holds no whole window of 64 tokens"):
        prepare(spec_for(Given("Too little."), context_window=64), bytes_tokenizer)


def test_nothing_is_held_out_where_the_fraction_is_0(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    prepared = prepare(spec_for(STORIES, fraction=0.0), bytes_tokenizer)
    assert prepared.manifest["tokens"]["val"] == 0 == len(prepared.val)
    assert tokens_of(prepared, "train") == reference(list(STORIES.source.texts), bytes_tokenizer)


def test_the_order_of_documents_does_not_decide_what_is_held_out() -> None:
    texts = [story(i) for i in range(300)]
    held_out = {text for text in texts if is_held_out(text, 0.1)}
    assert held_out == {text for text in reversed(texts) if is_held_out(text, 0.1)}
    assert 10 < len(held_out) < 60
    assert held_out <= {text for text in texts if is_held_out(text, 0.2)}


@given(st.text(), st.floats(0.001, 1.0))
def test_a_divided_document_loses_nothing(text: str, fraction: float) -> None:
    train, val = divide(text, fraction)
    assert (train or "") + (val or "") == text  # type: ignore[operator]
    assert train is not None
    assert where(text.encode(), SplitRule.DOCUMENTS, fraction) == ("val" if is_held_out(text, fraction) else "train")
    assert where(text.encode(), SplitRule.TAILS, fraction) is None


def test_a_tail_begins_at_a_blank_and_is_one_character_at_least() -> None:
    text = "some words " * 100
    cut = tail_start(text, 0.05)
    assert text[cut] == " "
    assert 0.05 * len(text) <= len(text) - cut <= 0.05 * len(text) + 6
    assert tail_start("abcdef", 0.01) == 5
    assert tail_start("x", 0.5) == 1
    assert tail_start("東" * 1000, 0.1) == 900


def test_prepared_tokens_are_found_again(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    first = prepare(spec_for(STORIES), bytes_tokenizer)
    (file,) = files_of(first, "train")
    stamp = file.stat().st_mtime_ns
    again = prepare(spec_for(STORIES), bytes_tokenizer)
    assert (first.reused, again.reused) == (False, True)
    assert again.manifest == first.manifest
    assert file.stat().st_mtime_ns == stamp


def test_any_change_of_what_they_are_made_from_makes_them_anew(
    spec_for: Any, folder_of_stories: Path, bytes_tokenizer: HuggingFaceTokenizer
) -> None:
    from stlm.data.tokenizers.bpe import BPETokenizer, train

    def folder(fraction: float = 0.1, tokenizer: HuggingFaceTokenizer = bytes_tokenizer) -> Path:
        return prepare(spec_for(folder_of_stories, fraction), tokenizer).folder

    folders = [folder(), folder(fraction=0.2), folder(tokenizer=BPETokenizer(train(["ab"], 259, simplify=False)))]
    file = folder_of_stories / "07.txt"
    file.write_text(file.read_text() + "And then?\n")
    folders.append(folder())
    assert len(set(folders)) == 4
    file.write_text(story(7))
    assert folder() == folders[0]


def test_two_tokenizers_of_one_size_have_tokens_each(spec_for: Any) -> None:
    from stlm.data.tokenizers.bpe import BPETokenizer, train

    one, other = (BPETokenizer(train([text], 259, simplify=False)) for text in ("ab", "cd"))
    assert prepare(spec_for(STORIES), one).folder != prepare(spec_for(STORIES), other).folder


MANIFEST_EDITS: dict[str, Any] = {
    "dtype": "object",
    "documents": "x",
    "has_completions": True,
    "eot_id": 7,
    "split_bytes": {"train": 1, "val": 1},
    "vocab_size": 10,
    "unigram": None,
    "shards": [],
}


@pytest.mark.parametrize("key", list(MANIFEST_EDITS))
def test_a_manifest_that_was_changed_is_made_again(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare(spec_for(STORIES), bytes_tokenizer)
    assert first.manifest[key] != MANIFEST_EDITS[key]
    changed = first.manifest | {key: MANIFEST_EDITS[key]}
    (first.folder / "manifest.json").write_text(json.dumps(changed))
    again = prepare(spec_for(STORIES), bytes_tokenizer)
    assert f"the tokens in {first.folder} are damaged (its manifest is not what was written)" in caplog.text
    assert again.manifest[key] == first.manifest[key]
    assert prepare(spec_for(STORIES), bytes_tokenizer).reused


def test_a_pipe_in_place_of_a_manifest_or_a_lock_is_not_waited_for(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer
) -> None:
    first = prepare(spec_for(STORIES), bytes_tokenizer)
    (first.folder / "manifest.json").unlink()
    os.mkfifo(first.folder / "manifest.json")
    assert prepare(spec_for(STORIES), bytes_tokenizer).manifest["shards"] == first.manifest["shards"]
    (first.folder / "manifest.json").unlink()
    lock_of(first.folder).unlink()
    os.mkfifo(lock_of(first.folder))
    with pytest.raises(WorkError, match=re.escape(str(lock_of(first.folder)))):
        prepare(spec_for(STORIES), bytes_tokenizer)


@pytest.mark.parametrize("damage", ["short", "flipped", "gone", "folder", "lengths", "manifest", "keys", "types"])
def test_damaged_tokens_are_named_and_made_again(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare(spec_for(STORIES), bytes_tokenizer)
    whole = {file.name: file.read_bytes() for file in first.folder.iterdir() if file.suffix != ".json"}
    (train,), (val,) = (files_of(first, split) for split in ("train", "val"))
    if damage == "short":
        train.write_bytes(b"12")
    elif damage == "gone":
        val.unlink()
    elif damage == "folder":
        val.unlink()
        val.mkdir()
    elif damage == "lengths":
        val.with_suffix(".lengths").write_bytes(bytes(val.with_suffix(".lengths").stat().st_size))
    elif damage == "flipped":
        data = bytearray(train.read_bytes())
        data[0] ^= 1
        train.write_bytes(data)
    elif damage in ("keys", "types"):
        said = {k: v for k, v in first.manifest.items() if k != "split_bytes"}
        said = said if damage == "keys" else {**first.manifest, "tokens": "many"}
        (first.folder / "manifest.json").write_text(json.dumps(said))
    else:
        (first.folder / "manifest.json").write_text("{")
    with caplog.at_level("WARNING"):
        again = prepare(spec_for(STORIES), bytes_tokenizer)
    damaged = {"short": train, "flipped": train, "gone": val, "folder": val, "lengths": val.with_suffix(".lengths")}
    assert str(damaged.get(damage, first.folder)) in caplog.text
    assert {file.name: file.read_bytes() for file in again.folder.iterdir() if file.suffix != ".json"} == whole
    assert prepare(spec_for(STORIES), bytes_tokenizer).reused


def test_what_is_there_is_read_without_a_lock(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(spec_for(STORIES), bytes_tokenizer)
    monkeypatch.setattr(module, "locked", lambda *_: pytest.fail("a lock was taken"))
    assert prepare(spec_for(STORIES), bytes_tokenizer).reused


def test_a_big_vocabulary_does_not_overflow(spec_for: Any) -> None:
    class Wide:
        vocab_size, eot_id, mask_id, fingerprint = 200_000, 199_999, 199_999, "wide"

        def encode_batch(self, texts: list[str]) -> list[list[int]]:
            return [[65_536 + ord(c) for c in text] for text in texts]

        def decode_bytes(self, ids: list[int]) -> bytes:
            return "".join(chr(i - 65_536) for i in ids).encode()

    prepared = prepare(spec_for(Given("abc", "d"), fraction=0.0, context_window=2), Wide())  # type: ignore[arg-type]
    assert prepared.manifest["dtype"] == "uint32"
    assert tokens_of(prepared, "train") == [65_633, 65_634, 65_635, 199_999, 65_636, 199_999]


def test_an_id_outside_the_vocabulary_is_an_error(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    bytes_tokenizer.vocab_size = 20
    with pytest.raises(WorkError, match="outside its vocabulary of 20"):
        prepare(spec_for(STORIES), bytes_tokenizer)


def left_over(data: Path) -> list[str]:
    return [p.name for p in (data / "tokens").iterdir() if not p.name.endswith(".lock")]


def test_empty_data_is_an_error_and_leaves_nothing(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path
) -> None:
    for dataset in (Given(), Given("", "")):
        with pytest.raises(WorkError, match="is empty"):
            prepare(spec_for(dataset), bytes_tokenizer)
    assert left_over(tmp_path / "data") == []


def test_a_failure_on_the_way_leaves_nothing(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "good"}\n{"text": 3}\n')
    with pytest.raises(WorkError, match=r"rows\.jsonl:2"):
        prepare(spec_for(rows), bytes_tokenizer)
    assert left_over(tmp_path / "data") == []


def test_a_folder_that_cannot_be_written_is_one_line(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(WorkError, match="cannot write"):
        prepare(spec_for(STORIES), bytes_tokenizer)


def test_a_full_disk_is_one_line_and_leaves_nothing(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards.os, "fsync", full)
    with pytest.raises(WorkError, match=r"cannot write `.*/data/tokens/.given-bytes-.*`: No space left on device"):
        prepare(spec_for(STORIES), bytes_tokenizer)
    assert left_over(tmp_path / "data") == []


def test_what_a_killed_process_left_is_cleared_away(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path
) -> None:
    name = prepare(spec_for(STORIES), bytes_tokenizer).folder
    (name / "manifest.json").unlink()
    work = name.parent / f".{name.name}.partial"
    work.mkdir()
    (work / ".train-00000-00000.bin.7.tmp").write_bytes(b"half")
    prepare(spec_for(STORIES), bytes_tokenizer)
    assert not any(file.name.startswith(".") for file in name.iterdir())
    assert left_over(tmp_path / "data") == [name.name]


def test_a_spec_without_a_trainer_has_nothing_to_prepare(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    spec = spec_for(STORIES)
    spec.trainer = None
    with pytest.raises(UsageError, match="trainer"):
        prepare(spec, bytes_tokenizer)


def test_progress_is_told(spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer) -> None:
    told: list[Reached] = []
    prepared = prepare(spec_for(STORIES), bytes_tokenizer, told.append)
    said = prepared.manifest
    assert (told[-1].documents, told[-1].bytes) == (60, said["bytes"])
    assert told[-1].tokens == sum(said["tokens"].values())


class _Slow(TextDocuments):
    def documents(self) -> Any:
        time.sleep(0.5)
        yield from self.texts


def _prepare_elsewhere(spec: Any, queue: Any) -> None:
    from stlm.data.tokenizers.bpe import BPETokenizer, train

    prepared = prepare(spec, BPETokenizer(train(["a"], 258, simplify=False)))
    queue.put((prepared.reused, prepared.manifest["shards"]))


def test_of_two_processes_one_works_and_the_other_waits(spec_for: Any) -> None:
    dataset = Given()
    dataset.source = _Slow(STORIES.source.texts)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_prepare_elsewhere, args=(spec_for(dataset), queue)) for _ in range(2)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(reused for reused, _ in answers) == [False, True]
    assert answers[0][1] == answers[1][1]


def test_the_unigram_models_loss_is_kept_with_the_tokens(
    spec_for: Any, bytes_tokenizer: HuggingFaceTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(spec_for(STORIES), bytes_tokenizer)
    train, val = (np.bincount(tokens_of(prepared, s), minlength=bytes_tokenizer.vocab_size) for s in ("train", "val"))
    expected = unigram_baseline(train, val, prepared.split_bytes["val"])
    assert expected is not None
    assert prepared.unigram_loss == expected.nats_per_token
    monkeypatch.setattr("stlm.data.preparation.plan.unigram_baseline", None)  # would fail if it were called
    assert prepare(spec_for(STORIES), bytes_tokenizer).unigram_loss == expected.nats_per_token


def test_a_name_that_is_not_utf8_is_one_like_another(
    spec_for: Any, folder_of_stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gigatoken")
    from stlm.data.tokenizers.bpe import BPETokenizer, train

    tokenizer = BPETokenizer(train(STORIES.source.texts, 300, simplify=False))
    whole = prepare(spec_for(folder_of_stories), tokenizer).manifest
    assert "gigatoken" in whole["engine"], "whose documents are compared, by a choice that the name takes part in"
    try:
        (folder_of_stories / "00.txt").rename(folder_of_stories / os.fsdecode(b"00\xff.txt"))
    except OSError:
        pytest.skip("this file system has no such names")
    monkeypatch.setattr(plan, "FORMAT", -1)  # so that it is made again
    assert prepare(spec_for(folder_of_stories), tokenizer).manifest["shards"] == whole["shards"]
