"""The libraries that load what others published, kept from speaking over us."""

import contextlib
import logging
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


@contextlib.contextmanager
def silent_client(*more: str) -> Iterator[None]:
    """Keep the remarks of the hub's client, and of ``more`` loggers, from the terminal; what fails is an error."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", *more)]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
