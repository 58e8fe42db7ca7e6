"""The rows of a split of a data set of a hub, read from one on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from stlm.data.sources.hub import client, listing
from stlm.data.sources.hub.listing import Wanted, list_configs
from stlm.data.sources.hub.table import HubTable
from stlm.spec.errors import StlmError, UsageError, WorkError
from tests.components.benchmark.serving import publish
from tests.interchange.hub import Hub, parquet, running_hub, use_hub

CITIES = [{"name": f"city {i}", "size": i, "tags": {"of": ["x"] * (i % 3)}} for i in range(5)]
RIVERS = [{"name": "river", "size": 100, "tags": {"of": ["y"]}}]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one data set, `owner/places`, of two configurations."""
    with running_hub() as running:
        use_hub(monkeypatch, running.address, tmp_path / "cache")
        listing._list_files.cache_clear()
        tables = {("cities", "test"): CITIES, ("cities", "train"): CITIES[:1], ("rivers", "test"): RIVERS}
        publish(running, tmp_path / "places", "owner/places", tables)
        yield running


@pytest.fixture
def table(hub: Hub) -> HubTable:
    return HubTable("owner/places", "test", {"name": str, "size": int, "tags": {"of": [str]}}, ("cities",))


def failure(table: HubTable) -> StlmError:
    with pytest.raises(StlmError) as failed:
        table.rows()
    assert "\n" not in str(failed.value)
    return failed.value


def test_the_rows_of_a_split_come_in_order(table: HubTable) -> None:
    assert table.rows() == CITIES


def test_only_the_columns_that_are_asked_for_are_read(table: HubTable) -> None:
    assert attrs.evolve(table, columns={"size": int}).rows() == [{"size": row["size"]} for row in CITIES]


def test_rows_of_several_configurations_say_which_they_are_from(table: HubTable) -> None:
    rows = attrs.evolve(table, configs=("rivers", "cities"), config_as="kind").rows()
    assert rows == [{**row, "kind": kind} for kind, of in (("rivers", RIVERS), ("cities", CITIES)) for row in of]


def test_only_the_files_of_the_split_are_downloaded_and_what_the_hub_said_lies_beside_them(
    table: HubTable, tmp_path: Path
) -> None:
    import huggingface_hub

    table.rows()
    repository = tmp_path / "cache/hub/datasets--owner--places"
    assert [file.name for file in repository.rglob("snapshots/*/*/*.parquet")] == ["test-00000-of-00001.parquet"]
    assert len(list((repository / "stlm").iterdir())) == 1
    assert huggingface_hub.scan_cache_dir(tmp_path / "cache/hub").warnings == []


def test_all_configurations_are_of_one_commit_also_where_a_newer_one_was_listed(
    table: HubTable, hub: Hub, tmp_path: Path
) -> None:
    wanted, memory = Wanted("owner/places"), tmp_path / "kept"
    (first,) = list_configs(wanted, ("cities",), memory, "")
    newer = publish(hub, tmp_path / "newer", "owner/places", {("cities", "test"): CITIES, ("rivers", "test"): RIVERS})
    assert {each.commit for each in list_configs(wanted, ("cities", "rivers"), memory, "")} == {first.commit}
    listing._list_files.cache_clear()
    assert {each.commit for each in list_configs(wanted, ("cities", "rivers"), memory, "")} == {newer}


def test_where_the_hub_is_away_what_was_listed_before_holds_and_the_rest_is_told(
    table: HubTable, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise WorkError("the hub is away")

    wanted, memory = Wanted("owner/places"), tmp_path / "kept"
    before = list_configs(wanted, ("cities", "rivers"), memory, "")
    listing._list_files.cache_clear()
    monkeypatch.setattr(client, "require_reachable", away)
    assert list_configs(wanted, ("cities", "rivers"), memory, "") == before
    with pytest.raises(WorkError, match=r"^the hub is away$"):
        list_configs(wanted, ("cities", "lakes"), memory, "")


def test_the_first_mistake_of_many_configurations_is_told(table: HubTable) -> None:
    error = failure(attrs.evolve(table, configs=("cities", "lakes", "seas")))
    assert isinstance(error, UsageError)
    assert "has no configuration `lakes`; it has `cities`, `rivers`" in str(error)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": "tset"}, "data set `owner/places (cities)` has no split `tset`; it has `test`, `train`"),
        ({"columns": {"nmae": str}}, "no column `nmae`; the columns are: `name`, `size`, `tags`; did you mean `name`?"),
        ({"columns": {"name": int}}, "test-00000-of-00001.parquet: row 1: `name` holds a string, not a number"),
        ({"columns": {"size": (str, int), "name": [str]}}, "row 1: `name` holds a string, not a list"),
        ({"columns": {"tags": {"of": [int]}}}, "row 2: `tags.of[]` holds a string, not a number"),
        ({"columns": {"tags": {"off": str}}}, "row 1: `tags.off` holds null, not a string"),
        ({"columns": {"size": {"of": str}}}, "row 1: `size` holds a number, not an object"),
    ],
)
def test_what_is_not_as_expected_is_told(table: HubTable, change: dict[str, Any], said: str) -> None:
    assert said in str(failure(attrs.evolve(table, **change)))


def test_a_split_without_rows_is_told(table: HubTable, hub: Hub, tmp_path: Path) -> None:
    parquet(tmp_path / "empty/data/test-00000-of-00001.parquet", name=[])
    hub.add("datasets/owner/places", tmp_path / "empty")
    empty = attrs.evolve(table, columns={"name": str}, configs=(None,))
    assert "split `test` of data set `owner/places` has no rows" in str(failure(empty))
