"""Files and folders that appear whole or not at all."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stlm.data import storage
from stlm.data.storage import lock_of, locked, new_folder, read_json, write_file, write_json
from stlm.spec.errors import UsageError, WorkError


def test_writing_replaces_a_file_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for text in ("long text", "short"):
        write_file(tmp_path / "f", text)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "short"


def test_writing_into_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"cannot write .*No such file"):
        write_file(tmp_path / "nowhere" / "f", "")


def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    write_json(tmp_path / "f.json", {"a": 1})
    monkeypatch.setattr(storage, "flush", full)
    with pytest.raises(WorkError, match="No space left"):
        write_json(tmp_path / "f.json", {"a": 2})
    assert read_json(tmp_path / "f.json") == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
def test_what_is_no_json_reads_as_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "f.json").write_bytes(content)
    assert read_json(tmp_path / "f.json") is None


def test_a_new_folder_is_flushed_at_any_depth_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    plain = storage.flush
    monkeypatch.setattr(storage, "flush", lambda path: (flushed.append(path.name), plain(path)))
    with new_folder(tmp_path / "made") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("x")
        assert not (tmp_path / "made").exists()
    assert {"inner", "file"} <= set(flushed)
    assert (tmp_path / "made" / "inner" / "file").read_text() == "x"


def test_a_new_folder_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    with new_folder(tmp_path / "made") as folder:
        (folder / "file").write_text("before")
    with pytest.raises(RuntimeError), new_folder(tmp_path / "made") as folder:
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made" / "file").read_text() == "before"


def test_a_new_folder_takes_the_place_of_what_was_there_only_where_it_may(tmp_path: Path) -> None:
    for _ in range(2):
        with new_folder(tmp_path / "cache") as folder:
            (folder / "file").write_text("made")
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty", replaces=False) as folder:
        (folder / "file").write_text("made")
    assert (tmp_path / "empty" / "file").read_text() == "made"
    with pytest.raises(UsageError, match="is not empty"), new_folder(tmp_path / "empty", replaces=False) as folder:
        (folder / "file").write_text("new")
    assert (tmp_path / "empty" / "file").read_text() == "made"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "empty"]


def test_a_lock_is_held_once_and_ends_with_its_process(tmp_path: Path) -> None:
    file = lock_of(tmp_path / "target")
    code = (
        f"import os; from pathlib import Path; from stlm.data.storage import locked\nwith locked(Path({str(file)!r})):"
    )
    subprocess.run([sys.executable, "-c", f"{code} os._exit(0)"], check=True, env=os.environ)
    with locked(file), pytest.raises(UsageError, match="taken"), locked(file, busy="taken"):
        pass
    with locked(file, busy="taken"):
        pass


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(storage.fcntl, "flock", no_locks)
    with locked(tmp_path / "lock"):
        assert "keeps no locks" in caplog.text


def test_who_waits_for_a_lock_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "stlm")
    monkeypatch.setattr(storage, "_PATIENCE_SECONDS", 0.0)
    file = lock_of(tmp_path / "target")

    def wait() -> None:
        with locked(file):
            pass

    with locked(file):
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(10)
    assert f"waiting for another process that makes {tmp_path / 'target'}" in caplog.text
