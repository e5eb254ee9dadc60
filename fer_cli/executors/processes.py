"""``processes``: runs in parallel, each in a reused worker process.

A worker is a pool of one process, so if it dies (killed, or a crash in a library), only its run is lost and a new worker
replaces it. On Linux, workers are forked from a server that has imported PyTorch: an import takes seconds, a fork
hundredths of one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from fer_cli.executors.agenda import Agenda
from fer_cli.executors.jobs import Job, Outcome
from fer_cli.signals import end_on_sigterm


def processes(graph: Agenda, run: Callable[[Job], Outcome], on_done: Callable[[Outcome], None], workers: int) -> None:
    """Execute the graph with up to ``workers`` processes; ``run`` must be importable by name."""
    idle: list[ProcessPoolExecutor] = []
    busy: dict[Future[Outcome], tuple[ProcessPoolExecutor, Job]] = {}
    try:
        while True:
            while len(busy) < workers and (job := graph.take()) is not None:
                future, worker = submit(idle, run, job)
                busy[future] = worker, job
            if not busy:
                if graph.pause():
                    continue
                return
            finished, _ = wait(busy, graph.timeout, FIRST_COMPLETED)
            for future in finished:
                worker, job = busy.pop(future)
                idle.append(worker)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    worker.shutdown()  # the claim counts as dead only once the process has ended
                    outcome = record_death(job)
                graph.finish(outcome)
                on_done(outcome)
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.shutdown(cancel_futures=True)


def submit(
    idle: list[ProcessPoolExecutor], run: Callable[[Job], Outcome], job: Job
) -> tuple[Future[Outcome], ProcessPoolExecutor]:
    """Submit a job to a living idle worker, else to a new one; return its future outcome and the worker."""
    while idle:
        worker = idle.pop()
        try:
            return worker.submit(run, job), worker
        except BrokenProcessPool:  # it died while idle
            worker.shutdown()
    worker = new_worker()
    return worker.submit(run, job), worker


PRELOADED = ["fer_cli.executors.jobs", "fer_cli.learning.figures", "fer_cli.learning.fit"]
"""Imports of the server; none of them may initialise CUDA, which forked workers could not use afterwards."""


def new_worker() -> ProcessPoolExecutor:
    """Return a pool of one process, started with its first job."""
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    context.set_forkserver_preload(PRELOADED)
    return ProcessPoolExecutor(1, mp_context=context, initializer=start_worker, initargs=(dict(os.environ),))


def record_death(job: Job) -> Outcome:
    """Record the run of a dead worker as failed, unless another process took it over, and return its outcome."""
    with job.folder.claim() as mine:
        if mine:
            job.folder.write_error("The worker process died while this run was training (killed, or out of memory?).\n")
    if mine:
        return Outcome(job.run_id, job.title, "failed", "the worker process died (killed, or out of memory?)")
    return Outcome(job.run_id, job.title, "done" if job.folder.status == "done" else "elsewhere")


def start_worker(environment: dict[str, str]) -> None:
    """Set up a worker process: environment, clean exit on SIGTERM, exit when the parent dies."""
    os.environ.update(environment)  # the server keeps its initial environment
    end_on_sigterm()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives Ctrl-C and terminates its workers
    threading.Thread(target=follow_parent, daemon=True).start()


def follow_parent() -> None:
    """Exit this process as soon as its parent is gone."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
