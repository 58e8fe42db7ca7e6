"""Pages that are followed, each once in a session, and the data that all of them share."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.running import Folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The address of the process that runs commands; see `tests.docs.served`."""
    address = tmp_path_factory.mktemp("served") / "socket"
    command = [sys.executable, "-m", "tests.docs.served", str(address)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield address
        os.killpg(process.pid, signal.SIGKILL)  # with a command that a page did not wait for


@pytest.fixture(scope="session")
def follow(tmp_path_factory: pytest.TempPathFactory, server: Path) -> Callable[[Path], Path]:
    """Do what a page says, and before it the page that it comes after; give the folder in which it was done."""
    done: dict[Path, Path] = {}
    data = tmp_path_factory.mktemp("data")

    def followed(page: Path) -> Path:
        if page not in done:
            folder = Folder(tmp_path_factory.mktemp(page.stem), data, server)
            for block in blocks(page):
                if block.what == "after":
                    folder.take(followed(Path(os.path.normpath(page.parent / block.says))))
            if page == ROOT / "README.md":
                folder.clone()
            if page.parent.parent == ROOT / "plugins":
                folder.lay_out(page.parent)
            folder.follow(page)
            done[page] = folder.work
        return done[page]

    return followed
