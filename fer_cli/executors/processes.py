"""``processes``: runs in parallel, each in a reused worker process.

A worker is a pool of one process, so if it dies (killed, or a crash in a library), no other run is affected and a new worker
replaces it. A run that ran out of memory, or whose worker died, is trained once more, alone on its GPU or machine. On Linux,
workers are forked from a server that has imported PyTorch: an import takes seconds, a fork hundredths of one.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

from fer_cli.executors.agenda import Agenda
from fer_cli.executors.jobs import Job, Outcome
from fer_cli.executors.options import Options
from fer_cli.executors.slots import Slot, Slots
from fer_cli.signals import end_on_sigterm

log = logging.getLogger("fer")


@dataclass(frozen=True)
class Task:
    """A job at work: where, and by which worker."""

    job: Job
    slot: Slot
    worker: ProcessPoolExecutor


def processes(graph: Agenda, run: Callable[[Job], Outcome], on_done: Callable[[Outcome], None]) -> None:
    """Execute the graph in worker processes, as many as there are places; ``run`` must be importable by name."""
    crew = Crew(run, graph.options)
    if graph.size:
        start_server()  # imports while the first jobs are prepared, which opens MLflow's store
    try:
        while True:
            while (place := crew.find_place(graph)) is not None:
                crew.start(*place)
            if not crew.busy:
                if graph.pause():
                    continue
                return
            finished, _ = wait(crew.busy, graph.timeout, FIRST_COMPLETED)
            for future in finished:
                outcome = crew.collect(future)
                if outcome is not None and graph.finish(outcome):
                    on_done(outcome)
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        crew.dismiss()


class Crew:
    """Workers by GPU, the jobs they work on, and the jobs to be trained again alone."""

    def __init__(self, run: Callable[[Job], Outcome], options: Options) -> None:
        self.busy: dict[Future[Outcome], Task] = {}
        self._run, self._slots = run, Slots(options)
        self._idle: dict[str, list[ProcessPoolExecutor]] = {}
        self._again: list[Job] = []
        self._tried: set[str] = set()

    def find_place(self, graph: Agenda) -> tuple[Job, Slot] | None:
        """Return a job that is ready and a place for it, or None."""
        if self._again and (slot := self._slots.take_alone()) is not None:
            return self._again.pop(0), slot
        if (slot := self._slots.take()) is not None:
            if (job := graph.take()) is not None:
                return job, slot
            self._slots.give(slot)
        return None

    def start(self, job: Job, slot: Slot) -> None:
        """Submit a job to a living idle worker of its GPU, else to a new one."""
        idle = self._idle.setdefault(slot.gpu, [])
        while True:
            worker = idle.pop() if idle else new_worker(slot.gpu)
            try:
                future = worker.submit(self._run, job)
            except BrokenProcessPool:  # it died while idle
                worker.shutdown()
            else:
                self.busy[future] = Task(job, slot, worker)
                return

    def collect(self, future: Future[Outcome]) -> Outcome | None:
        """Return the outcome of a finished job, or None if it is trained again."""
        task = self.busy.pop(future)
        self._slots.give(task.slot)
        try:
            outcome = future.result()
        except BrokenProcessPool:
            task.worker.shutdown()  # the claim counts as dead only once the process has ended
            return None if self._retry(task, "its worker process died") else record_death(task.job)
        except BaseException:
            self._idle[task.slot.gpu].append(task.worker)  # to be dismissed with the others
            raise
        if outcome.memory:
            task.worker.shutdown()  # its memory is fragmented
            crowded = self._slots.crowded and not task.slot.alone
            return None if crowded and self._retry(task, "it ran out of memory") else outcome
        self._idle[task.slot.gpu].append(task.worker)
        return outcome

    def _retry(self, task: Task, why: str) -> bool:
        """Note a job to be trained again alone and return True, or return False if it was."""
        if task.job.run_id in self._tried:
            return False
        self._tried.add(task.job.run_id)
        self._again.append(task.job)
        log.warning("%s: %s; trained again alone", task.job.title, why)
        return True

    def dismiss(self) -> None:
        """End all workers."""
        workers = [worker for idle in self._idle.values() for worker in idle]
        for worker in [*workers, *(task.worker for task in self.busy.values())]:
            worker.shutdown(cancel_futures=True)


PRELOADED = ["fer_cli.executors.jobs", "fer_cli.learning.figures", "fer_cli.learning.fit"]
"""Imports of the server; none of them may initialise CUDA, which forked workers could not use afterwards."""


def start_server() -> BaseContext:
    """Return how workers start; on Linux, start the server that they are forked from, unless it runs."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
    return context


def new_worker(gpu: str = "") -> ProcessPoolExecutor:
    """Return a pool of one process that sees this GPU alone, or all that this process sees; it starts with its first job."""
    context = start_server()
    environment = dict(os.environ) | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {})
    return ProcessPoolExecutor(1, mp_context=context, initializer=start_worker, initargs=(environment,))


def record_death(job: Job) -> Outcome:
    """Record the run of a dead worker as failed, unless another process took it over, and return its outcome."""
    with job.folder.claim() as mine:
        if mine:
            job.folder.write_error(
                "The worker process died twice while this run was training (killed, or out of memory?).\n"
            )
    if mine:
        return Outcome(job.run_id, job.title, "failed", "the worker process died twice (killed, or out of memory?)")
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
