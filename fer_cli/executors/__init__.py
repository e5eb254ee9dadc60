"""EXECUTORS: ways to work through a graph of runs. All keep one contract.

An executor takes runs from an ``Agenda``, which gives one as soon as all that it builds on is done, calls ``run`` with each,
and ``on_done`` with its outcome. A run that fails is recorded and keeps back only those that build on it; a run that another
process works on is waited for or left to it; an interruption (Ctrl-C, SIGTERM) ends the runs under way as killed and passes
on. A full or read-only disk stops all, as does a results folder that is gone: no later run could be kept either.
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
"""Called with the graph, what runs a job, what is to be called with each outcome, and how many jobs may run at once."""

EXECUTORS: dict[str, Executor] = {"serial": serial, "processes": processes}


def choose_executor(name: str | None, jobs: int) -> str:
    """Return the name of the executor: ``name``, or the one for this number of jobs at once.

    Raises FerError for an unknown one, and for more jobs than it can run at once.
    """
    if name is None:
        return "serial" if jobs == 1 else "processes"
    if name not in EXECUTORS:
        raise FerError(f"--executor: no executor '{name}'{nearest(name, EXECUTORS)}")
    if name == "serial" and jobs > 1:
        raise FerError(f"--executor serial: trains one run at a time; leave out --jobs {jobs}, or use --executor processes")
    return name
