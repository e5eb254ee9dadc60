"""One run in one process: its job, execution and outcome."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fer_cli.config import METRICS, Compute, RunConfig
from fer_cli.errors import ClaimLostError, DamagedError, DataError, FeaturesError, FerError
from fer_cli.imports import add_folder, find_sources, is_own
from fer_cli.loggers import RunLog
from fer_cli.places import whole_file
from fer_cli.provenance import peak_memory
from fer_cli.results import Result
from fer_cli.runs import OnEpoch, RunFolder, history_name
from fer_cli.signals import ending, limit_time
from fer_cli.tasks import Inputs, task_of
from fer_cli.tracking import Mirror, RunTracker
from fer_cli.uses import Use, add_use

STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
"""Full disk or no write access: the whole study stops."""


@dataclass(frozen=True)
class Job:
    """One run to train; ``start``: the run of its initial weights, ``trained``: the run whose training it shares.

    ``timeout``: most seconds it may take.
    """

    title: str
    config: RunConfig
    fingerprint: str
    folder: RunFolder
    compute: Compute
    mirror: Mirror | None
    tags: tuple[tuple[str, str], ...] = ()
    start: RunFolder | None = None
    trained: RunFolder | None = None
    use: Use | None = None
    timeout: float | None = None
    code: Path = field(default_factory=Path.cwd)
    """Folder of the command, where a worker looks for the user's own network."""

    @property
    def run_id(self) -> str:
        """Return the run's id."""
        return self.folder.run_id


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job; ``elsewhere``: another process works on the run; ``lost``: its job at a scheduler is gone.

    A lost run has neither a result nor an error; the next command trains it.
    """

    run_id: str
    title: str
    status: Literal["done", "failed", "elsewhere", "lost"]
    message: str = ""  # last line of a failed run's traceback, or that another process took the run over
    mirrored: bool = True  # false if MLflow's store failed during training
    memory: bool = False  # whether it failed because memory ran out


def execute(job: Job) -> Outcome:
    """Train one run under its claim and write ``result.json`` or ``error.txt``."""
    if ending.is_set():  # a worker may receive another job after the signal
        raise SystemExit(128 + signal.SIGTERM)

    add_folder(job.code)
    folder = job.folder
    with folder.claim() as mine:
        if not mine:
            return Outcome(job.run_id, job.title, "done" if folder.status == "done" else "elsewhere")
        folder.write_config(job.config)
        if job.use is not None:
            add_use(folder.path, job.use)
        tracker, curves = RunTracker(job.mirror, folder), RunLog(job.compute.logger, folder)

        def on_epoch(epoch: int, row: dict[str, float]) -> None:
            tracker.epoch(epoch, row)
            curves.epoch(epoch, row)

        with log_to(folder):
            log_place()
            tracker.begin(job.title, job.config, dict(job.tags))
            try:
                keep_source(job.config, folder)
                with limit_run(job.timeout):
                    result = run_task(job, on_epoch)
                folder.check_claim()
                scores = {f"{result.part}/{name}": result.scores[name] for name in METRICS}
                tracker.end("FINISHED", scores, history_name(result))
                curves.end(scores)
                folder.write_result(result)  # last, as it marks the run as done
            except (KeyboardInterrupt, SystemExit):
                tracker.end("KILLED")
                raise
            except Exception as error:  # recorded and reported; other runs continue
                try:
                    folder.check_claim()  # a lost claim or folder explains any other error
                except ClaimLostError as lost:
                    return Outcome(job.run_id, job.title, "elsewhere", str(lost))
                if stops_study(error):
                    tracker.end("FAILED")
                    raise
                folder.write_error(traceback.format_exc())
                logging.getLogger("fer").error("failed: %s", error)
                tracker.end("FAILED")
                return Outcome(job.run_id, job.title, "failed", last_line(error), tracker.complete, is_out_of_memory(error))
    return Outcome(job.run_id, job.title, "done", mirrored=tracker.complete)


def keep_source(config: RunConfig, folder: RunFolder) -> None:
    """Copy the source of the user's own network to a run's folder, as ``source-MODULE.py``."""
    if is_own(config.model.backbone):
        for module, path in find_sources(config.model.backbone).items():
            with whole_file(folder.file(f"source-{module}.py")) as draft:
                draft.write_bytes(path.read_bytes())


def run_task(job: Job, on_epoch: OnEpoch) -> Result:
    """Write a run's files and return its result; raises DataError if its data set changed since planning."""
    from fer_cli.learning.figures import draw_run

    inputs = Inputs(job.folder, on_epoch, job.start, job.trained)
    result = task_of(job.config).run(job.config, inputs, job.compute)
    if result.fingerprint != job.fingerprint:
        raise DataError(f"data set '{job.config.data.name}' was rebuilt while the study ran; run the same command again")
    draw_run(job.folder.path, result)
    cost = result.cost.model_copy(update={"memory": peak_memory()})
    return result.model_copy(update={"cost": cost})


def stops_study(error: Exception) -> bool:
    """Return whether an error affects all runs: one that the user must fix, or no storage."""
    if isinstance(error, OSError):
        return error.errno in STORAGE_ERRORS
    return isinstance(error, FerError) and not isinstance(error, FeaturesError | DamagedError)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether memory of the GPU or the machine ran out, as this error or its cause says."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, RuntimeError) and ("out of memory" in text or "not enough memory" in text):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def limit_run(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError with the limit in words if the body takes longer."""
    if seconds is None:
        yield
        return
    began = time.monotonic()
    try:
        with limit_time(seconds):
            yield
    except TimeoutError:
        if time.monotonic() - began < seconds:
            raise
        raise TimeoutError(f"stopped after {seconds / 60:g} minutes (--timeout)") from None


def log_place() -> None:
    """Log where a run is trained: host, process, and the GPUs it may see if they are chosen."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = "" if gpus is None else f", CUDA_VISIBLE_DEVICES={gpus}"
    logging.getLogger("fer").info("on %s, process %d%s", socket.gethostname(), os.getpid(), seen)


def last_line(error: BaseException) -> str:
    """Return ``Type: message`` in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class log_to:
    """Write the ``fer`` log to a run's ``log.txt`` in the body."""

    def __init__(self, folder: RunFolder) -> None:
        self.handler = logging.FileHandler(folder.file("log.txt"), encoding="utf-8")
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def __enter__(self) -> None:
        """Attach the log file."""
        logger = logging.getLogger("fer")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self.handler)

    def __exit__(self, *_: object) -> None:
        """Detach and close the log file."""
        logging.getLogger("fer").removeHandler(self.handler)
        self.handler.close()
