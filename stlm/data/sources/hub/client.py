"""The libraries that speak with the hub, made to be silent and to end: by themselves they try again for minutes."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from stlm.data.quiet import silent_client
from stlm.data.reach import UnreachableError, require_reachable

READ_TIMEOUT_SECONDS = 8
"""How long a connection may be silent. The client tries six times, and waits 23 s in all between them."""

PATHS_NEED_NONE = "a path to files is read without a network"
"""What can be done where the hub cannot be reached."""


@contextmanager
def _set(owner: Any, **values: Any) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


class _Quiet:
    """Keeps bars and remarks from the terminal, downloads from being counted, and retries from being repeated.

    These settings are a process's own; those who want them at the same time share them, and the last gives them back.
    """

    def __init__(self) -> None:
        self.lock, self.users, self.stack = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self.lock:
            self.users += 1
            if self.users == 1:
                self._begin()

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                self.stack.close()

    def _begin(self) -> None:
        import datasets
        from huggingface_hub import constants

        self.stack.enter_context(silent_client("datasets", "fsspec"))
        if datasets.is_progress_bar_enabled():
            datasets.disable_progress_bars()
            self.stack.callback(datasets.enable_progress_bars)
        timeout = min(constants.HF_HUB_DOWNLOAD_TIMEOUT, READ_TIMEOUT_SECONDS)
        self.stack.enter_context(_set(constants, HF_HUB_DOWNLOAD_TIMEOUT=timeout))
        once = {
            "HF_UPDATE_DOWNLOAD_COUNTS": False,
            "STREAMING_READ_MAX_RETRIES": 1,
            "STREAMING_READ_RETRY_INTERVAL": 0,
            "STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL": 0,
            "STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL": 0,
            "STREAMING_OPEN_MAX_RETRIES": 1,
            "STREAMING_OPEN_RETRY_INTERVAL": 0,
        }
        there = {name: value for name, value in once.items() if hasattr(datasets.config, name)}
        self.stack.enter_context(_set(datasets.config, **there))


_quiet = _Quiet()


def quiet() -> _Quiet:
    """Give a context in which the libraries are silent, and give up where nothing comes."""
    return _quiet


def reach_hub(what: str, help_text: str = PATHS_NEED_NONE) -> None:
    """Raise `UnreachableError`, which begins with ``what``, in seconds unless the hub may be asked and answers."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UnreachableError(what, "it is not in the hub's cache, and HF_HUB_OFFLINE forbids to download it")
    require_reachable(constants.ENDPOINT, to_get=what, help_text=help_text)
