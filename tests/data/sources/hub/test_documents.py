"""Data sets of a hub, read from one on this machine that keeps Parquet files in the usual layout."""

import json
import logging
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from stlm.data.sources.hub import client, listing, patience, reading
from stlm.data.sources.hub import documents as module
from stlm.data.sources.hub.documents import HubDocuments
from stlm.data.sources.hub.listing import Wanted
from stlm.data.sources.rows import RowReader
from stlm.data.sources.source import Example, has_completions, parts_of, validation_of
from stlm.spec.errors import StlmError, UsageError, WorkError
from tests.interchange.hub import Hub, parquet, running_hub, use_hub

TRAIN = [f"story {i}" for i in range(100)]
HELD_OUT = ["a story kept", "another"]
README = """---
configs:
- config_name: en
  data_files:
  - split: train
    path: data/train-*
  - split: validation
    path: data/validation-*
---
"""
TWO_CONFIGS = """---
configs:
- config_name: sample-10BT
  data_files: ten/*.csv
  sep: ";"
- config_name: sample-100BT
  data_files: hundred/*.csv
---
"""


def write(folder: Path, **files: str) -> Path:
    """Write files; `__` in a name stands for a dot, `_S_` for a slash."""
    for name, content in files.items():
        path = folder / name.replace("__", ".").replace("_S_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def stories(folder: Path) -> Path:
    """Write a data set as it is pushed to a hub: two files of a split, and another split."""
    for i in range(2):
        texts = TRAIN[50 * i : 50 * i + 50]
        file = folder / f"data/train-0000{i}-of-00002.parquet"
        parquet(file, text=texts, id=list(range(50)), meta=[{"name": t.title()} for t in texts])
    parquet(folder / "data/validation-00000-of-00001.parquet", text=HELD_OUT, id=[0, 1], meta=[{"name": "x"}] * 2)
    return write(folder, README__md=README)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one data set, `owner/stories`."""
    with running_hub() as running:
        use_hub(monkeypatch, running.address, tmp_path / "cache")
        running.add("datasets/owner/stories", stories(tmp_path / "stories"))
        yield running


@pytest.fixture
def source(hub: Hub, tmp_path: Path) -> HubDocuments:
    return HubDocuments(Wanted("owner/stories"), RowReader(), tmp_path / "kept")


def fresh(source: HubDocuments, **changes: Any) -> HubDocuments:
    """Give a source that has to ask again, as in another process."""
    listing._list_files.cache_clear()
    return attrs.evolve(source, **changes)


def of(source: HubDocuments, name: str, **changes: Any) -> HubDocuments:
    """Give a source of another data set."""
    return attrs.evolve(source, wanted=Wanted(name, **changes))


def failure(source: HubDocuments) -> StlmError:
    """Read a source, which must fail with one line, soon."""
    began = time.monotonic()
    with pytest.raises(StlmError) as failed:
        (source.fingerprint(), *source.documents())
    assert time.monotonic() - began < 10
    assert "\n" not in str(failed.value)
    return failed.value


@pytest.mark.parametrize("streaming", [True, False])
def test_the_rows_of_all_files_of_a_split_come_in_order(source: HubDocuments, streaming: bool) -> None:
    assert list(attrs.evolve(source, streaming=streaming).documents()) == TRAIN


def test_what_is_streamed_is_not_downloaded(source: HubDocuments, hub: Hub, tmp_path: Path) -> None:
    list(attrs.evolve(source, streaming=True).documents())
    assert not list((tmp_path / "cache").rglob("*.parquet"))
    list(attrs.evolve(source, streaming=False).documents())
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 2, "and of what is downloaded, this split alone"


def test_streaming_changes_no_fingerprint(source: HubDocuments) -> None:
    assert attrs.evolve(source, streaming=True).fingerprint() == attrs.evolve(source, streaming=False).fingerprint()


@pytest.mark.parametrize(("more", "streams"), [(-1, True), (0, False)])
def test_a_split_of_more_than_that_many_bytes_is_streamed(
    source: HubDocuments, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: int, streams: bool
) -> None:
    size = sum(file.stat().st_size for file in (tmp_path / "stories/data").glob("train-*.parquet"))
    monkeypatch.setattr(module, "LARGE_BYTES", size + more)
    assert {part.streaming for part in source.parts()} == {streams}


def test_each_file_is_a_part(source: HubDocuments, tmp_path: Path) -> None:
    parts = list(parts_of(source))
    assert [str(part) for part in parts] == [f"owner/stories/data/train-0000{i}-of-00002.parquet" for i in range(2)]
    assert parts[1].size == (tmp_path / "stories/data/train-00001-of-00002.parquet").stat().st_size
    assert list(parts[1].documents()) == TRAIN[50:]


@pytest.mark.parametrize("skip", [0, 1, 7, 8, 49, 50, 51])
def test_a_part_goes_on_behind_any_document(source: HubDocuments, monkeypatch: pytest.MonkeyPatch, skip: int) -> None:
    monkeypatch.setattr(reading, "_ROWS", 8)
    assert list(source.parts()[0].documents(skip)) == TRAIN[:50][skip:]


def test_a_part_is_read_by_another_process(source: HubDocuments, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(pickle.dumps(source.parts()[1]))
    code = "import pickle, sys; print(*pickle.load(open(sys.argv[1], 'rb')).documents(48), sep='|')"
    where = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "no_proxy": "127.0.0.1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "part"], env=where, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("story 98|story 99\n", "")


def test_a_template_reaches_into_a_row(source: HubDocuments) -> None:
    told = attrs.evolve(source, reader=RowReader(prompt_template="{id}:", completion_template=" {meta.name}"))
    assert has_completions(told)
    assert next(told.documents()) == Example("0:", " Story 0")


def test_a_validation_split_is_held_out(source: HubDocuments) -> None:
    held_out = validation_of(source)
    assert held_out is not None
    assert list(held_out.documents()) == HELD_OUT


@pytest.mark.parametrize(
    ("split", "validation_split", "found"),
    [("train", "none", None), ("validation", "auto", None), ("validation", "train", "train")],
)
def test_which_split_is_held_out_can_be_said(
    source: HubDocuments, split: str, validation_split: str, found: str | None
) -> None:
    held_out = validation_of(attrs.evolve(source, split=split, validation_split=validation_split))
    assert (held_out and held_out.split) == found


def test_what_the_front_matter_says_of_a_file_holds(source: HubDocuments, hub: Hub, tmp_path: Path) -> None:
    files = {"README__md": TWO_CONFIGS, "ten_S_a__csv": "text;n\none,two;1\n", "hundred_S_b__csv": "text,n\nx,1\n"}
    hub.add("datasets/owner/two", write(tmp_path / "two", **files))
    assert list(of(source, "owner/two", config="sample-10BT").documents()) == ["one,two"]
    assert list(of(source, "owner/two", config="sample-100BT").documents()) == ["x"]


def test_what_a_fingerprint_is_of(source: HubDocuments, hub: Hub, tmp_path: Path) -> None:
    first = source.fingerprint()
    assert fresh(source).fingerprint() == first
    others = [
        attrs.evolve(source, split="validation").fingerprint(),
        attrs.evolve(source, validation_split="none").fingerprint(),
        attrs.evolve(source, reader=RowReader("id")).fingerprint(),
    ]
    hub.add("datasets/owner/stories", stories(tmp_path / "again"))
    others.append(fresh(source).fingerprint())
    assert len({first, *others}) == 5


def test_a_name_means_one_commit_for_as_long_as_a_process_runs(source: HubDocuments, hub: Hub, tmp_path: Path) -> None:
    first = source.fingerprint()
    hub.add("datasets/owner/stories", stories(tmp_path / "again"))
    assert attrs.evolve(source).fingerprint() == first


def test_a_revision_is_read_as_it_was(source: HubDocuments, hub: Hub, tmp_path: Path) -> None:
    first = source.parts()[0].commit
    newer = stories(tmp_path / "newer")
    parquet(newer / "data/train-00000-of-00002.parquet", text=["new"], id=[0], meta=[{"name": "x"}])
    hub.add("datasets/owner/stories", newer)
    assert next(fresh(source).documents()) == "new"
    assert next(of(source, "owner/stories", revision=first).documents()) == TRAIN[0]


def test_where_the_hub_is_away_the_commit_of_before_is_used(
    source: HubDocuments, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = source.fingerprint()
    list(source.documents())
    listing._list_files.cache_clear()
    with monkeypatch.context() as away, caplog.at_level(logging.INFO, "stlm"):
        away.setattr(client, "require_reachable", refused)
        assert source.fingerprint() == before
        assert list(source.documents()) == TRAIN
    commit = source.parts()[0].commit
    assert f"data set `owner/stories`: the hub cannot be asked, so commit {commit[:12]} is used" in caplog.text


def refused(*_: object, **__: object) -> None:
    raise WorkError("the hub is away")


def test_a_commit_is_not_asked_for_twice(source: HubDocuments, hub: Hub) -> None:
    pinned = of(source, "owner/stories", revision=source.parts()[0].commit)
    pinned.fingerprint()
    asked = len(hub.asked)
    assert fresh(pinned).fingerprint() == pinned.fingerprint()
    assert len(hub.asked) == asked


def test_offline_reads_what_is_in_the_cache(source: HubDocuments, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    from huggingface_hub import constants

    list(source.documents())
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert list(fresh(source).documents()) == TRAIN
    assert len(hub.asked) == asked
    assert "HF_HUB_OFFLINE forbids" in str(failure(attrs.evolve(source, split="validation")))


def test_an_unknown_name_is_a_mistake(source: HubDocuments) -> None:
    error = failure(of(source, "owner/storys"))
    assert isinstance(error, UsageError)
    assert "no data set `owner/storys`" in str(error)


def test_an_unknown_configuration_names_those_there_are(source: HubDocuments, hub: Hub, tmp_path: Path) -> None:
    files = {"README__md": TWO_CONFIGS, "ten_S_a__csv": "text\nx\n", "hundred_S_b__csv": "text\nx\n"}
    hub.add("datasets/owner/two", write(tmp_path / "two", **files))
    error = failure(of(source, "owner/two", config="sample-10B"))
    assert isinstance(error, UsageError)
    assert error.key == "config"
    assert "it has `sample-10BT`, `sample-100BT`; did you mean `sample-10BT`?" in str(error)
    assert "has several configurations, say `config`: `sample-10BT`, `sample-100BT`" in str(
        failure(of(source, "owner/two"))
    )


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ({"split": "trian"}, "split", "no split `trian`; it has `train`, `validation`; did you mean `train`?"),
        ({"validation_split": "test"}, "validation_split", "no split `test`; it has `train`, `validation`"),
        ({"wanted": Wanted("owner/stories", "v7")}, "revision", "`owner/stories` has no such revision"),
        ({"reader": RowReader("txt")}, "text_column", "no column `txt`"),
        ({"reader": RowReader(template="{txt}")}, "template", "no column `txt`"),
        ({"reader": RowReader("txt", fixed=True)}, None, "no column `txt`"),
        ({"wanted": Wanted("a/b--c..d")}, None, "write `owner/name`"),
    ],
)
def test_a_wrong_choice_is_a_mistake(source: HubDocuments, change: dict[str, Any], key: str | None, said: str) -> None:
    error = failure(attrs.evolve(source, **change))
    assert isinstance(error, UsageError)
    assert error.key == key
    assert said in str(error)


def test_a_missing_column_names_those_there_are(source: HubDocuments) -> None:
    error = failure(attrs.evolve(source, reader=RowReader("texts")))
    assert "the columns are: `text`, `id`, `meta`; did you mean `text`?" in str(error)


def test_columns_that_the_card_names_are_checked_before_anything_is_read(
    source: HubDocuments, hub: Hub, tmp_path: Path
) -> None:
    about = "dataset_info:\n  config_name: en\n  features:\n  - name: text\n    dtype: string\n"
    card = write(stories(tmp_path / "card"), README__md=README.replace("configs:", about + "configs:"))
    hub.add("datasets/owner/card", card)
    failure(attrs.evolve(of(source, "owner/card"), reader=RowReader("words")))
    assert not [asked for asked in hub.asked if asked.endswith(".parquet")]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_gate_says_where_to_ask(source: HubDocuments, hub: Hub, streaming: bool) -> None:
    hub.gated.add("datasets/owner/stories")
    error = failure(attrs.evolve(source, streaming=streaming))
    assert isinstance(error, WorkError)
    assert f"is gated: ask for access at {hub.address}/datasets/owner/stories" in str(error)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_gate_before_the_data_alone_is_told_too(source: HubDocuments, hub: Hub, streaming: bool) -> None:
    source.fingerprint()
    hub.gated.add("datasets/owner/stories")
    assert "is gated" in str(failure(attrs.evolve(source, streaming=streaming)))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"only__py": "import datasets"}, "is only a loading script, and no code of the hub is run"),
        ({"notes__bin": "x"}, "holds no data files"),
        ({"README__md": "---\nlicense: mit\n---\n"}, "holds no data files"),
    ],
)
def test_a_repository_without_data_is_a_mistake(
    source: HubDocuments, hub: Hub, tmp_path: Path, files: dict[str, str], said: str
) -> None:
    hub.add("datasets/owner/only", write(tmp_path / "only", **files))
    error = failure(of(source, "owner/only"))
    assert isinstance(error, UsageError)
    assert said in str(error)


def test_a_split_without_rows_is_a_mistake(source: HubDocuments, hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    parquet(folder / "data/train-00000-of-00001.parquet", text=[])
    hub.add("datasets/owner/empty", folder)
    error = failure(of(source, "owner/empty"))
    assert isinstance(error, UsageError)
    assert "`train` of data set `owner/empty` has no rows" in str(error)


def test_a_broken_hub_is_told_with_its_status(source: HubDocuments, hub: Hub) -> None:
    hub.status = 503
    error = failure(source)
    assert isinstance(error, WorkError)
    assert "the hub answered with status 503" in str(error)


@pytest.mark.parametrize(
    "answer",
    [b"{}", b"[]", b"<html>log in</html>", b"[" * 100_000, b'{"id": "owner/stories", "sha": "../../x"}',
     b'{"id": "owner/stories", "sha": null}'],
    ids=lambda answer: answer[:30].decode(),
)  # fmt: skip
def test_an_answer_that_names_no_commit_is_not_understood(source: HubDocuments, hub: Hub, answer: bytes) -> None:
    hub.instead["stories/revision/main"] = answer
    error = failure(source)
    assert isinstance(error, WorkError)
    assert f"data set `owner/stories` cannot be had: the answer of {hub.address} is not understood" in str(error)


@pytest.mark.parametrize("named", ["../../../../x.parquet", "data/../../x.parquet", "/etc/x.parquet", None])
def test_a_list_of_files_that_leads_out_of_the_repository_is_not_used(
    source: HubDocuments, hub: Hub, named: str | None
) -> None:
    commit = hub.models["datasets/owner/stories"]["main"]
    siblings = [{"rfilename": "README.md", "size": 3}, {"rfilename": named, "size": 9}]
    answer = {"id": "owner/stories", "sha": commit, "siblings": siblings, "tags": []}
    hub.instead["stories/revision/main"] = json.dumps(answer).encode()
    said = f"data set `owner/stories` cannot be had: the list of its files at {hub.address} is not usable: it names `"
    error = failure(source)
    assert isinstance(error, WorkError)
    assert str(error) == f"{said}{named}`"


def test_a_card_that_names_what_is_not_there_is_told_without_a_place_of_this_machine(
    source: HubDocuments, hub: Hub, tmp_path: Path
) -> None:
    card = write(stories(tmp_path / "gone"), README__md=README.replace("data/train-*", "../../x.parquet"))
    hub.add("datasets/owner/gone", card)
    error = failure(of(source, "owner/gone"))
    assert isinstance(error, WorkError)
    assert f"data set `owner/gone` cannot be had: the list of its files at {hub.address} is not usable" in str(error)
    assert str(Path.cwd()) not in str(error)


@pytest.mark.parametrize("answer", [b"<html>log in</html>", b'[{"type": "file"}]'])
def test_files_that_are_told_of_in_no_known_way_are_one_line(source: HubDocuments, hub: Hub, answer: bytes) -> None:
    hub.instead["tree/" + hub.models["datasets/owner/stories"]["main"]] = answer
    hub.instead[hub.models["datasets/owner/stories"]["main"] + "/data"] = answer
    said = "data set `owner/stories` cannot be had: what the hub says of its files is not understood"
    assert str(failure(source)) == said


@pytest.mark.parametrize("end", ["revision/main", "README.md"])
def test_a_hub_that_sends_round_in_a_circle_is_named(source: HubDocuments, hub: Hub, end: str) -> None:
    hub.circular = (end,)
    error = failure(source)
    assert isinstance(error, WorkError)
    said = f"data set `owner/stories` cannot be had: {hub.address} sends from one address to the next"
    assert str(error).startswith(said)


def test_a_page_in_place_of_a_file_is_not_streamed(source: HubDocuments, hub: Hub) -> None:
    hub.instead[".parquet"] = b"<html>log in</html>"
    error = failure(attrs.evolve(source, streaming=True))
    assert isinstance(error, WorkError)
    assert "cannot be read: the hub has 19 bytes for it, and its listing says" in str(error)
    assert sum(asked.endswith(".parquet") for asked in hub.asked) == 1, "and it is asked for once"


def test_a_refused_port_is_told_at_once(source: HubDocuments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    error = failure(source)
    assert isinstance(error, WorkError)
    assert "data set `owner/stories` cannot be had: http://127.0.0.1:9 cannot be reached" in str(error)


def test_a_hub_that_never_answers_is_given_up(
    source: HubDocuments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_hub(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path / "cache")
        error = failure(source)
    assert isinstance(error, WorkError)
    assert "cannot be reached" in str(error)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits for nothing between its attempts, and little for an answer."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    monkeypatch.setattr(client, "READ_TIMEOUT_SECONDS", 0.1)
    for library in (_http, file_download):
        monkeypatch.setattr(library, "time", SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None}))


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("streaming", [True, False])
def test_data_that_stop_half_way_are_given_up(source: HubDocuments, hub: Hub, streaming: bool) -> None:
    hub.stalling = ("train-00001-of-00002.parquet",)
    error = failure(attrs.evolve(source, streaming=streaming))
    assert isinstance(error, WorkError)
    assert "owner/stories/data/train-00001-of-00002.parquet` cannot be" in str(error)
    assert "the hub does not answer any more" in str(error)
    hub.ended.wait(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name == "stlm-hub"], "and nobody waits on"


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("streaming", [True, False])
def test_a_hub_that_breaks_down_while_data_are_read_is_told(source: HubDocuments, hub: Hub, streaming: bool) -> None:
    parts = attrs.evolve(source, streaming=streaming).parts()
    hub.status = 500
    with pytest.raises(WorkError, match=r"train-00000.* cannot be .*: the hub answered with status 500"):
        list(parts[0].documents())


def test_where_even_the_client_does_not_end_waiting_does() -> None:
    forever = threading.Event()
    with pytest.raises(WorkError, match=r"it: nothing came from the hub for 0\.1 s"):
        patience.within(0.1, "it", forever.wait)
    with pytest.raises(WorkError, match=r"it: nothing came from the hub for 0\.1 s"):
        list(patience.patiently(iter(forever.wait, True), "it", 0.1))
    forever.set()
    time.sleep(0.2)


def test_a_wait_is_told_of_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(patience, "TELLING_SECONDS", 0.1)
    with caplog.at_level("INFO", "stlm"):
        assert patience.within(30, "it", lambda: time.sleep(0.5) or "done") == "done"
        assert patience.within(30, "it", lambda: "at once") == "at once"
    assert caplog.messages == ["waiting for the hub, for 30 s at most"]


def test_who_sees_something_arrive_waits_on() -> None:
    pulse = patience.Pulse()

    def slow() -> str:
        for _ in range(6):
            time.sleep(0.05)
            pulse.beat()
        return "done"

    assert patience.within(0.2, "it", slow, pulse) == "done"


def test_what_is_read_ahead_is_given_up_when_nobody_wants_more() -> None:
    read: list[int] = []
    items = patience.patiently((read.append(i) or i for i in range(1000)), "it")  # type: ignore[func-returns-value]
    assert next(items) == 0
    items.close()
    time.sleep(0.3)
    assert len(read) < 10
    assert not [thread for thread in threading.enumerate() if thread.name == "stlm-hub"]


def test_the_settings_of_a_process_come_back(source: HubDocuments) -> None:
    import datasets
    from huggingface_hub import constants

    def settings() -> list[object]:
        level = logging.getLogger("huggingface_hub").level
        return [level, constants.HF_HUB_DOWNLOAD_TIMEOUT, datasets.config.STREAMING_READ_MAX_RETRIES]

    before = settings()
    first, second = source.documents(), source.documents()
    next(first), next(second)
    assert settings() != before
    first.close()
    assert settings() != before, "one still reads"
    second.close()
    assert settings() == before


def test_a_file_that_is_no_parquet_is_told(source: HubDocuments, hub: Hub, tmp_path: Path) -> None:
    hub.add("datasets/owner/bad", write(tmp_path / "bad", **{"data_S_train-00000-of-00001__parquet": "no"}))
    error = failure(of(source, "owner/bad"))
    assert isinstance(error, WorkError)
    assert "owner/bad/data/train-00000-of-00001.parquet` cannot be read" in str(error)


def test_nobody_else_speaks(
    source: HubDocuments, hub: Hub, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "stlm"):
        for streaming in (True, False):
            list(attrs.evolve(source, streaming=streaming).documents())
        failure(of(source, "owner/none"))
    assert capfd.readouterr() == ("", "")
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    told = [line for line in told if "HTTP Request" not in line]
    assert [line.split(" (")[0] for line in told] == [
        f"downloading owner/stories/data/train-0000{i}-of-00002.parquet" for i in range(2)
    ]
