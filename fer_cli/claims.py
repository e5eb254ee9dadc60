"""Ownership of runs: the content of ``claim.json``, and whether the owning process is alive.

A process is identified by host, boot, PID namespace, pid and start time: pids are reused and differ between containers.
A process not visible from this machine is judged by the claim's heartbeat, the modification time of its file.
"""

from __future__ import annotations

import os
import socket
import time
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fer_cli.places import read_text

HEARTBEAT_S = 20.0
"""Interval at which a live process touches its claim."""
SILENT_S = 300.0
"""Time without a heartbeat after which a claim counts as dead, if its process is not visible from here."""

_beats: dict[Path, tuple[float, float]] = {}
"""Claim -> a heartbeat in the future, and when (monotonic clock) it was first seen."""


class Owner(BaseModel):
    """A process that claimed a run; boot, namespace and token are empty in claims of earlier versions."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    pid: int = Field(ge=1)
    host: str = Field(min_length=1)
    started: str | None
    boot: str = ""
    namespace: str = ""
    token: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process(token: str = "") -> Owner:
    """Return this process as the owner of a claim."""
    return Owner(
        pid=os.getpid(),
        host=socket.gethostname(),
        started=process_started(os.getpid()),
        boot=boot_id(),
        namespace=pid_namespace(),
        token=token,
    )


def read_owner(path: Path) -> Owner:
    """Return the owner named in a ``claim.json``; raises OSError or ValueError if it cannot be read."""
    try:
        return Owner.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(": ".join([*map(str, first["loc"]), first["msg"]])) from None


def is_alive(owner: Owner, claim: Path) -> bool:
    """Return whether the owner of a claim is alive: by the process table if visible from here, else by the heartbeat.

    A claim from another boot is dead if its last heartbeat precedes this boot; a later one is another machine's of that
    name.
    """
    if owner.host == socket.gethostname() and owner.started is not None:
        same_boot = owner.boot in {"", boot_id()}
        if same_boot and owner.namespace in {"", pid_namespace()}:
            return process_started(owner.pid) == owner.started
        if not same_boot and claim.stat().st_mtime < boot_time():
            return False
    return not is_silent(claim)


def is_silent(claim: Path) -> bool:
    """Return whether a claim has had no heartbeat for ``SILENT_S``.

    A heartbeat in the future (wrong clock) counts as silent once it has not changed for that long on this process's clock.
    """
    beat = claim.stat().st_mtime
    silence = time.time() - beat
    if silence >= -HEARTBEAT_S:
        _beats.pop(claim, None)
        return silence > SILENT_S
    seen, since = _beats.get(claim, (None, 0.0))
    if seen != beat:
        since = time.monotonic()
        _beats[claim] = (beat, since)
    return time.monotonic() - since > SILENT_S


def process_started(pid: int) -> str | None:
    """Return the start time of process ``pid`` (opaque text), or None if there is none; distinguishes reused pids."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] == "Z" else fields[19]


@cache
def boot_id() -> str:
    """Return the id of this boot, empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def boot_time() -> float:
    """Return the boot time in seconds of ``time.time``."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def pid_namespace() -> str:
    """Return the id of this process's PID namespace, empty where the system has none."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (not a path)
    except OSError:
        return ""
