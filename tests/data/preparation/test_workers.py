"""Preparing in several processes, stopping anywhere, and going on."""

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import attrs
import pytest
from corpus import PartedStories, is_held_out, story

from stlm.data.preparation import prepare as module
from stlm.data.preparation.plan import Preparation
from stlm.data.preparation.prepare import carry_out
from stlm.data.preparation.prepared import PreparedData
from stlm.data.preparation.split import SplitRule
from stlm.data.sources.files import FileDocuments
from stlm.data.sources.source import DocumentSource
from stlm.data.storage import lock_of, locked
from stlm.data.tokenizers.huggingface import HuggingFaceTokenizer
from stlm.spec.errors import StlmError, UsageError, WorkError

SHARD_BYTES = 1500


@pytest.fixture(autouse=True)
def _any_work_is_worth_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORTH_A_PROCESS_BYTES", 0)


def plan(source: DocumentSource, tokenizer: Any, parent: Path, rule: SplitRule = SplitRule.DOCUMENTS) -> Preparation:
    return Preparation.of(source, tokenizer, rule, 0.2, name="stories", parent=parent, shard_bytes=SHARD_BYTES)


def made(
    source: DocumentSource, tokenizer: Any, parent: Path, workers: int = 1, rule: SplitRule = SplitRule.DOCUMENTS
) -> PreparedData:
    return carry_out(plan(source, tokenizer, parent, rule), workers=workers)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.name != "manifest.json"}


def lasting(prepared: PreparedData) -> dict[str, Any]:
    times = ("seconds", "tokens_per_second", "content_sha256")  # of the other two
    return {key: value for key, value in prepared.manifest.items() if key not in times}


def test_any_number_of_workers_writes_the_same_bytes(bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path) -> None:
    one, two, five = (made(PartedStories(), bytes_tokenizer, tmp_path / str(n), n) for n in (1, 2, 5))
    assert contents(one.folder) == contents(two.folder) == contents(five.folder)
    assert lasting(one) == lasting(two) == lasting(five)
    assert len(one.manifest["shards"]) > 15


def test_shards_are_bounded_and_hold_the_documents_in_order(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path
) -> None:
    prepared = made(PartedStories(), bytes_tokenizer, tmp_path, 2)
    longest = max(len(story(i)) for i in range(60))
    assert all(shard["bytes"] < SHARD_BYTES + longest for shard in prepared.manifest["shards"])
    for split, wanted in (("train", False), ("val", True)):
        stream = getattr(prepared, split)
        texts = bytes_tokenizer.decode(stream.read(0, len(stream)).tolist()).split("<|endoftext|>")[:-1]
        assert texts == [story(i) for i in range(60) if is_held_out(story(i), 0.2) is wanted]


