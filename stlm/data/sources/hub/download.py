"""Download a file of the hub, silently, and give it up where nothing arrives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stlm.data.sources.hub.client import quiet
from stlm.data.sources.hub.errors import DATA_SET, Kind, told
from stlm.data.sources.hub.patience import SILENCE_SECONDS, Pulse, within
from stlm.spec.errors import StlmError


def downloaded(download: Callable[..., str], what: str, name: str, kind: Kind = DATA_SET) -> Path:
    """Give the copy of a file in the hub's cache, which ``download`` (of `huggingface_hub`) puts there.

    An error is one line, which begins with ``what`` where the work failed; ``name`` is the repository's.
    """
    pulse = Pulse()
    try:
        with quiet():
            return Path(within(SILENCE_SECONDS, what, lambda: download(tqdm_class=_beating(pulse)), pulse))
    except StlmError:
        raise
    except Exception as error:
        raise told(error, what, name, kind) from error


def _beating(pulse: Pulse) -> Any:
    """Make a bar that shows nothing and tells a pulse of each piece that arrived."""
    from huggingface_hub.utils import tqdm

    class Beating(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            pulse.beat()
            return super().update(n)

    return Beating
