"""TASKS: the kinds of runs there are, one file each.

A task says what must be done before a run, does it, tries it with one batch, and describes it in a report. Nothing else asks
what kind a run is of: whoever needs to know calls ``task_of(config)``. A task may do without a data set, a split or a
network; what it has no use for it does not ask for.
"""

from __future__ import annotations

from fer_cli.config import RunConfig
from fer_cli.tasks.features import FEATURES
from fer_cli.tasks.stills import STILLS
from fer_cli.tasks.task import Inputs, Task

__all__ = ["TASKS", "Inputs", "Task", "task_of"]

TASKS: dict[str, Task] = {"stills": STILLS, "features": FEATURES}


def task_of(config: RunConfig) -> Task:
    """Return the kind that a run is of."""
    return TASKS[config.kind]
