"""``--logger csv`` or ``tensorboard``: a run's curves for other programs, under ``<results>/logs``, beside MLflow.

A record of run folders, like the mirror in MLflow: nothing is read back from it, and a fault costs a warning, never a run.
"""

from __future__ import annotations

import csv
import importlib.util
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from fer_cli.errors import StudyError, nearest
from fer_cli.places import read_text, whole_file
from fer_cli.runs import RunFolder

log = logging.getLogger("fer")
Row = tuple[int, str, float]
"""Epoch, name and value; epoch 0: scores of the finished run."""


class Logger(Protocol):
    """Writes the curves of one run."""

    def write(self, rows: list[Row]) -> None:
        """Write values as they come."""

    def finish(self, rows: list[Row]) -> None:
        """Write all values of the run, in place of what was written before."""


class CsvLogger:
    """One CSV per run, ``csv/RUN.csv``: epoch, name, value."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = folder.results / "logs" / "csv" / f"{folder.run_id}.csv"
        self._rows: list[Row] = []

    def write(self, rows: list[Row]) -> None:
        """Write values as they come."""
        self._rows += rows
        self.finish(self._rows)

    def finish(self, rows: list[Row]) -> None:
        """Write all values of the run."""
        with whole_file(self.path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([("epoch", "name", "value"), *rows])


class TensorBoardLogger:
    """Event files of TensorBoard, ``tensorboard/RUN/``; extra ``tensorboard``."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = folder.results / "logs" / "tensorboard" / folder.run_id

    def write(self, rows: list[Row]) -> None:
        """Write values as they come."""
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self.path)) as writer:
            for epoch, name, value in rows:
                writer.add_scalar(name, value, epoch)

    def finish(self, rows: list[Row]) -> None:
        """Write all values of the run."""
        for old in self.path.glob("events.out.tfevents.*"):
            old.unlink()
        self.write(rows)


LOGGERS: dict[str, Callable[[RunFolder], Logger]] = {"csv": CsvLogger, "tensorboard": TensorBoardLogger}
"""Name -> class."""


def check_logger(name: str | None) -> None:
    """Raise StudyError for an unknown logger, or one whose package is absent."""
    if name is not None and name not in LOGGERS:
        raise StudyError(f"--logger {name}: no such logger{nearest(name, LOGGERS)}")
    if name == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise StudyError("--logger tensorboard: TensorBoard is not installed; pip install 'fer-cli[tensorboard]'")


class RunLog:
    """The curves of one run in the logger of a name; without one, all methods do nothing."""

    def __init__(self, name: str | None, folder: RunFolder) -> None:
        self.folder = folder
        self._logger = None if name is None else LOGGERS[name](folder)
        self._seen: list[Row] = []

    def epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Write the values of one epoch."""
        rows = [(epoch, name, float(row[name])) for name in row if name != "epoch"]
        self._seen += rows
        self._try(lambda logger: logger.write(rows))

    def end(self, scores: Mapping[str, float]) -> None:
        """Write the whole history of a finished run, which may have been interrupted, and its scores."""
        self._try(lambda logger: logger.finish([*self._read_history(), *((0, name, scores[name]) for name in scores)]))

    def _read_history(self) -> list[Row]:
        """Return the values of all epochs; without a history of the whole run, those that were given."""
        rows: list[Row] = []
        if not (path := self.folder.file("history.csv")).is_file():
            return self._seen
        for line in csv.DictReader(read_text(path).splitlines()):
            rows += [(int(line["epoch"]), name, float(line[name])) for name in line if name != "epoch" and line[name]]
        return rows

    def _try(self, action: Callable[[Logger], None]) -> None:
        if self._logger is None:
            return
        try:
            action(self._logger)
        except Exception as error:  # a disk, or TensorBoard, may raise anything
            log.warning("--logger: the curves of run %s are not written (%s)", self.folder.run_id, error)
            self._logger = None
