"""What a kind of run is: the functions that plan, train, try and describe it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fer_cli.config import Compute, RunConfig
from fer_cli.results import Result
from fer_cli.runs import OnEpoch, RunFolder


@dataclass(frozen=True)
class Inputs:
    """What a run is given besides its settings."""

    folder: RunFolder
    """Where it leaves its files; an interrupted run found there is continued."""
    on_epoch: OnEpoch = lambda *_: None
    start: RunFolder | None = None
    """The finished run whose weights this one needs, where ``Task.before`` names one."""
    trained: RunFolder | None = None
    """The finished run whose training this one shares, where ``Task.training`` names one."""


@dataclass(frozen=True)
class Task:
    """A kind of run. Its functions import what is heavy when they are called, so that planning stays light."""

    name: str
    trains_network: bool
    """Whether a run has a network of its own: epochs, a history, weights, something to look into."""
    before: Callable[[RunConfig], RunConfig | None]
    """Returns the run whose weights a run needs, or None."""
    name_before: Callable[[RunConfig], str]
    """Returns what a table of runs calls that run."""
    training: Callable[[RunConfig], RunConfig | None]
    """Returns the run whose training a run shares and only tests otherwise, or None."""
    run: Callable[[RunConfig, Inputs, Compute], Result]
    """Runs and returns the result, leaving the other files in the folder."""
    smoke: Callable[[RunConfig, Compute, Path], None]
    """Passes one batch through everything that ``run`` does; raises what a real run would raise."""
    check: Callable[[Iterable[tuple[RunConfig, list[str]]]], None]
    """Raises a FerError where what runs (settings, and their classes) are to train cannot be built."""
    cost: Callable[[RunConfig], int]
    """Returns about how many epochs' time a run takes that shares no training."""
    balance: Callable[[RunConfig], float]
    """Returns how far training images are drawn class-balanced, 0 to 1; see ``train.class_balance``."""
    describe: Callable[[list[RunConfig]], list[str]]
    """Returns the lines of a report on what is particular to such runs."""
