"""EXECUTORS: execute a graph of runs, under one contract.

An executor takes ready runs from an ``Agenda``, calls ``run`` with each, and ``on_done`` with its last outcome. A failed run
is recorded and blocks only its dependents; a run of another process is awaited or left to it; a run whose worker died is
taken over once. An interruption (Ctrl-C, SIGTERM) ends active runs of this machine, which stay resumable, and propagates. A
full or read-only disk or a missing results folder stops all runs. Its options are ``graph.options``.
"""

from __future__ import annotations

from collections.abc import Callable

from fer_cli.errors import FerError, nearest
from fer_cli.executors.agenda import Agenda
from fer_cli.executors.jobs import Job, Outcome
from fer_cli.executors.options import Options
from fer_cli.executors.processes import processes
from fer_cli.executors.ray import ray
from fer_cli.executors.serial import serial
from fer_cli.executors.slurm import slurm

__all__ = ["EXECUTORS", "Agenda", "Executor", "Job", "Options", "Outcome", "choose_executor"]

Executor = Callable[[Agenda, Callable[[Job], Outcome], Callable[[Outcome], None]], None]
"""Takes the graph, a function that runs a job, and a callback for outcomes."""

EXECUTORS: dict[str, Executor] = {"serial": serial, "processes": processes, "slurm": slurm, "ray": ray}


def choose_executor(options: Options) -> str:
    """Return the executor's name or the default for these options; raises FerError if unknown or limited to one run."""
    name, parallel = options.executor, options.jobs > 1 or bool(options.gpus)
    if name is None:
        return "processes" if parallel else "serial"
    if name not in EXECUTORS:
        raise FerError(f"--executor: no executor '{name}'{nearest(name, [*EXECUTORS, 'print'])}")
    if name == "serial" and parallel:
        given = "--gpus" if options.gpus else f"--jobs {options.jobs}"
        raise FerError(f"--executor serial: trains one run at a time; omit {given} or use --executor processes")
    return name
