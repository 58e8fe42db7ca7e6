"""Packages as pip would install them, in folders of the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stlm.testing import installed_from


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Make a package known to this process until the test ends."""
    with ExitStack() as until_the_end:
        yield lambda package: until_the_end.enter_context(installed_from(package, tmp_path / f"site-{package.name}"))
