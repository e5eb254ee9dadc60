"""Records the code version, libraries and command of a result."""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from fer_cli import __version__
from fer_cli.places import PACKAGE

LIBRARIES = ("torch", "pytorch-lightning", "numpy", "scikit-learn", "opencv-contrib-python", "pandas")


@functools.cache
def code_version() -> dict[str, Any]:
    """Return fer's version and, in a git checkout, the commit and whether there are uncommitted changes."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", "fer_cli", "experiments", "data_cards") if commit else None
    return {"fer": __version__, "commit": commit, "dirty": bool(changed) if commit else None}


def provenance() -> dict[str, Any]:
    """Return code version, Python, library versions and the command line."""
    libraries = {name: metadata.version(name) for name in LIBRARIES}
    command = " ".join(["fer", *sys.argv[1:]])
    return {**code_version(), "python": sys.version.split()[0], "libraries": libraries, "command": command}


def processor_name() -> str:
    """Return the name of the processor, as far as the system states it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def peak_memory() -> int:
    """Return the most bytes of memory that this process has held since its program was loaded.

    Linux counts them as VmHWM. Its ``ru_maxrss`` starts from the parent's peak in a started program, so that a small program
    started by a large one seems large; it is the fallback elsewhere, where macOS counts it in bytes.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _git(*arguments: str) -> str | None:
    """Return git's output in this package's checkout, or None if there is none."""
    if not (PACKAGE.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
