"""``slurm``: runs as jobs of a Slurm cluster, submitted through submitit (extra ``slurm``).

All runs are submitted at once, as arrays of those that wait for the same jobs (``afterok``), so that the cluster goes on
without this command. Each continues after its last whole epoch when it is requeued at its time limit. Outcomes are read from
run folders; squeue only tells which jobs are gone. The results folder must be on a disk that all nodes see. Ctrl-C and
SIGTERM leave the jobs to the cluster; ``fer cancel`` ends them.
"""

from __future__ import annotations

import logging
import pickle
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_cli.errors import DamagedError, FerError, ResultsError, nearest
from fer_cli.executors.agenda import Agenda
from fer_cli.executors.jobs import Job, Outcome
from fer_cli.executors.options import Options
from fer_cli.executors.processes import record_death
from fer_cli.executors.queue import (
    CANCELLED,
    ENDED,
    call_slurm,
    cancel_jobs,
    explain_silence,
    last_words,
    list_jobs,
    note_job,
    open_jobs,
    read_job,
)
from fer_cli.places import whole_file
from fer_cli.signals import end_on_sigterm
from fer_cli.sweeps import describe_version

log = logging.getLogger("fer")
LOOK_S = 1.0
"""Interval at which run folders are looked at."""
QUEUE_S = 15.0
"""Interval at which Slurm is asked which jobs it still has."""
LARGEST_ARRAY = 500
"""Jobs of an array; Slurm's usual limit is 1,000."""
REQUEUES = 20
"""Most time limits that a run may reach."""
NOTICE_S = 90
"""Seconds before the time limit at which a run stops to be requeued, in a limit of five minutes or more."""
LONGEST_MINUTES = 10 * 24 * 60
"""Time limit of a job in a partition without one."""


def slurm(graph: Agenda, run: Callable[[Job], Outcome], on_done: Callable[[Outcome], None]) -> None:
    """Execute the graph as jobs of Slurm; ``run`` must be importable by name on the nodes."""
    cluster = Cluster(run, graph.options)
    try:
        while True:
            cluster.submit(graph)
            if graph.options.detach:
                cluster.leave(graph)
                return
            if not cluster.watched and not graph.pause():
                return
            for outcome in cluster.collect(graph):
                if graph.finish(outcome):
                    on_done(outcome)
            cluster.drop_idle(graph)
            time.sleep(LOOK_S)
    except (KeyboardInterrupt, SystemExit):
        if names := cluster.job_names():
            log.warning("%d Slurm jobs go on without this command: fer status shows them, fer cancel ends them", len(names))
        raise
    except BaseException:
        cancel_jobs(cluster.job_names())
        raise


@dataclass(frozen=True)
class Submitted:
    """A run at Slurm: its job's name, and the time of an error that an earlier training left."""

    job: Job
    name: str
    old_error: int


