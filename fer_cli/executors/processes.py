"""``processes``: several runs at once, each in a worker process that is kept for the next one.

A worker is a pool of one process. Workers are forked from a server that has imported PyTorch and done nothing else, where
the system can do that (Linux): the import takes seconds, a fork some hundredths of one. Where a worker dies outright (killed
by the system, a crash in a library), its run alone is lost, and another worker takes its place.
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
    """Work through the graph with up to ``workers`` processes; ``run`` must be importable by name."""
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
            finished, _ = wait(busy, graph.patience, FIRST_COMPLETED)
            for future in finished:
                worker, job = busy.pop(future)
                idle.append(worker)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    worker.shutdown()  # only when the process has ended is its claim known to be a dead one's
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
    """Return the future outcome of a job and the worker it was given to: an idle one that lives, else a new one."""
    while idle:
        worker = idle.pop()
        try:
            return worker.submit(run, job), worker
        except BrokenProcessPool:  # it died with nothing to do
            worker.shutdown()
    worker = new_worker()
    return worker.submit(run, job), worker


PRELOADED = ["fer_cli.executors.jobs", "fer_cli.learning.figures", "fer_cli.learning.fit"]
"""What the server imports for all workers; nothing of it looks for a GPU, after which no fork could use one."""


def new_worker() -> ProcessPoolExecutor:
    """Return a pool of one process, which starts with its first job."""
    context = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    context.set_forkserver_preload(PRELOADED)
    return ProcessPoolExecutor(1, mp_context=context, initializer=start_worker, initargs=(dict(os.environ),))


def record_death(job: Job) -> Outcome:
    """Record the run that a worker died of as failed, unless another process took it over, and return its outcome."""
    with job.folder.claim() as mine:
        if mine:
            job.folder.write_error("The worker process died while this run was training (killed, or out of memory?).\n")
    if mine:
        return Outcome(job.run_id, job.title, "failed", "the worker process died (killed, or out of memory?)")
    return Outcome(job.run_id, job.title, "done" if job.folder.status == "done" else "elsewhere")


def start_worker(environment: dict[str, str]) -> None:
    """Prepare a worker process: its environment, an orderly end on SIGTERM, and an end when the parent is gone."""
    os.environ.update(environment)  # a server keeps the one it was started in
    end_on_sigterm()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers in order
    threading.Thread(target=follow_parent, daemon=True).start()


def follow_parent() -> None:
    """End this process at once when its parent is gone."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
