"""Ownership of runs: the content of ``claim.json``, and whether the owning process is alive.

A process is identified by host, boot, PID namespace, pid and start time: pids are reused and differ between containers.
A process not visible from this machine is judged by its heartbeat, a counter in ``heartbeat.txt``: it is dead once the
counter has not moved for ``SILENT_S`` on the reader's own clock, which counts from boot. No wall clocks are compared, so one
that jumps, or differs between machines, takes no run from a living process. What a reader saw, and when, is kept beside the
claim (``.seen-<boot>``), so that its next command need not watch from the start.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fer_cli.places import read_text

HEARTBEAT_S = 20.0
"""Interval at which a live process moves its counter."""
SILENT_S = 300.0
"""Time without a heartbeat after which a claim counts as dead, if its process is not visible from here."""
BEAT = "heartbeat.txt"
SEEN = ".seen-"
"""Beginning of the files in which readers note what they saw of a claim; the rest is the reader's boot."""
JOBS = {"Slurm": ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID")}
"""Scheduler -> variables that hold the array, the place in it, and the job of a process."""

_sightings: dict[Path, tuple[str, float, float]] = {}
"""Claim -> its sign of life, when it was first seen, and when that was noted in the folder (seconds since boot)."""


class Owner(BaseModel):
    """A process that claimed a run; all but pid, host and started are empty in claims of earlier versions."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    pid: int = Field(ge=1)
    host: str = Field(min_length=1)
    started: str | None
    boot: str = ""
    namespace: str = ""
    token: str = ""
    machine: str = ""
    """A hash of the machine's id, which outlasts boots."""
    since: float = 0.0
    """When it claimed the run, in seconds of its ``time.time``; for display only."""
    job: str = ""
    """Its job at a scheduler, e.g. ``Slurm job 12_3``."""

    def __str__(self) -> str:
        job = f" ({self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}{job}"


def this_process(token: str = "") -> Owner:
    """Return this process as the owner of a claim."""
    return Owner(
        pid=os.getpid(),
        host=socket.gethostname(),
        started=process_started(os.getpid()),
        boot=boot_id(),
        namespace=pid_namespace(),
        token=token,
        machine=machine_id(),
        since=round(time.time(), 1),
        job=scheduler_job(),
    )


def read_owner(path: Path) -> Owner:
    """Return the owner named in a ``claim.json``; raises OSError or ValueError if it cannot be read."""
    try:
        return Owner.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(": ".join([*map(str, first["loc"]), first["msg"]])) from None


def is_alive(owner: Owner, claim: Path) -> bool:
    """Return whether the owner of a claim is alive: by the process table if visible from here, else by its heartbeat.

    A claim of this machine from before this boot is dead; another machine of the same name is told by its id.
    """
    if owner.host == socket.gethostname() and owner.started is not None:
        same_boot = owner.boot in {"", boot_id()}
        if same_boot and owner.namespace in {"", pid_namespace()}:
            return process_started(owner.pid) == owner.started
        this_machine = owner.machine != "" and owner.machine == machine_id()
        if not same_boot and this_machine and claim.stat().st_mtime < boot_time():
            return False
    return not is_silent(owner, claim)


def is_silent(owner: Owner, claim: Path) -> bool:
    """Return whether a claim's sign of life has not changed for ``SILENT_S`` since this machine first saw it."""
    sign, now = sign_of_life(owner, claim), seconds_since_boot()
    seen, since, noted = _sightings.get(claim, ("", now, -SILENT_S))
    if seen != sign:
        since, noted = read_sighting(claim, sign, now), -SILENT_S
    if now - noted > SILENT_S / 2:
        note_sighting(claim, sign, since)
        noted = now
    _sightings[claim] = sign, since, noted
    return now - since > SILENT_S


def sign_of_life(owner: Owner, claim: Path) -> str:
    """Return a text that changes with every heartbeat: the token, the counter, and the time of the claim's file.

    Earlier versions have no counter and touch the file; its time is only compared with itself.
    """
    counter = ""
    with suppress(OSError, ValueError):
        counter = read_text(claim.with_name(BEAT)).strip()[:40]
    return f"{owner.token or owner.pid} {counter or '-'} {claim.stat().st_mtime_ns}"


def read_sighting(claim: Path, sign: str, now: float) -> float:
    """Return when an earlier process of this boot noted the same sign of life, else now; in seconds since boot."""
    with suppress(OSError, ValueError):
        noted, since = read_text(sighting_file(claim)).rsplit(" ", 1)
        if noted == sign and 0 <= float(since) <= now:
            return float(since)
    return now


def note_sighting(claim: Path, sign: str, since: float) -> None:
    """Note a sign of life beside a claim, if the folder is there and writable."""
    with suppress(OSError):
        draft = sighting_file(claim).with_suffix(f".{os.getpid()}.tmp")
        with draft.open("w", encoding="utf-8") as stream:  # not write_text, which would recreate a removed folder
            stream.write(f"{sign} {since!r}")  # in full: rounded up, a claim that is dead here would live elsewhere
        draft.replace(sighting_file(claim))


def sighting_file(claim: Path) -> Path:
    """Return the file in which this boot notes what it saw of a claim."""
    return claim.with_name(f"{SEEN}{boot_id()[:8] or socket.gethostname()}")


def seconds_since_boot() -> float:
    """Return seconds on a clock that never jumps and, on Linux, is common to all processes of this boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


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


@cache
def machine_id() -> str:
    """Return a hash of this machine's id, which should not leave it as it is; empty where the system has none."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return hashlib.sha256(f"fer {text}".encode()).hexdigest()[:16] if text else ""


def scheduler_job() -> str:
    """Return the job of this process at a scheduler, e.g. ``Slurm job 12_3``; empty without one."""
    if given := os.environ.get("FER_JOB"):  # of our own tasks
        return given
    for name, (array, place, job) in JOBS.items():
        if (first := os.environ.get(array)) and (second := os.environ.get(place)):
            return f"{name} job {first}_{second}"
        if first := os.environ.get(job):
            return f"{name} job {first}"
    return ""


def pid_namespace() -> str:
    """Return the id of this process's PID namespace, empty where the system has none."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (not a path)
    except OSError:
        return ""
