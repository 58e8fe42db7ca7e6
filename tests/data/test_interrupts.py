"""Signals that wait until an import is over."""

import signal
import threading

import pytest

from stlm.data.interrupts import postponed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_comes_after_the_block(number: signal.Signals) -> None:
    heard: list[str] = []
    before = signal.signal(number, lambda number, frame: heard.append("signal"))
    try:
        with postponed():
            signal.raise_signal(number)
            heard.append("block")
        assert heard == ["block", "signal"]
        signal.raise_signal(number)
        assert heard == ["block", "signal", "signal"]
    finally:
        signal.signal(number, before)


def test_an_interrupt_ends_what_comes_after_the_block() -> None:
    reached = []

    def interrupted() -> None:
        with postponed():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end of the block")
        reached.append("what comes after")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached == ["the end of the block"]


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with postponed():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_to_which_no_signals_come_may_use_it_too() -> None:
    reached = []

    def work() -> None:
        with postponed():
            reached.append("the end")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached == ["the end"]
