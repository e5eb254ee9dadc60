"""SIGTERM as an orderly end, a shelter from signals for work that must not be cut in two, and a limit on its time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ending = threading.Event()
"""Set once SIGTERM has come: nothing new begins after it."""


def end_on_sigterm() -> None:
    """Let SIGTERM end this process in order, like Ctrl-C; to be called in the main thread."""
    signal.signal(signal.SIGTERM, _end)


def _end(signum: int, frame: FrameType | None) -> None:
    ending.set()
    raise SystemExit(128 + signum)


@contextmanager
def limit_time(seconds: float) -> Iterator[None]:
    """Raise TimeoutError once the body takes longer; outside the main thread and where there is no such timer, do nothing.

    Whatever timer ran before goes on afterwards.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def over(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    began = time.monotonic()
    left, every = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 1e-3), every)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Hold SIGTERM and Ctrl-C back until the body is done; outside the main thread, which alone gets them, do nothing.

    An exception out of nowhere can leave a data base locked by its own half-done transaction.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            signal.signal(number, lambda signum, frame: came.append(signum))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(signal.SIGTERM if signal.SIGTERM in came else came[0])
