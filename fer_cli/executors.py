"""EXECUTORS: ways to work through a list of runs. All keep one contract.

Every job gets an outcome; a run that fails is recorded and stops nothing; a run that another process works on is left to
it; an interruption (Ctrl-C, SIGTERM) ends the run under way as killed and passes on. A full or read-only disk stops all, as
does a results folder that is gone: no later run could be kept either.
"""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Literal

from fer_cli.config import Machine, RunConfig
from fer_cli.errors import ClaimLostError, DamagedError, DataError, FeaturesError, FerError
from fer_cli.runs import RunFolder
from fer_cli.signals import end_on_sigterm, ending
from fer_cli.tasks import Inputs, task_of
from fer_cli.tracking import Mirror, RunTracker

STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
"""No room, or no right to write: the whole study stops."""


@dataclass(frozen=True)
class Job:
    """One run to train, with all a worker process needs."""

    title: str
    config: RunConfig
    fingerprint: str
    folder: RunFolder
    machine: Machine
    mirror: Mirror | None
    tags: tuple[tuple[str, str], ...] = ()
    start: RunFolder | None = None
    """The run whose weights this one starts from."""
    trained: RunFolder | None = None
    """The run whose training is this one's too."""

    @property
    def run_id(self) -> str:
        """Return the run's identity."""
        return self.folder.run_id


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    run_id: str
    title: str
    status: Literal["done", "failed", "elsewhere"]
    """``elsewhere``: another process works on it."""
    message: str = ""
    """Of a failed run, the last line of its traceback; of one that another process took over, that it did."""
    mirrored: bool = True
    """False where MLflow's store failed while the run was trained."""


def execute(job: Job) -> Outcome:
    """Train one run under its claim and leave ``result.json`` or ``error.txt`` in its folder."""
    if ending.is_set():  # a pool hands a worker the job it had ready even after a signal
        raise SystemExit(128 + signal.SIGTERM)
    from fer_cli.learning.figures import draw_run
    from fer_cli.metrics import HEADLINE
    from fer_cli.provenance import provenance

    folder = job.folder
    with folder.claim() as mine:
        if not mine:
            return Outcome(job.run_id, job.title, "done" if folder.status == "done" else "elsewhere")
        folder.write_config(job.config)
        tracker = RunTracker(job.mirror, folder)
        with logged_to(folder):
            tracker.begin(job.title, job.config, dict(job.tags))
            try:
                inputs = Inputs(folder, tracker.epoch, job.start, job.trained)
                content = task_of(job.config).run(job.config, inputs, job.machine)
                if content["data"]["fingerprint"] != job.fingerprint:
                    raise DataError(f"data set '{job.config.data.name}' was rebuilt while the study ran; start it again")
                identity = {
                    "run_id": job.run_id,
                    "fingerprint": job.fingerprint,
                    "pretrained_by": job.start and job.start.run_id,
                    "trained_by": job.trained and job.trained.run_id,
                }
                result = {**identity, "config": job.config.model_dump(mode="json"), **content, "provenance": provenance()}
                draw_run(folder.path, result)
                test = result["metrics"]["test"]
                folder.check_claim()
                tracker.end("FINISHED", {f"test/{name}": test[name] for name in HEADLINE})
                folder.write_result(result)  # last: a run is done when everything about it is
            except (KeyboardInterrupt, SystemExit):
                tracker.end("KILLED")
                raise
            except Exception as error:  # whatever a run dies of is its own affair, recorded and reported
                try:
                    folder.check_claim()  # whatever went wrong: a folder that is gone, or another's now, is why
                except ClaimLostError as lost:
                    return Outcome(job.run_id, job.title, "elsewhere", str(lost))
                if of_all_runs(error):
                    tracker.end("FAILED")
                    raise
                folder.write_error(traceback.format_exc())
                logging.getLogger("fer").error("failed: %s", error)
                tracker.end("FAILED")
                return Outcome(job.run_id, job.title, "failed", last_line(error))
    return Outcome(job.run_id, job.title, "done", mirrored=job.mirror is None or tracker.mirror is not None)


