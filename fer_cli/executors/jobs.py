"""One run in one process: the job that a worker is given, its execution, and the outcome that is reported."""

from __future__ import annotations

import errno
import logging
import signal
import traceback
from dataclasses import dataclass
from typing import Literal

from fer_cli.config import METRICS, Compute, RunConfig
from fer_cli.errors import ClaimLostError, DamagedError, DataError, FeaturesError, FerError
from fer_cli.results import Result
from fer_cli.runs import OnEpoch, RunFolder
from fer_cli.signals import ending
from fer_cli.tasks import Inputs, task_of
from fer_cli.tracking import Mirror, RunTracker

STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
"""No room, or no right to write: the whole study stops."""


@dataclass(frozen=True)
class Job:
    """One run to train, with all a worker process needs."""

    title: str
    config: RunConfig
    fingerprint: str
    folder: RunFolder
    compute: Compute
    mirror: Mirror | None
    tags: tuple[tuple[str, str], ...] = ()
    start: RunFolder | None = None
    """The run whose weights this one starts from."""
    trained: RunFolder | None = None
    """The run whose training is this one's too."""

    @property
    def run_id(self) -> str:
        """Return the run's identity."""
        return self.folder.run_id


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    run_id: str
    title: str
    status: Literal["done", "failed", "elsewhere"]
    """``elsewhere``: another process works on it."""
    message: str = ""
    """Of a failed run, the last line of its traceback; of one that another process took over, that it did."""
    mirrored: bool = True
    """False where MLflow's store failed while the run was trained."""


def execute(job: Job) -> Outcome:
    """Train one run under its claim and leave ``result.json`` or ``error.txt`` in its folder."""
    if ending.is_set():  # a worker may be given the next job even after a signal
        raise SystemExit(128 + signal.SIGTERM)

    folder = job.folder
    with folder.claim() as mine:
        if not mine:
            return Outcome(job.run_id, job.title, "done" if folder.status == "done" else "elsewhere")
        folder.write_config(job.config)
        tracker = RunTracker(job.mirror, folder)
        with log_to(folder):
            tracker.begin(job.title, job.config, dict(job.tags))
            try:
                result = run_task(job, tracker.epoch)
                folder.check_claim()
                tracker.end("FINISHED", {f"test/{name}": result.metrics["test"][name] for name in METRICS})
                folder.write_result(result)  # last: a run is done when everything about it is
            except (KeyboardInterrupt, SystemExit):
                tracker.end("KILLED")
                raise
            except Exception as error:  # whatever a run dies of is its own affair, recorded and reported
                try:
                    folder.check_claim()  # whatever went wrong: a folder that is gone, or another's now, is why
                except ClaimLostError as lost:
                    return Outcome(job.run_id, job.title, "elsewhere", str(lost))
                if stops_study(error):
                    tracker.end("FAILED")
                    raise
                folder.write_error(traceback.format_exc())
                logging.getLogger("fer").error("failed: %s", error)
                tracker.end("FAILED")
                return Outcome(job.run_id, job.title, "failed", last_line(error))
    return Outcome(job.run_id, job.title, "done", mirrored=job.mirror is None or tracker.mirror is not None)


def run_task(job: Job, on_epoch: OnEpoch) -> Result:
    """Return a run's result, its other files written; raises DataError where its data set changed since it was planned."""
    from fer_cli.learning.figures import draw_run

    inputs = Inputs(job.folder, on_epoch, job.start, job.trained)
    result = task_of(job.config).run(job.config, inputs, job.compute)
    if result.fingerprint != job.fingerprint:
        raise DataError(f"data set '{job.config.data.name}' was rebuilt while the study ran; start it again")
    draw_run(job.folder.path, result)
    return result


def stops_study(error: Exception) -> bool:
    """Return whether other runs would meet the same error: what the user must fix first, or no room to write to."""
    if isinstance(error, OSError):
        return error.errno in STORAGE_ERRORS
    return isinstance(error, FerError) and not isinstance(error, FeaturesError | DamagedError)


def last_line(error: BaseException) -> str:
    """Return ``Type: message`` in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class log_to:
    """Send the ``fer`` log to ``log.txt`` of a run while it lasts."""

    def __init__(self, folder: RunFolder) -> None:
        self.handler = logging.FileHandler(folder.file("log.txt"), encoding="utf-8")
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def __enter__(self) -> None:
        """Attach the file."""
        logger = logging.getLogger("fer")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self.handler)

    def __exit__(self, *_: object) -> None:
        """Detach and close it."""
        logging.getLogger("fer").removeHandler(self.handler)
        self.handler.close()
