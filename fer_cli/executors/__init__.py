"""EXECUTORS: execute a graph of runs, under one contract.

An executor takes ready runs from an ``Agenda``, calls ``run`` with each and ``on_done`` with its outcome. A failed run is
recorded and blocks only its dependents; a run of another process is awaited or left to it; an interruption (Ctrl-C, SIGTERM)
marks active runs as killed and propagates. A full or read-only disk or a missing results folder stops all runs.
"""

from __future__ import annotations

from collections.abc import Callable

from fer_cli.errors import FerError, nearest
from fer_cli.executors.agenda import Agenda
from fer_cli.executors.jobs import Job, Outcome
from fer_cli.executors.processes import processes
from fer_cli.executors.serial import serial

__all__ = ["EXECUTORS", "Agenda", "Executor", "Job", "Outcome", "choose_executor"]

Executor = Callable[[Agenda, Callable[[Job], Outcome], Callable[[Outcome], None], int], None]
"""Takes the graph, a function that runs a job, a callback for outcomes, and the number of parallel jobs."""

EXECUTORS: dict[str, Executor] = {"serial": serial, "processes": processes}


def choose_executor(name: str | None, jobs: int) -> str:
    """Return ``name`` or the default for this number of parallel jobs; raises FerError if unknown or limited to fewer."""
    if name is None:
        return "serial" if jobs == 1 else "processes"
    if name not in EXECUTORS:
        raise FerError(f"--executor: no executor '{name}'{nearest(name, EXECUTORS)}")
    if name == "serial" and jobs > 1:
        raise FerError(f"--executor serial: trains one run at a time; omit --jobs {jobs} or use --executor processes")
    return name