def of_all_runs(error: Exception) -> bool:
    """Return whether other runs would meet the same error: what the user must fix first, or no room to write to."""
    if isinstance(error, OSError):
        return error.errno in STORAGE_ERRORS
    return isinstance(error, FerError) and not isinstance(error, FeaturesError | DamagedError)


def last_line(error: BaseException) -> str:
    """Return ``Type: message`` in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class logged_to:
    """Send the ``fer`` log to ``log.txt`` of a run while it lasts."""

    def __init__(self, folder: RunFolder) -> None:
        self.handler = logging.FileHandler(folder.file("log.txt"), encoding="utf-8")
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def __enter__(self) -> None:
        """Attach the file."""
        logger = logging.getLogger("fer")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self.handler)

    def __exit__(self, *_: object) -> None:
        """Detach and close it."""
        logging.getLogger("fer").removeHandler(self.handler)
        self.handler.close()


def serial(jobs: list[Job], workers: int, done: Callable[[Outcome], None]) -> None:
    """Work through the jobs in this process, one after another."""
    for job in jobs:
        done(execute(job))


def processes(jobs: list[Job], workers: int, done: Callable[[Outcome], None]) -> None:
    """Work through the jobs in ``workers`` processes.

    When a worker dies outright (killed by the system, a crash in a library) the runs it and its neighbours held are told
    apart by their claims, the dead one's is recorded as failed, and the rest goes on in fresh processes.
    """
    waiting = list(jobs)
    while waiting:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker, initargs=(os.getpid(),))
        try:
            futures = {pool.submit(execute, job): job for job in waiting}
            lost = collect(futures, done)
        except BaseException:
            for future in futures:
                future.cancel()
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        waiting = without_the_dead(lost, done)


def collect(futures: dict[Future[Outcome], Job], done: Callable[[Outcome], None]) -> list[Job]:
    """Report finished jobs as they come; return those whose outcome was lost because a worker died."""
    pending: Iterable[Future[Outcome]] = set(futures)
    lost: list[Job] = []
    while pending:
        finished, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in finished:
            try:
                done(future.result())
            except BrokenProcessPool:
                lost.append(futures[future])
    return lost


def without_the_dead(lost: list[Job], done: Callable[[Outcome], None]) -> list[Job]:
    """Record the run a worker died of as failed and return the other lost jobs, to be tried again.

    To be called when all processes of the pool have ended: one that is being killed counts as alive for a moment.
    """
    again = list(lost)
    if lost:
        died = [job for job in lost if left_behind(job.folder)]
        for job in died or lost[:1]:
            folder = job.folder
            again.remove(job)
            with folder.claim() as mine:  # takes over what the dead one left, unless another process already did
                if mine:
                    folder.write_error("The worker process died while this run was training (killed, or out of memory?).\n")
            if mine:
                done(Outcome(job.run_id, job.title, "failed", "the worker process died (killed, or out of memory?)"))
            else:
                done(Outcome(job.run_id, job.title, "done" if folder.status == "done" else "elsewhere"))
    return again


def left_behind(folder: RunFolder) -> bool:
    """Return whether a run's claim outlived its process; neighbours of a dead worker end in order and remove theirs."""
    return folder.file("claim.json").is_file() and not folder.claimed


def start_worker(parent: int) -> None:
    """Prepare a worker process: end on SIGTERM as on Ctrl-C, and never outlive the parent."""
    end_on_sigterm()
    threading.Thread(target=watch_parent, args=(parent,), daemon=True).start()


def watch_parent(parent: int) -> None:
    """End this process at once when its parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


EXECUTORS: dict[str, Callable[[list[Job], int, Callable[[Outcome], None]], None]] = {
    "serial": serial,
    "processes": processes,
}
