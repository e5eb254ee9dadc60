"""What benchmarks share: a row of results, medians of interleaved runs, and a call of ``fer`` with its peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer_cli.errors import FerError

NOT_HERE = "not applicable on this machine"


@dataclass(frozen=True)
class Row:
    """One line of a benchmark: the suite's figure, and that of the plain code beside it, measured in turns."""

    case: str
    unit: str
    """``images/s``, ``runs/s``: larger is better. ``s``, ``ms/run``, ``MiB``: smaller is better. ``%``: no ratio."""
    ours: float | None
    plain: float | None = None
    against: str = ""
    """What the plain code is."""
    repeats: int = 1
    spread: float | None = None
    """Largest over smallest of the suite's repeated times."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return how many times better the suite is than the plain code, or None without one."""
        if self.ours is None or self.plain is None or self.unit == "%":
            return None
        return self.ours / self.plain if self.unit.endswith("/s") else self.plain / self.ours

    def content(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        return {**asdict(self), "ratio": self.ratio}


def measure_in_turns(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each function in each repeat; they take turns, so that a slow moment hits all of them."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()  # caches, threads and memory are warm before the clock starts
    for _ in range(repeats):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - began)
    return taken


def compare(
    case: str,
    count: int,
    ours: Callable[[], object],
    plain: Callable[[], object] | None,
    against: str,
    repeats: int,
    unit: str = "images/s",
    note: str = "",
) -> Row:
    """Return a row of medians: ``count`` things per second, or with another unit seconds."""
    works = {"ours": ours, **({} if plain is None else {"plain": plain})}
    taken = measure_in_turns(works, repeats)
    figures = {name: statistics.median(times) for name, times in taken.items()}
    if unit.endswith("/s"):
        figures = {name: count / seconds for name, seconds in figures.items()}
    spread = max(taken["ours"]) / min(taken["ours"])
    return Row(case, unit, figures["ours"], figures.get("plain"), against, repeats, spread, note)


def call_fer(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[float, int]:
    """Return the seconds and the peak bytes of one ``fer`` command in its own process; raises FerError if it fails.

    The peak is the largest sum of resident memory over that process and its children, sampled every 0.02 s.
    """
    began, peak = time.perf_counter(), 0
    command = [sys.executable, "-m", "fer_cli", *arguments]
    with tempfile.TemporaryFile("w+") as errors:
        streams = {"stdout": subprocess.DEVNULL, "stderr": errors}
        with subprocess.Popen(command, env={**os.environ, **(environment or {})}, **streams) as running:  # type: ignore[call-overload]
            while running.poll() is None:
                peak = max(peak, resident_bytes(running.pid))
                time.sleep(0.02)
        seconds = time.perf_counter() - began
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    if running.returncode:
        raise FerError(f"fer {' '.join(arguments)}: {lines[-1] if lines else running.returncode}")
    return seconds, peak


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of a process and all below it, 0 where the system does not say; shared pages count twice."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                total += int(line.split()[1]) * 1024
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (OSError, ValueError):
        return total
    return total + sum(resident_bytes(child) for child in children)
