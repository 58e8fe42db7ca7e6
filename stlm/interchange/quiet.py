"""transformers, kept from speaking over us."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def silenced(level: int) -> Iterator[None]:
    """Keep transformers' bars, and its remarks below ``level`` (of `logging`), from the terminal within the block."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(level)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
