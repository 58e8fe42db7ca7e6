"""A tiny run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stlm.experiments.run import Run, load_run
from tests.conftest import copied


@pytest.fixture(scope="session")
def trained(train_once: Callable[..., Path]) -> Path:
    """The folder of the tiny spec, trained to its end."""
    return train_once()


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    """A copy of the run in the test's own folder."""
    return load_run(copied(trained, tmp_path))
