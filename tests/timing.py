"""What the benchmarks share: one call of ``fer`` in a process of its own, its time and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

FER = str(Path(sys.executable).with_name("fer"))
HEAD = "| job | images | seconds | images a second | peak MiB |\n|---|---|---|---|---|"


def resident(pid: int) -> int:
    """Return the resident bytes of a process and all below it; shared pages count once for each, never too little."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                total += int(line.split()[1]) * 1024
        children = [
            int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except (OSError, ValueError):
        return total
    return total + sum(resident(child) for child in children)


def timed(arguments: list[str], images: int, title: str, environment: dict[str, str] | None = None) -> int:
    """Run ``fer``, print a row (images, seconds, images a second, peak MiB), and return the peak in bytes.

    The peak is the largest sum of resident memory over that process and its children, sampled five times a second.
    """
    began, peak = time.monotonic(), 0
    running = subprocess.Popen(
        [FER, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (environment or {}),
    )
    while running.poll() is None:
        peak = max(peak, resident(running.pid))
        time.sleep(0.2)
    seconds = time.monotonic() - began
    if running.returncode:
        sys.exit(running.stderr.read() if running.stderr else "failed")
    print(f"| {title} | {images:,} | {seconds:.0f} | {images / seconds:.0f} | {peak / 2**20:.0f} |", flush=True)
    return peak
