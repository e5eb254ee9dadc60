"""Interface of a kind of run: functions that plan, execute, smoke-test and describe it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fer_cli.config import Compute, RunConfig
from fer_cli.results import Result
from fer_cli.runs import OnEpoch, RunFolder


@dataclass(frozen=True)
class Inputs:
    """Inputs of a run besides its settings."""

    folder: RunFolder
    """Output folder; an interrupted run in it is resumed."""
    on_epoch: OnEpoch = lambda *_: None
    start: RunFolder | None = None
    """The finished run of ``Task.before``, with the initial weights."""
    trained: RunFolder | None = None
    """The finished run of ``Task.training``, whose training is shared."""


@dataclass(frozen=True)
class Task:
    """A kind of run. Its functions import heavy libraries when called, so that planning stays light."""

    name: str
    trains_network: bool
    """Whether a run trains a network, with epochs, history and weights."""
    before: Callable[[RunConfig], RunConfig | None]
    """Returns the run whose weights a run requires, or None."""
    name_before: Callable[[RunConfig], str]
    """Returns the name of that run in tables."""
    training: Callable[[RunConfig], RunConfig | None]
    """Returns the run whose training a run shares, if only its test differs, or None."""
    run: Callable[[RunConfig, Inputs, Compute], Result]
    """Executes the run, writes its files and returns the result."""
    smoke: Callable[[RunConfig, Compute, Path], None]
    """Passes one batch through all steps of ``run``; raises what a real run would raise."""
    check: Callable[[Iterable[tuple[RunConfig, list[str]]]], None]
    """Raises a FerError if the networks of runs (settings and classes) cannot be built."""
    cost: Callable[[RunConfig], int]
    """Returns the approximate duration in epochs of a run that shares no training."""
    balance: Callable[[RunConfig], float]
    """Returns the degree of class-balanced sampling, 0 to 1; see ``train.class_balance``."""
    classes: Callable[[RunConfig, list[str]], list[str]]
    """Returns the classes that a run is scored on, given those of its test images."""
    use: str
    """What the network of ``before`` does for a run that trains none, for reports."""
    describe: Callable[[list[RunConfig]], list[str]]
    """Returns the lines about such runs in a report."""
