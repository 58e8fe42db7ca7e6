"""A tiny run."""

import shutil
from pathlib import Path

import pytest

from stlm.experiments.run import Run, load_run
from stlm.experiments.train import train
from stlm.registry import parse_spec
from tests.conftest import TINY


@pytest.fixture(scope="session")
def trained(tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tiny spec, trained to its end once; what tests change is a copy."""
    out = tmp_path_factory.mktemp("trained")
    return train(parse_spec(TINY.format(text=tiny_text, out=out, data=tiny_text.parent)))


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    """A copy of the run in the test's own folder."""
    return load_run(shutil.copytree(trained.folder, tmp_path / "out" / trained.folder.name, symlinks=True))
