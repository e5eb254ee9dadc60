"""Jobs of runs at Slurm: noted in their run folders, looked up with squeue, ended with scancel.

Whether a run is done or failed is read from its folder alone; squeue only tells which jobs are gone, and how they ended.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress

from pydantic import BaseModel, ConfigDict, ValidationError

from fer_cli.errors import FerError
from fer_cli.places import read_text, write_text
from fer_cli.runs import RunFolder

QUEUED = "queued.json"
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
"""States of jobs that will not run again."""
CANCELLED = {"CANCELLED", "DEADLINE", "REVOKED", ""}
"""States of jobs that somebody ended; "": Slurm no longer knows it."""
PATIENCE_S = 60.0
"""Most seconds that a command of Slurm may take."""


class Queued(BaseModel):
    """The content of ``queued.json``: the job of a run, e.g. ``12_3``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    scheduler: str
    job: str

    def __str__(self) -> str:
        return f"{self.scheduler} job {self.job}"


def note_job(folder: RunFolder, job: str) -> None:
    """Note the job of a run in its folder."""
    write_text(folder.file(QUEUED), Queued(scheduler="Slurm", job=job).model_dump_json() + "\n")


def read_job(folder: RunFolder) -> Queued | None:
    """Return the noted job of a run, or None."""
    with suppress(OSError, ValidationError, ValueError):
        return Queued.model_validate_json(read_text(folder.file(QUEUED)))
    return None


def list_jobs() -> dict[str, str] | None:
    """Return the state of this user's jobs that Slurm knows, each place of an array apart; None if it does not answer."""
    done = call_slurm("squeue", "--noheader", "--array", "--me", "--states=all", "--format=%i %T")
    if done is None or done.returncode:
        return None
    lines = (line.split() for line in done.stdout.splitlines() if line.strip())
    return {words[0]: words[1] for words in lines}


def open_jobs() -> set[str] | None:
    """Return this user's jobs that wait or run; None if Slurm does not answer."""
    jobs = list_jobs()
    return None if jobs is None else {name for name, state in jobs.items() if state not in ENDED}


def cancel_jobs(jobs: Iterable[str]) -> None:
    """End jobs; raises FerError if Slurm refuses."""
    if names := sorted(set(jobs)):
        done = call_slurm("scancel", *names)
        if done is None or done.returncode:
            why = explain_silence("scancel") if done is None else last_words(done.stderr)
            raise FerError(f"Slurm jobs {', '.join(names[:6])} go on: {why}; cancel them on a machine of the cluster")


def call_slurm(*command: str) -> subprocess.CompletedProcess[str] | None:
    """Return what a command of Slurm printed; None if there is no such command or it does not answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return None


def explain_silence(command: str) -> str:
    """Return why ``call_slurm`` returned None for a command."""
    if shutil.which(command) is None:
        return f"{command} is not on this machine"
    return f"{command} did not answer in {PATIENCE_S:g} seconds"


def last_words(text: str) -> str:
    """Return the last line of an error that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
