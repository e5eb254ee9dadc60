"""MLflow as a mirror of the run folders: the only file that imports mlflow.

One experiment per study, one parent run per study, data set and profile, one child run per training. The store (SQLite)
and the experiment are made once, before workers start. No number is ever read back from MLflow, and a store that fails
costs a warning, never a result.
"""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from filelock import FileLock

from fer_cli.config import RunConfig
from fer_cli.runs import RunFolder, process_started
from fer_cli.signals import held_back

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("fer")
End = Literal["FINISHED", "FAILED", "KILLED"]
LOCK_S = 60.0
"""How long a command waits for another one that opens the store; signals are held back meanwhile."""
ARTIFACTS = (
    "config.json",
    "predictions.parquet",
    "labels.parquet",
    "history*.csv",
    "confusion.png",
    "curves.png",
    "error.txt",
)


@dataclass(frozen=True)
class Mirror:
    """Where the runs of one study are mirrored; plain text, so that it travels to worker processes."""

    uri: str
    experiment: str
    parent: str


def store_uri(results: Path) -> str:
    """Return the address of the store under a results folder."""
    return f"sqlite:///{(results / 'mlflow.db').resolve()}"


def new_client(uri: str) -> MlflowClient:
    """Return a quiet MLflow client; its usage reporting is switched off."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def attempt(action: Callable[[], Any], lost: str) -> bool:
    """Do ``action`` whole, signals held back; a store that fails costs a warning that says what is lost.

    Return whether it went well.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with held_back():
            action()
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        log.warning("MLflow: %s: %s", lost, str(error).splitlines()[0])
        return False
    return True


def open_mirror(results: Path, study: str, title: str) -> Mirror | None:
    """Make or open store, experiment and parent run, and mark runs whose process is gone as KILLED.

    Call it once, before any worker starts; two commands that begin together wait for one another. None, with a warning,
    when the store fails.
    """
    opened: list[Mirror] = []

    def begin() -> None:
        results.mkdir(parents=True, exist_ok=True)
        with FileLock(results / "mlflow.lock", timeout=LOCK_S):
            opened.append(_open_mirror(results, study, title))

    attempt(begin, "this study is not mirrored")
    return opened[0] if opened else None


def _open_mirror(results: Path, study: str, title: str) -> Mirror:
    uri = store_uri(results)
    client = new_client(uri)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        location = (results / "mlartifacts" / study).resolve().as_uri()
        identity = client.create_experiment(study, artifact_location=location)
    else:
        identity = experiment.experiment_id
    with sqlite3.connect(results / "mlflow.db", timeout=60) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    reap(client, identity, results)
    known = client.search_runs([identity], f"tags.`fer.title` = '{title}' and tags.`fer.kind` = 'study'", max_results=1)
    mine = {"fer.pid": str(os.getpid()), "fer.host": socket.gethostname(), "fer.started": str(process_started(os.getpid()))}
    if known:
        parent = known[0].info.run_id
        for key, value in mine.items():
            client.set_tag(parent, key, value)
        client.update_run(parent, status="RUNNING")
    else:
        run = client.create_run(identity, run_name=title, tags={"fer.kind": "study", "fer.title": title, **mine})
        parent = run.info.run_id
    return Mirror(uri, identity, parent)


def close_mirror(mirror: Mirror, end: End) -> None:
    """End the parent run."""
    attempt(lambda: new_client(mirror.uri).set_terminated(mirror.parent, end), f"the study is not marked {end}")


def reap(client: MlflowClient, experiment: str, results: Path) -> None:
    """Mark runs that still read RUNNING, though nobody works on them, as KILLED."""
    token = None
    while True:
        page = client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=500, page_token=token)
        for run in page:
            tags = run.data.tags
            if tags.get("fer.kind") == "study":
                here = tags.get("fer.host") == socket.gethostname()
                alive = not here or process_started(int(tags["fer.pid"])) == tags["fer.started"]
            else:
                alive = RunFolder(results, tags.get("fer.run_id", "unknown")).claimed
            if not alive:
                client.set_terminated(run.info.run_id, "KILLED")
        token = page.token
        if not token:
            return


class RunTracker:
    """Mirrors one run; with no mirror every method does nothing."""

    def __init__(self, mirror: Mirror | None, folder: RunFolder) -> None:
        self.mirror, self.folder = mirror, folder
        self.run_id = ""
        self._client: MlflowClient | None = None

    def begin(self, title: str, config: RunConfig, tags: Mapping[str, str]) -> None:
        """Start the child run with its parameters, or take up the one an interrupted run left."""
        mirror = self.mirror
        if mirror is None:
            return

        def start() -> None:
            self._client = client = new_client(mirror.uri)
            wanted = f"tags.`fer.run_id` = '{self.folder.run_id}'"
            known = client.search_runs([mirror.experiment], wanted, max_results=1)
            if known:
                run = known[0]
                client.update_run(run.info.run_id, status="RUNNING")
            else:
                own = {"mlflow.parentRunId": mirror.parent, "fer.kind": "run", "fer.run_id": self.folder.run_id}
                run = client.create_run(mirror.experiment, run_name=title, tags={**own, **tags})
            self.run_id = run.info.run_id
            if not run.data.params:
                from mlflow.entities import Param

                client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in config.flat().items()])

        self._try(start)

    def epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Log all metrics of one epoch in one batch."""
        self._try(lambda: self._log(row, epoch))

    def end(self, status: End, metrics: Mapping[str, float] | None = None) -> None:
        """Fill in epochs that a kill kept from the mirror, log final metrics and artifacts, and end the run."""

        def finish() -> None:
            client = self._client
            assert client is not None
            history = self.folder.file("history.csv")
            if history.is_file():
                seen = {point.step for point in client.get_metric_history(self.run_id, "seconds")}
                for row in pd.read_csv(history).to_dict("records"):
                    if int(row["epoch"]) not in seen:
                        self._log({str(key): float(value) for key, value in row.items()}, int(row["epoch"]))
            self._log(metrics or {}, 0)
            for pattern in ARTIFACTS:
                for file in sorted(self.folder.path.glob(pattern)):
                    client.log_artifact(self.run_id, str(file))
            client.set_terminated(self.run_id, status)

        self._try(finish)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        assert self._client is not None
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items() if name != "epoch"]
        self._client.log_batch(self.run_id, metrics=metrics)

    def _try(self, action: Callable[[], Any]) -> None:
        """Do ``action``; a store that fails costs a warning and ends the mirroring of this run."""
        if self.mirror is None:
            return
        if not attempt(action, "this run is not (fully) mirrored"):
            self.mirror = None
