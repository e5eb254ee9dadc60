"""Orderly exit on SIGTERM, deferred signals for critical sections, and a time limit."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ending = threading.Event()
"""Set once SIGTERM was received: no new work starts after it."""


def end_on_sigterm() -> None:
    """Make SIGTERM end this process in order, like Ctrl-C; call it in the main thread."""
    signal.signal(signal.SIGTERM, _end)


def _end(signum: int, frame: FrameType | None) -> None:
    ending.set()
    raise SystemExit(128 + signum)


class _Over(BaseException):
    """Time is over; no Exception, as code that must survive any error would take it for its own."""


@contextmanager
def limit_time(seconds: float) -> Iterator[None]:
    """Raise TimeoutError if the body takes longer; no effect outside the main thread or where there is no such timer.

    A timer that was running before is resumed afterwards.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def over(signum: int, frame: FrameType | None) -> None:
        raise _Over

    before = signal.signal(signal.SIGALRM, over)
    began = time.monotonic()
    left, every = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Over:
        raise TimeoutError from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 1e-3), every)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Defer SIGTERM, Ctrl-C and time limits until the body is done: an exception in a transaction can lock a database.

    No effect outside the main thread, which alone receives them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in before:
            signal.signal(number, lambda signum, frame: came.append(signum))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(next(number for number in numbers if number in came))
