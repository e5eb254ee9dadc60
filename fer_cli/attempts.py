"""Calls to MLflow's store, which may fail or not answer: a failure costs one warning, and training waits for no server.

A store that failed is given up in this process; one on another machine is tried again later, as servers are restarted.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Any

from fer_cli.escape import hide_secrets, one_line
from fer_cli.signals import hold_signals

log = logging.getLogger("fer")
LONGEST_WHY = 200
"""Maximum length of an error quoted in a warning."""
RETRY_S = 120.0
"""Seconds after which a store on another machine that failed is tried again."""
PATIENCE_S = 5.0
"""Seconds that the end of a run may wait for one answer of such a store; with RETRY_S, 4 % of the time of short runs."""
SHARE = 0.05
"""Of a run's time, that its end may wait for such a store if that is longer than PATIENCE_S."""
given_up: dict[str, float] = {}
"""Stores that failed in this process, each with the time (``time.monotonic``) before which it is not tried again."""


def is_remote(uri: str) -> bool:
    """Return whether a store may be on another machine: a server or a database other than a file."""
    return "://" in uri and not uri.startswith(("sqlite:", "file:"))


def is_given_up(uri: str) -> bool:
    """Return whether a store failed and is not tried again yet."""
    return time.monotonic() < given_up.get(uri, -math.inf)


def give_up(uri: str, lost: str, why: str) -> None:
    """Stop calling a store for now, and warn what is ``lost`` unless it failed before and did not answer since."""
    known = uri in given_up
    given_up[uri] = time.monotonic() + RETRY_S if is_remote(uri) else math.inf
    if not known:
        log.warning("MLflow: %s: %s", lost, why if len(why) < LONGEST_WHY else f"{why[:LONGEST_WHY]}…")


def attempt(uri: str, action: Callable[[], Any], lost: str) -> bool:
    """Run ``action`` with signals deferred; a failure warns what is ``lost``, gives up the store and returns False."""
    if is_given_up(uri):
        return False
    try:
        with hold_signals():
            action()
    except Exception as error:  # a file, database or server may raise anything
        give_up(uri, lost, one_line(hide_secrets(str(error).strip().split("\n")[0])) or type(error).__name__)
        return False
    given_up.pop(uri, None)
    return True


class Line:
    """Runs actions one after another in a thread, which ends with the process."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Callable[[], object], threading.Event]] = SimpleQueue()
        self._since = math.inf
        threading.Thread(target=self._work, name="MLflow", daemon=True).start()

    def send(self, action: Callable[[], object]) -> threading.Event:
        """Queue an action, which must not raise, and return the event of its end."""
        done = threading.Event()
        self._queue.put((action, done))
        return done

    def wait(self, done: threading.Event, patience: float) -> bool:
        """Return whether an action ended before it, or one ahead of it, took longer than ``patience`` seconds."""
        began = time.monotonic()
        while not done.wait(0.05):
            now = time.monotonic()
            if now - self._since > patience or now - began > 2 * patience:
                return False
        return True

    def _work(self) -> None:
        while True:
            action, done = self._queue.get()
            self._since = time.monotonic()
            action()
            self._since = math.inf
            done.set()


def patience(took: float) -> float:
    """Return how many seconds the end of a run that took so long may wait for an answer."""
    return max(PATIENCE_S, SHARE * took)


@cache
def line_of(uri: str) -> Line:
    """Return the line to a store, one in each process."""
    return Line()
