"""End what trains under a results folder: commands here and on other machines, and jobs of Slurm (``fer cancel``)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fer_cli.claims import process_started
from fer_cli.executors.queue import cancel_jobs, open_jobs, read_job
from fer_cli.inventory.progress import check_study, list_sweeps
from fer_cli.places import write_text
from fer_cli.runs import RunFolder
from fer_cli.sweeps import LOOK_S, is_here, read_calls, read_sweeps


def cancel_sweeps(results: Path, study: str | None = None) -> Iterator[str]:
    """End the commands and jobs of all sweeps, or of one study's, and yield a line for each; runs stay resumable.

    Processes here get SIGTERM; commands on other machines find a file that asks them to end. Raises ResultsError for a study
    without a sweep.
    """
    calls = read_calls(results)
    if study is not None:
        known = {call.study for call in calls.values()} | {sweep.study for sweep in list_sweeps(results)}
        check_study(study, known, results)
    for path, call in calls.items():
        owner = call.owner
        here = is_here(owner)
        if study not in {None, call.study} or (here and owner.pid == os.getpid()):
            continue
        if here and process_started(owner.pid) == owner.started:
            with suppress(ProcessLookupError):
                os.kill(owner.pid, signal.SIGTERM)
            yield f"{call.title}: {owner} is told to end"
        else:
            write_text(path.with_suffix(".cancel"), "fer cancel\n")
            yield f"{call.title}: {owner} ends within {LOOK_S:.0f} seconds, if it is still there"
    jobs = find_jobs(results, study)
    cancel_jobs(jobs)
    for name, title in jobs.items():
        yield f"{title}: Slurm job {name} is cancelled"


def find_jobs(results: Path, study: str | None) -> dict[str, str]:
    """Return the jobs that Slurm still has of runs that are not done, with the title of their sweep."""
    noted = {}
    for sweep in read_sweeps(results):
        if study in {None, sweep.study}:
            for run in sweep.runs:
                folder = RunFolder(results, run.run_id)
                if (job := read_job(folder)) is not None and folder.status != "done":
                    noted[job.job] = sweep.title
    if not noted:
        return {}
    known = open_jobs()
    return {name: title for name, title in noted.items() if known is None or name in known}
