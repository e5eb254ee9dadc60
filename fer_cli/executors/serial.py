"""``serial``: one run after another, in this process."""

from __future__ import annotations

from collections.abc import Callable

from fer_cli.executors.agenda import Agenda
from fer_cli.executors.jobs import Job, Outcome


def serial(graph: Agenda, run: Callable[[Job], Outcome], on_done: Callable[[Outcome], None]) -> None:
    """Execute the graph in this process, ignoring the number of jobs."""
    while True:
        if (job := graph.take()) is not None:
            outcome = run(job)
            if graph.finish(outcome):
                on_done(outcome)
        elif not graph.pause():
            return