def test_a_validation_split_of_its_own_is_what_is_held_out(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path
) -> None:
    source = PartedStories(20, validation=PartedStories(7, first=100))
    prepared = made(source, bytes_tokenizer, tmp_path, 2, SplitRule.OWN)
    stream = prepared.val
    texts = bytes_tokenizer.decode(stream.read(0, len(stream)).tolist()).split("<|endoftext|>")[:-1]
    assert texts == [story(i) for i in range(100, 107)]
    assert "own validation split" in prepared.manifest["split"]
    assert sum(s["documents"] for s in prepared.manifest["shards"] if s["split"] == "train") == 20


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_finished_is_not_made_again(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = made(PartedStories(), bytes_tokenizer, tmp_path / "whole")
    with pytest.raises(WorkError, match="not JSON"):
        made(PartedStories(fails_at=50), bytes_tokenizer, tmp_path, workers)
    stopped = plan(PartedStories(), bytes_tokenizer, tmp_path)
    work = stopped.work
    finished = [name for task in stopped.tasks for name in stopped.files_made(task.index) if name.endswith(".bin")]
    before = {name: (work / name).stat().st_mtime_ns for name in finished}
    assert before
    assert not list(work.glob(".*"))
    with caplog.at_level("INFO"):
        prepared = made(PartedStories(), bytes_tokenizer, tmp_path, workers)
    assert "going on after" in caplog.text
    said = prepared.manifest
    new = sum(shard["tokens"] for shard in said["shards"] if shard["file"] not in before)
    assert said["tokens_per_second"] * said["seconds"] == pytest.approx(new, rel=0.3), "those of this call alone"
    assert contents(prepared.folder) == contents(undisturbed.folder)
    after = {name: (prepared.folder / name).stat().st_mtime_ns for name in before}
    assert after == before
    assert not work.exists()


def test_a_finished_shard_that_was_damaged_meanwhile_is_made_again(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = made(PartedStories(), bytes_tokenizer, tmp_path / "whole")
    with pytest.raises(WorkError):
        made(PartedStories(fails_at=50), bytes_tokenizer, tmp_path)
    victim = sorted(plan(PartedStories(), bytes_tokenizer, tmp_path).work.glob("*.bin"))[2]
    victim.write_bytes(b"")
    prepared = made(PartedStories(), bytes_tokenizer, tmp_path)
    assert str(victim) in caplog.text
    assert contents(prepared.folder) == contents(undisturbed.folder)


@pytest.mark.parametrize(
    ("how", "error", "says", "key"),
    [
        ("usage", UsageError, "no column", "text_column"),
        ("work", WorkError, r"rows\.jsonl:7", None),
        ("bug", WorkError, "stories 39 to 51 cannot be prepared: ZeroDivisionError", None),
        ("odd", WorkError, "two halves: one, other", None),
    ],
)
def test_what_goes_wrong_reads_the_same_from_a_worker(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path, how: str, error: type[StlmError], says: str, key: str | None
) -> None:
    told = []
    for workers in (1, 2):
        with pytest.raises(error, match=says) as caught:
            made(PartedStories(fails_at=50, how=how), bytes_tokenizer, tmp_path, workers)
        assert getattr(caught.value, "key", None) == key
        assert "in _fail" in "".join(traceback.format_exception(caught.value)), "where it happened"
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_a_worker_that_dies_is_told(bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="by signal 9"):
        made(PartedStories(fails_at=50, how="dies"), bytes_tokenizer, tmp_path, 2)


def test_parts_of_another_size_are_not_gone_on_with(bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path) -> None:
    other = PartedStories(each=7, same_name=True)
    with pytest.raises(WorkError):
        made(PartedStories(fails_at=50, same_name=True), bytes_tokenizer, tmp_path)
    assert made(other, bytes_tokenizer, tmp_path).manifest["documents"] == 60


@pytest.mark.parametrize("damage", [b"{}", b"", b"[]", None])
def test_a_damaged_entry_of_a_finished_shard_is_made_again(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    whole = made(PartedStories(), bytes_tokenizer, tmp_path / "whole")
    with pytest.raises(WorkError):
        made(PartedStories(fails_at=50), bytes_tokenizer, tmp_path)
    entry = plan(PartedStories(), bytes_tokenizer, tmp_path).work / "00001-00001.json"
    entry.unlink()
    if damage is None:
        os.mkfifo(entry)
    else:
        entry.write_bytes(damage)
    assert contents(made(PartedStories(), bytes_tokenizer, tmp_path).folder) == contents(whole.folder)
    assert f"{entry} is damaged" in caplog.text


def test_shards_of_data_that_changed_meanwhile_are_not_gone_on_with(
    bytes_tokenizer: HuggingFaceTokenizer, folder_of_stories: Path, tmp_path: Path
) -> None:
    files = tuple(sorted(folder_of_stories.iterdir()))
    before = {file: file.read_text() for file in files}
    source = FileDocuments(files, part_bytes=1)

    def change(reached: Any) -> None:
        if reached.documents == 10:
            files[10].write_text("another story")
        if reached.documents == 20:
            raise WorkError("the disk is full")

    with pytest.raises(WorkError, match="the disk is full"):
        carry_out(plan(source, bytes_tokenizer, tmp_path), change, workers=1, source=source)
    files[10].write_text(before[files[10]])
    again = carry_out(plan(source, bytes_tokenizer, tmp_path), workers=1, source=source)
    assert again.manifest["bytes"] == sum(map(len, before.values()))


def test_a_users_mistake_leaves_nothing_behind(bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        made(PartedStories(fails_at=50, how="usage"), bytes_tokenizer, tmp_path, 2)
    assert [file.suffix for file in tmp_path.iterdir()] == [".lock"]


def test_a_source_that_no_other_process_can_have_is_prepared_here(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @attrs.frozen
    class Local(PartedStories):
        def parts(self) -> list[Any]:
            @attrs.frozen
            class Inner:
                part: Any
                size: int = 5

                def documents(self, skip: int = 0) -> Any:
                    return self.part.documents(skip)

            return [Inner(part) for part in super().parts()]

    with caplog.at_level("INFO"):
        prepared = made(Local(), bytes_tokenizer, tmp_path / "a", 2)
    assert "one process prepares it" in caplog.text
    assert contents(prepared.folder) == contents(made(PartedStories(), bytes_tokenizer, tmp_path / "b").folder)


PROGRAM = """
import sys
from pathlib import Path
from corpus import PartedStories
from stlm.data.preparation import prepare as module
from stlm.data.preparation.plan import Preparation
from stlm.data.preparation.split import SplitRule
from stlm.data.tokenizers.bpe import BPETokenizer, train
module._WORTH_A_PROCESS_BYTES = 0
tokenizer = BPETokenizer(train(["a"], 258, simplify=False))
source = PartedStories(how=sys.argv[3], fails_at=50) if len(sys.argv) > 3 else PartedStories()
parent = Path(sys.argv[1])
plan = Preparation.of(source, tokenizer, SplitRule.DOCUMENTS, 0.2, name="stories", parent=parent, shard_bytes=1500)
print("ready", flush=True)
module.carry_out(plan, workers=int(sys.argv[2]))
"""


def start(folder: Path, workers: int, *how: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", PROGRAM, str(folder), str(workers), *how]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def kill(process: "subprocess.Popen[bytes]") -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path, workers: int
) -> None:
    undisturbed = contents(made(PartedStories(), bytes_tokenizer, tmp_path / "whole").folder)
    chooser = random.Random(workers)
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        process = start(folder, workers)
        time.sleep(chooser.uniform(0.0, 0.4))
        kill(process)
        assert contents(made(PartedStories(), bytes_tokenizer, folder, 3 - workers).folder) == undisturbed


def test_workers_whose_master_was_killed_end_and_let_go(bytes_tokenizer: HuggingFaceTokenizer, tmp_path: Path) -> None:
    process = start(tmp_path, 2, "sleeps")
    work = plan(PartedStories(), bytes_tokenizer, tmp_path).work
    deadline = time.monotonic() + 20
    while not list(work.glob("00003-*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill(process)
    began = time.monotonic()
    made(PartedStories(), bytes_tokenizer, tmp_path, 2)
    assert time.monotonic() - began < 20, "a worker that sleeps for a minute has kept the lock"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="it finds the workers in /proc")
def test_a_worker_that_outlives_its_master_holds_the_lock(
    tmp_path: Path, bytes_tokenizer: HuggingFaceTokenizer
) -> None:
    process = start(tmp_path, 2, "sleeps")
    work = plan(PartedStories(), bytes_tokenizer, tmp_path)
    deadline = time.monotonic() + 20
    while not list(work.work.glob("00003-*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    try:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)  # so that it does not hear of its master's end
        kill(process)
        with pytest.raises(UsageError, match="in use"), locked(lock_of(work.folder), busy="in use"):
            pass
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
    assert workers
    with locked(lock_of(work.folder)):
        pass
