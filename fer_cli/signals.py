"""SIGTERM as an orderly end, and a shelter from signals for work that must not be cut in two."""

from __future__ import annotations

import signal
import threading
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
def held_back() -> Iterator[None]:
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
