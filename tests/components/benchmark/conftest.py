"""A hub on this machine, and benchmarks whose rows lie on it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stlm.components.benchmark.blimp import PARADIGMS
from stlm.data.sources.hub import listing
from stlm.registry import make_component
from tests.components.benchmark.hand_made import CASES
from tests.components.benchmark.serving import Rows, Table, publish
from tests.interchange.hub import Hub, running_hub, use_hub

Published = Callable[..., Any]


def table_of(name: str, rows: Rows) -> Table:
    """Give the rows of a benchmark their configuration and split; of BLiMP, every other paradigm has them too."""
    case = CASES[name]
    configs = PARADIGMS if name == "blimp" else (case.config,)
    return {(config, case.split): rows for config in configs}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub; what was asked of another is forgotten."""
    with running_hub() as running:
        use_hub(monkeypatch, running.address, tmp_path / "cache")
        listing._list_files.cache_clear()
        yield running


@pytest.fixture
def published(hub: Hub, tmp_path: Path) -> Published:
    """Publish a benchmark's rows (those made by hand, unless given), and give the component."""

    def make(name: str, rows: Rows | None = None) -> Any:
        case = CASES[name]
        publish(hub, tmp_path / name, case.hub_id, table_of(name, case.rows if rows is None else rows))
        return make_component("benchmark", name)

    return make