class Task:
    """What a job executes: one run; submitit calls ``checkpoint`` before the time limit and requeues the job."""

    def __init__(self, run: Callable[[Job], Outcome], version: str, stop: Path) -> None:
        self.run, self.version, self.stop = run, version, stop

    def __call__(self, job: Job) -> Outcome:
        """Execute a run; raise what must stop the sweep, and RuntimeError unless it is done, so that Slurm knows."""
        end_on_sigterm()  # submitit ignores SIGTERM, which scancel sends
        try:
            refuse_version(self.version)
            outcome = self.run(job)
        except Exception as error:
            with whole_file(self.stop / job.run_id) as draft:
                draft.write_bytes(pickle.dumps(error))
            raise
        if outcome.status != "done":
            raise RuntimeError(f"{outcome.status}: {outcome.message}")
        return outcome

    def checkpoint(self, job: Job) -> Any:
        """Return the submission to requeue: the same run, which continues after its last whole epoch."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, job)


def refuse_version(expected: str) -> None:
    """Raise ResultsError unless this host has the expected versions of fer and PyTorch."""
    import socket

    if (here := describe_version()) != expected:
        raise ResultsError(
            f"host {socket.gethostname()} has {here}, the command that sent the run has {expected}; install the same "
            "version on both"
        )


class Cluster:
    """The jobs of one call at Slurm."""

    def __init__(self, run: Callable[[Job], Outcome], options: Options) -> None:
        self.watched: dict[str, Submitted] = {}
        self._run, self._options = run, options
        self._names: set[str] = set()  # of all jobs so far
        self._died: set[str] = set()  # runs whose job died once
        self._executor: Any = None
        self._stop = Path()
        self._asked = time.monotonic()
        self._parameters = check_cluster(options)

    def job_names(self) -> list[str]:
        """Return the names of the jobs that are watched."""
        return [one.name for one in self.watched.values()]

    def submit(self, graph: Agenda) -> None:
        """Submit the runs that are ready, and those that wait only for runs that are submitted or done."""
        groups: dict[tuple[str, ...], list[Job]] = {}
        while (job := graph.take()) is not None:
            if job.run_id not in self.watched and not self._adopt(job):
                groups.setdefault((), []).append(job)
        self._submit_groups(groups)
        while not graph.stopped:
            groups = {}
            for item in graph.blocked:
                needs = [need for need in item.needs if need.folder.status != "done"]
                if item.run_id not in self.watched and all(need.run_id in self.watched for need in needs):
                    names = tuple(sorted(self.watched[need.run_id].name for need in needs))
                    groups.setdefault(names, []).append(graph.make_job(item))
            if not groups:
                return
            self._submit_groups(groups)

    def _adopt(self, job: Job) -> bool:
        """Watch the job that an earlier command submitted for a run, if Slurm still has it."""
        noted = read_job(job.folder)
        if noted is None or noted.job in self._names or noted.job not in (open_jobs() or ()):
            return False
        self._names.add(noted.job)
        self.watched[job.run_id] = Submitted(job, noted.job, time_of_error(job))
        return True

    def _submit_groups(self, groups: dict[tuple[str, ...], list[Job]]) -> None:
        for needs, jobs in groups.items():
            for start in range(0, len(jobs), LARGEST_ARRAY):
                self._submit_array(jobs[start : start + LARGEST_ARRAY], needs)

    def _submit_array(self, jobs: Sequence[Job], needs: tuple[str, ...]) -> None:
        """Submit an array of jobs that start once the jobs ``needs`` ended well."""
        executor = self._open(jobs[0].compute.results)
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        errors = {job.run_id: time_of_error(job) for job in jobs}
        executor.update_parameters(dependency=f"afterok:{':'.join(needs)}" if needs else None)
        task = Task(self._run, describe_version(), self._stop)
        try:
            made = executor.map_array(task, list(jobs))
        except (FailedJobError, FailedSubmissionError) as error:
            raise FerError(f"Slurm refuses the jobs: {last_words(str(error))}") from None
        for job, one in zip(jobs, made, strict=True):
            job.folder.path.mkdir(parents=True, exist_ok=True)
            note_job(job.folder, one.job_id)
            self.watched[job.run_id] = Submitted(job, one.job_id, errors[job.run_id])
            self._names.add(one.job_id)

    def _open(self, results: Path) -> Any:
        """Return the executor of submitit, with a folder for its files."""
        if self._executor is None:
            from submitit.slurm.slurm import SlurmExecutor

            folder = results.absolute() / "slurm" / f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}"
            self._stop = folder / "stop"
            self._stop.mkdir(parents=True)
            self._executor = SlurmExecutor(folder, max_num_timeout=REQUEUES)
            self._executor.update_parameters(**self._parameters)
        return self._executor

    def collect(self, graph: Agenda) -> Iterator[Outcome]:
        """Yield the outcomes of runs that ended; raise what must stop the sweep."""
        for path in sorted(self._stop.glob("[!.]*")) if self._executor is not None else []:
            raise pickle.loads(path.read_bytes())  # noqa: S301 (written by our own jobs, in our own folder)
        known = None
        if time.monotonic() - self._asked >= QUEUE_S:
            known, self._asked = list_jobs(), time.monotonic()
        blocked = {item.run_id for item in graph.blocked}
        for name, one in list(self.watched.items()):
            state = None if known is None else known.get(one.name, "")
            gone = state is not None and (state == "" or state in ENDED)
            if graph.is_settled(name):
                continue  # one that it needs failed: see drop_idle
            if name in blocked:
                if gone:
                    del self.watched[name]  # submitted again once what it needs is done
            elif (outcome := read_outcome(one, state if gone else None)) is not None:
                del self.watched[name]
                if outcome.status != "lost" or state in CANCELLED:
                    yield outcome
                elif name in self._died:
                    yield record_death(one.job)
                else:
                    self._died.add(name)
                    log.warning("%s: Slurm job %s ended as %s; submitted again", one.job.title, one.name, state)
                    self._submit_array([one.job], ())

    def leave(self, graph: Agenda) -> None:
        """Leave all jobs to the cluster: the runs count as those of another process."""
        blocked = {item.run_id for item in graph.blocked}
        for name, one in self.watched.items():
            if name not in blocked:
                graph.finish(Outcome(name, one.job.title, "elsewhere"))

    def drop_idle(self, graph: Agenda) -> None:
        """Cancel the jobs of runs that shall not start: one that they need failed, or ``fail_fast`` stopped the rest."""
        blocked = {item.run_id for item in graph.blocked}
        dropped = []
        for name, one in list(self.watched.items()):
            if graph.stopped:
                wanted = name not in blocked and one.job.folder.status not in {"new", "stale"}
            else:
                wanted = not graph.is_settled(name)
            if not wanted:
                dropped.append(self.watched.pop(name).name)
                if graph.stopped and not graph.is_settled(name) and name not in blocked:
                    graph.put_back(name)
        cancel_jobs(dropped)


def read_outcome(one: Submitted, ended: str | None) -> Outcome | None:
    """Return the outcome of a run by its folder, or None while it is open; ``ended``: the state in which its job ended."""
    job = one.job
    status = job.folder.status
    if status == "done":
        return Outcome(job.run_id, job.title, "done")
    if status == "failed" and time_of_error(job) != one.old_error:
        return Outcome(job.run_id, job.title, "failed", job.folder.error_line())
    if ended is None:
        return None
    if status == "running":
        with suppress(DamagedError):
            owner = job.folder.owner()
            if owner is None or owner.job != f"Slurm job {one.name}":
                return Outcome(job.run_id, job.title, "elsewhere")
            job.folder.free_claim(owner.token)
    how = f"was {ended.lower()}" if ended else "is gone"
    why = f"Slurm job {one.name} {how} without a result; the same command trains the run again"
    return Outcome(job.run_id, job.title, "lost", why)


def time_of_error(job: Job) -> int:
    """Return when the run's error was written (ns), 0 if there is none."""
    try:
        return job.folder.file("error.txt").stat().st_mtime_ns
    except OSError:
        return 0


