"""Benchmarks of a hub that is away, or gives other things than it should."""

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from stlm.data.sources.hub import client, listing
from stlm.registry import make_component
from stlm.spec.errors import WorkError
from tests.components.benchmark.conftest import Published
from tests.components.benchmark.hand_made import CASES
from tests.components.benchmark.serving import publish
from tests.interchange.hub import Hub, use_hub


def failure(name: str) -> str:
    """Ask for a benchmark's rows, which must fail soon, with one line that names its data set."""
    began = time.monotonic()
    with pytest.raises(WorkError) as failed:
        make_component("benchmark", name).items(3, 0)
    assert time.monotonic() - began < 10
    said = str(failed.value)
    assert "\n" not in said
    assert said.startswith(f"data set `{CASES[name].hub_id}` ")
    return said


def away(*_: object, **__: object) -> None:
    raise WorkError("the hub is away")


@pytest.mark.parametrize("name", CASES)
def test_a_refused_port_is_told_at_once(name: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    said = failure(name)
    assert "http://127.0.0.1:9 cannot be reached" in said
    assert said.endswith("the `stlm_eval_*` benchmarks need no network")


@pytest.mark.parametrize("name", ["hellaswag", "blimp"])
def test_a_hub_that_never_answers_is_given_up(
    name: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_hub(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path / "cache")
        assert "cannot be reached" in failure(name)


@pytest.mark.parametrize("name", CASES)
def test_what_was_read_once_is_read_without_a_hub(
    published: Published, hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    benchmark = published(name)
    items = benchmark.items(0, 0)
    listing._list_files.cache_clear()
    monkeypatch.setattr(client, "require_reachable", away)
    hub.status, asked = 500, len(hub.asked)
    assert benchmark.items(0, 0) == items
    assert len(hub.asked) == asked, "and nothing is asked of it"


def test_offline_reads_what_is_in_the_cache_and_says_what_is_not(
    published: Published, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    items = published("arc_easy").items(0, 0)
    listing._list_files.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert make_component("benchmark", "arc_easy").items(0, 0) == items
    assert "it is not in the hub's cache, and HF_HUB_OFFLINE forbids to download it" in failure("piqa")


def test_many_paradigms_ask_the_hub_for_its_commit_once(published: Published, hub: Hub) -> None:
    blimp = published("blimp")
    blimp.items(0, 0)
    ours = [asked for asked in hub.asked if asked == "HEAD /"]
    assert len(ours) == 3, "one for the first paradigm, one for the others, one for all files"
    del hub.asked[:]
    listing._list_files.cache_clear()
    blimp.items(0, 0)
    assert hub.asked == ["HEAD /", "GET /datasets/nyu-mll/blimp/revision/main"]


def test_a_newer_commit_is_read_when_the_hub_is_asked_again(published: Published) -> None:
    first = published("piqa").items(0, 0)
    listing._list_files.cache_clear()
    changed = [{**row, "goal": "another"} for row in CASES["piqa"].rows]
    assert published("piqa", changed).items(0, 0)[0].pairs[0][0] == "Question: another\nAnswer:" != first[0].pairs[0][0]


def test_a_file_that_is_lost_from_the_cache_is_told_where_the_hub_is_away(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = published("blimp")
    benchmark.items(0, 0)
    for copy in (tmp_path / "cache/hub").rglob("wh_island/*.parquet"):
        copy.unlink()
    monkeypatch.setattr(client, "require_reachable", away)
    with pytest.raises(WorkError, match=r"^the hub is away$"):
        benchmark.items(0, 0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({("other", "validation"): [{"x": 1}]}, "has no configuration `winogrande_xl`; it has `other`"),
        ({("winogrande_xl", "train"): [{"x": 1}]}, "(winogrande_xl)` has no split `validation`; it has `train`"),
    ],
)
def test_a_repository_without_the_rows_is_told(hub: Hub, tmp_path: Path, table: Any, said: str) -> None:
    publish(hub, tmp_path / "data", "allenai/winogrande", table)
    with pytest.raises(WorkError) as failed:
        make_component("benchmark", "winogrande").items(3, 0)
    assert said in str(failed.value)


def test_a_paradigm_that_is_missing_is_told(hub: Hub, tmp_path: Path) -> None:
    publish(hub, tmp_path / "data", "nyu-mll/blimp", {("adjunct_island", "train"): CASES["blimp"].rows})
    assert "has no configuration `anaphor_gender_agreement`" in failure("blimp")


def test_what_else_a_hub_says_is_told(published: Published, hub: Hub) -> None:
    published("piqa")
    hub.gated.add("datasets/baber/piqa")
    assert "is gated: ask for access at" in failure("piqa")
    hub.gated.clear()
    hub.status = 503
    assert "the hub answered with status 503" in failure("piqa")
    hub.status = None
    del hub.models["datasets/baber/piqa"]
    with pytest.raises(WorkError, match=r"^the hub has no data set `baber/piqa`"):
        make_component("benchmark", "piqa").items(3, 0)
