"""How many runs this machine has room for: cores and memory, within the limits of its container."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fer_cli.plan import finished_results

CGROUP = Path("/sys/fs/cgroup")
USUAL = 2**30
"""Bytes of memory of a run where none was measured: PyTorch, a small network and its images take less."""
SHARE = 0.8
"""Of the available memory, used by runs."""


def suggest_jobs(results: Path) -> int:
    """Return how many runs fit side by side: a core each, and the memory that nine of ten finished runs had at most."""
    peaks = sorted(result.cost.memory for result in finished_results(results) if result.cost.memory)
    each = peaks[int(0.9 * (len(peaks) - 1))] if peaks else USUAL
    return max(1, min(count_cores(), int(SHARE * available_memory() / each)))


def count_cores() -> int:
    """Return the cores that this process may use: those of its affinity, within the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = (CGROUP / "cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def available_memory() -> int:
    """Return the bytes of memory that are free here, within the limit of the container."""
    free = 2**62
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    with suppress(OSError, ValueError):
        limit = int((CGROUP / "memory.max").read_text())
        free = min(free, limit - int((CGROUP / "memory.current").read_text()))
    return free


def count_gpus() -> int:
    """Return the number of CUDA GPUs that PyTorch sees."""
    import torch

    return torch.cuda.device_count()