def check_cluster(options: Options) -> dict[str, Any]:
    """Return submitit's parameters; raises FerError without submitit, Slurm, or the partition."""
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise FerError("--executor slurm: submitit is not installed; pip install 'fer-cli[slurm]'") from None
    if shutil.which("sbatch") is None:
        raise FerError("--executor slurm: sbatch is not on this machine; run fer on a login node, or use --executor print")
    limits = read_partitions()
    partition = options.partition or next((name for name, (default, _) in limits.items() if default), None)
    if partition is not None and partition not in limits:
        raise FerError(f"--partition {partition}: no such partition{nearest(partition, limits)}")
    minutes = options.minutes or min(limits[partition][1] if partition else LONGEST_MINUTES, LONGEST_MINUTES)
    extra: dict[str, Any] = {name: value or True for name, value in options.sbatch} | {"kill-on-invalid-dep": "yes"}
    extra |= {"requeue": True}
    return {
        "job_name": "fer",
        "partition": options.partition,
        "time": minutes,
        "cpus_per_task": options.cpus,
        "gpus_per_task": int(options.gpus_per_run) or None,
        "array_parallelism": options.jobs,
        "signal_delay_s": min(NOTICE_S, minutes * 60 // 3),
        "stderr_to_stdout": True,
        "additional_parameters": extra,
    }


def read_partitions() -> dict[str, tuple[bool, int]]:
    """Return each partition: whether it is the default, and its time limit in minutes; raises FerError without an answer."""
    done = call_slurm("sinfo", "--noheader", "--format=%P %l")
    if done is None or done.returncode:
        why = explain_silence("sinfo") if done is None else last_words(done.stderr)
        raise FerError(f"--executor slurm: {why}; check with sinfo that the cluster is up")
    found = {}
    for name, limit in (line.split() for line in done.stdout.splitlines() if line.strip()):
        found[name.rstrip("*")] = (name.endswith("*"), minutes_of(limit))
    return found


def minutes_of(limit: str) -> int:
    """Return the minutes of a time limit as sinfo prints it, e.g. ``1-00:00:00`` or ``infinite``."""
    days, _, rest = limit.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in parts):
        return LONGEST_MINUTES
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return max(1, (int(days or 0) * 86400 + seconds) // 60)
