"""Who works on a run: the content of ``claim.json``, and whether that process still lives.

A process is named by host, boot, PID namespace, pid and start time: a pid alone means another process in another container,
after a restart, or once the number is used again. Where this machine cannot see the process, the claim's heartbeat, the
modification time of its file, is all there is.
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
"""A claim's file is touched this often while its process lives."""
SILENT_S = 300.0
"""A claim counts as dead after this long without a heartbeat, where its process cannot be seen from here."""

_beats: dict[Path, tuple[float, float]] = {}
"""Claim -> a heartbeat in the future, and when (monotonic clock) it was first seen."""


class Owner(BaseModel):
    """A process that has claimed a run; boot, namespace and token are empty in claims of earlier versions."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    pid: int = Field(ge=1)
    host: str = Field(min_length=1)
    started: str | None
    boot: str = ""
    namespace: str = ""
    token: str = ""

    def __str__(self) -> str:
        """Return the process in words."""
        return f"process {self.pid} on {self.host}"


def this_process(token: str = "") -> Owner:
    """Return this process as an owner of a claim."""
    return Owner(
        pid=os.getpid(),
        host=socket.gethostname(),
        started=process_started(os.getpid()),
        boot=boot_id(),
        namespace=pid_namespace(),
        token=token,
    )


def read_owner(path: Path) -> Owner:
    """Return the owner that a ``claim.json`` names; raises OSError or ValueError when it cannot be read."""
    try:
        return Owner.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(": ".join([*map(str, first["loc"]), first["msg"]])) from None


def is_alive(owner: Owner, claim: Path) -> bool:
    """Return whether the process that a claim names still works, as far as can be seen from here.

    Of a process that this one can see, the system knows. Else the heartbeat decides. A claim of another boot of a host of
    this name is dead if it last beat before this boot; one that beat since is another machine's of the same name.
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

    A heartbeat in the future (a clock is wrong) is not trusted: it counts as silent once it has been seen not to move for
    that long by the clock of this process.
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
    """Return when process ``pid`` of this machine started (an opaque text), or None when there is none.

    Together with the pid it names a process even after the number is used again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] == "Z" else fields[19]


@cache
def boot_id() -> str:
    """Return the name of this boot of the machine, empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def boot_time() -> float:
    """Return when this machine started, in seconds of ``time.time``."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def pid_namespace() -> str:
    """Return the name of the PID namespace of this process, empty where the system has none."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (Path.readlink would make a path of it)
    except OSError:
        return ""
