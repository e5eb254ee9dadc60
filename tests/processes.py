"""Waiting for other processes, and catching one at work."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def stopped_at_work(results: Path) -> Path:
    """Halt a worker and return the claim it holds; one caught between two runs is let go and tried again."""
    for _ in range(100):
        for claim in results.glob("runs/*/claim.json"):
            with suppress(OSError, ValueError):
                worker = json.loads(claim.read_text())["pid"]
                os.kill(worker, signal.SIGSTOP)
                time.sleep(0.1)
                if claim.is_file() and not claim.with_name("result.json").is_file():
                    return claim
                os.kill(worker, signal.SIGCONT)
        time.sleep(0.1)
    raise AssertionError("no worker was caught at work")
