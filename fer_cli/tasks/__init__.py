"""TASKS: registry of the kinds of runs, one file each.

A task plans a run's prerequisites, executes it, smoke-tests it and describes it in reports. All other code gets the kind of
a run from ``task_of(config)``. A task need not have a data set, a split or a network.
"""

from __future__ import annotations

from fer_cli.config import RunConfig
from fer_cli.tasks.clips import CLIPS
from fer_cli.tasks.features import FEATURES
from fer_cli.tasks.sequences import SEQUENCES
from fer_cli.tasks.stills import STILLS
from fer_cli.tasks.task import Inputs, Task

__all__ = ["TASKS", "Inputs", "Task", "task_of"]

TASKS: dict[str, Task] = {"stills": STILLS, "features": FEATURES, "clips": CLIPS, "sequences": SEQUENCES}


def task_of(config: RunConfig) -> Task:
    """Return the task of a run."""
    return TASKS[config.kind]
