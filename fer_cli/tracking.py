"""Mirror run folders to MLflow; the only file that imports mlflow.

One experiment per study, one parent run per study, data set and profile, one child run per training. The store is
``<results>/mlflow.db`` or ``MLFLOW_TRACKING_URI``; it and the experiment are created once, before workers start. MLflow's
artifact addresses are absolute; those of the store in the results folder are updated when the folder moves. No number is
read back from MLflow, and a failing store causes a warning, never a lost result. Training does not wait for a server.
"""

from __future__ import annotations

import filecmp
import hashlib
import logging
import os
import shlex
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from fer_cli.attempts import attempt, give_up, given_up, is_given_up, is_remote, line_of, patience
from fer_cli.config import RunConfig
from fer_cli.escape import hide_secrets, mlflow_pattern, sqlite_uri
from fer_cli.places import whole_file
from fer_cli.runs import RunFolder, process_started
from fer_cli.stores import BUSY_S, check_store, move_addresses

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger("fer")
End = Literal["FINISHED", "FAILED", "KILLED"]
LOCK_S = 30.0
"""Timeout for another command opening the store; signals are deferred meanwhile."""
BOUNDS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Defaults that limit waiting for an unresponsive server to half a minute instead of minutes."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
ATTEMPTS = 3
"""At opening a database; MLflow's default, ten, takes two minutes."""
MOST_METRICS = 1000
"""Values that MLflow takes at once."""
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
    """MLflow location of one study's runs; plain strings, so that it can be sent to worker processes."""

    uri: str
    experiment: str
    parent: str
    artifacts: str = ""
    """Folder of the artifacts if the store is in the results folder; else the store determines it."""


def store_uri(results: Path) -> str:
    """Return the URI of the store in a results folder."""
    return sqlite_uri(results.resolve() / "mlflow.db")


def given_uri(results: Path) -> str:
    """Return ``MLFLOW_TRACKING_URI``, or "" if it is unset or names the store in the results folder."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    with suppress(OSError):  # paths that are not UTF-8 have no URI
        return "" if uri and uri == store_uri(results) else uri
    return uri


def is_served(uri: str) -> bool:
    """Return whether the store is a server, which then determines where artifacts go."""
    return uri.startswith(("http:", "https:", "databricks", "uc:"))


def describe_store(results: Path) -> str:
    """Return the URI or path of the store for messages, without credentials."""
    return hide_secrets(given_uri(results)) or str(results / "mlflow.db")


def view_command(results: Path) -> str:
    """Return how to view the store, a command or an address to open, or "" without a store; updates artifact addresses."""
    given = hide_secrets(given_uri(results))
    if is_served(given):
        return f"open {given}"
    if given:
        return f"mlflow ui --backend-store-uri {shlex.quote(given)}"
    if not (results / "mlflow.db").is_file():
        return ""
    attempt("", lambda: move_addresses(results), "artifacts may not be found")
    return f"mlflow ui --backend-store-uri {shlex.quote(sqlite_uri(results / 'mlflow.db', Path.cwd()))}"


def artifacts_folder(uri: str, results: Path) -> Path:
    """Return the artifact folder of a store without a server: next to its file, else in the results folder."""
    file = store_file(uri)
    return (file.resolve().parent if file else results.resolve()) / "mlartifacts"


def store_file(uri: str) -> Path | None:
    """Return the file of a store that is one."""
    from sqlalchemy.engine import make_url

    file = make_url(uri).database if uri.startswith("sqlite") else None
    return Path(file) if file else None


def load_mlflow() -> Any:
    """Import MLflow and return its client: quiet, with short timeouts and without telemetry; calls no store."""
    for name, value in {**QUIET, **BOUNDS}.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic", "urllib3"):  # they log every attempt, and a traceback per failure
        logging.getLogger(name).setLevel(logging.CRITICAL)
    from mlflow import MlflowClient
    from mlflow.store.db import utils

    utils.MAX_RETRY_COUNT = ATTEMPTS
    return MlflowClient


def new_client(uri: str) -> MlflowClient:
    """Return a client of a store."""
    return load_mlflow()(tracking_uri=uri)


def open_mirror(results: Path, study: str, title: str) -> Mirror | None:
    """Create or open store, experiment and parent run, and mark runs whose process ended as KILLED.

    Call it once, before workers start; concurrent commands wait for each other. Returns None, with a warning, on failure.
    """
    opened: list[Mirror] = []
    uri = given_uri(results)

    def begin() -> None:
        results.mkdir(parents=True, exist_ok=True)
        if uri:
            if (file := store_file(uri)) is not None:
                check_store(file)
            opened.append(_open_mirror(uri, results, study, title))
            return
        with FileLock(results / "mlflow.lock", timeout=LOCK_S):
            check_store(results / "mlflow.db")
            opened.append(_open_mirror(store_uri(results), results, study, title))

    given_up.clear()
    attempt(uri, begin, f"this study is not mirrored to {describe_store(results)}")
    return opened[0] if opened else None


def _open_mirror(uri: str, results: Path, study: str, title: str) -> Mirror:
    client = new_client(uri)
    mine = place_tags(results)
    identity, artifacts = open_experiment(client, uri, results, study)
    reap(client, identity, results)
    pid = os.getpid()
    process = {"fer.pid": str(pid), "fer.host": socket.gethostname(), "fer.started": str(process_started(pid))}
    if parent_run := find_run(client, identity, {"fer.title": title, "fer.kind": "study", **mine}):
        parent = parent_run.info.run_id
        for key, value in process.items():
            client.set_tag(parent, key, value)
        client.update_run(parent, status="RUNNING")
    else:
        tags = {"fer.kind": "study", "fer.title": title, **mine, **process}
        parent = client.create_run(identity, run_name=title, tags=tags).info.run_id
    return Mirror(uri, identity, parent, artifacts)


def open_experiment(client: MlflowClient, uri: str, results: Path, study: str) -> tuple[str, str]:
    """Return the id of a study's experiment, created if missing, and its folder of artifacts, as in ``Mirror``."""
    folder = artifacts_folder(uri, results) / study_folder(study)
    if (experiment := client.get_experiment_by_name(study)) is None:
        identity = client.create_experiment(study, artifact_location=None if is_served(uri) else folder.as_uri())
    else:
        identity = experiment.experiment_id
    if place_tags(results):
        return identity, ""
    move_addresses(results)
    with closing(sqlite3.connect(results / "mlflow.db", timeout=BUSY_S)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    return identity, str(folder)


def study_folder(study: str) -> str:
    """Return the name of the folder of a study's artifacts."""
    return study if study.strip(".") else f"study {study}"


def place_tags(results: Path) -> dict[str, str]:
    """Return tags that identify this results folder in a shared store; none in its own store, as the folder may move."""
    if not given_uri(results):
        return {}
    place = f"{socket.gethostname()}:{results.resolve()}"
    return {"fer.results": hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:12]}


def search_runs(client: MlflowClient, experiment: str, query: str) -> Iterator[Run]:
    """Yield all runs of an experiment that match ``query``, page by page."""
    token = None
    while True:
        page = client.search_runs([experiment], query, max_results=500, page_token=token)
        yield from page
        if not (token := page.token):
            return


def has_tags(run: Run, tags: Mapping[str, str]) -> bool:
    """Return whether a run has all these tags."""
    return all(run.data.tags.get(key) == value for key, value in tags.items())


def find_run(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> Run | None:
    """Return a run that has all these tags, or None."""
    query = " and ".join(f"tags.`{key}` LIKE {mlflow_pattern(value)}" for key, value in tags.items())
    return next((run for run in search_runs(client, experiment, query) if has_tags(run, tags)), None)


def close_mirror(mirror: Mirror, end: End, complete: bool = True) -> None:
    """End the parent run; ``complete``: whether all workers report that their runs were mirrored."""
    if is_given_up(mirror.uri) or not complete:
        log.warning("MLflow: not every run of this study is mirrored; their folders are complete; run fer track sync")
    attempt(mirror.uri, lambda: new_client(mirror.uri).set_terminated(mirror.parent, end), f"the study is not marked {end}")


def reap(client: MlflowClient, experiment: str, results: Path) -> None:
    """Mark RUNNING runs of this results folder whose process ended as KILLED."""
    mine = place_tags(results)
    for run in list(search_runs(client, experiment, "attributes.status = 'RUNNING'")):
        tags = run.data.tags
        if not has_tags(run, mine):
            continue
        if tags.get("fer.kind") == "study":
            here, pid = tags.get("fer.host") == socket.gethostname(), tags.get("fer.pid", "")
            alive = not here or (pid.isdigit() and process_started(int(pid)) == tags.get("fer.started"))
        else:
            alive = RunFolder(results, tags.get("fer.run_id", "unknown")).claimed
        if not alive:
            client.set_terminated(run.info.run_id, "KILLED")


def keep_artifact(client: MlflowClient | None, mirror: Mirror, run_id: str, file: Path, folder: str = "") -> None:
    """Copy a file to a run's artifacts, below ``folder``; without the client if the store is in the results folder."""
    if mirror.artifacts:
        goal = Path(mirror.artifacts, run_id, "artifacts", folder, file.name)
        if not goal.is_file() or not filecmp.cmp(file, goal, shallow=False):
            with whole_file(goal) as draft:
                shutil.copyfile(file, draft)
    elif client is not None:
        client.log_artifact(run_id, str(file), folder or None)


class RunTracker:
    """Mirrors one run; without a mirror all methods do nothing.

    ``times``: its begin and end in ms, None: now. ``wait``: whether to wait for a store on another machine; otherwise a
    thread writes to it, and ``end`` waits only briefly. ``complete``: whether all that was written so far has arrived.
    """

    def __init__(
        self,
        mirror: Mirror | None,
        folder: RunFolder,
        times: tuple[int | None, int | None] = (None, None),
        wait: bool = False,
    ) -> None:
        self.mirror, self.folder, self.times = mirror, folder, times
        self.run_id, self.complete = "", True
        self._line = line_of(mirror.uri) if mirror is not None and is_remote(mirror.uri) and not wait else None
        self._began = time.monotonic()
        self._client: MlflowClient | None = None
        self._start: Callable[[], None] = lambda: None

    def begin(self, title: str, config: RunConfig, tags: Mapping[str, str]) -> None:
        """Start the child run with its parameters, or resume that of an interrupted run."""
        if (mirror := self.mirror) is None:
            return

        def start() -> None:
            self._client = client = new_client(mirror.uri)
            own = {"fer.kind": "run", "fer.run_id": self.folder.run_id, **place_tags(self.folder.results)}
            if run := find_run(client, mirror.experiment, own):
                client.update_run(run.info.run_id, status="RUNNING")
            else:
                tagged = {"mlflow.parentRunId": mirror.parent, **own, **tags}
                run = client.create_run(mirror.experiment, self.times[0], run_name=title, tags=tagged)
            if not run.data.params:
                from mlflow.entities import Param

                params = [Param(key, str(value)) for key, value in config.flat().items()]
                client.log_batch(run.info.run_id, params=params)
            self.run_id = run.info.run_id

        self._start = start
        load_mlflow()  # here: the end of a short run would take it for a server that does not answer
        self._try(start)

    def epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Log the metrics of one epoch."""
        self._try(lambda: self._log((epoch, row)))

    def end(self, status: End, metrics: Mapping[str, float] | None = None, history: str = "history.csv") -> None:
        """Log epochs of the ``history`` that an interrupted run or connection lacks, metrics and artifacts; end the run."""

        def finish() -> None:
            if not self.run_id:
                self._start()
            client = self._client
            assert client is not None
            if (path := self.folder.file(history)).is_file():
                import pandas as pd

                seen = {point.step for point in client.get_metric_history(self.run_id, "seconds")}
                rows = [row for row in pd.read_csv(path).to_dict("records") if int(row["epoch"]) not in seen]
                self._log(*((int(row["epoch"]), {str(key): float(value) for key, value in row.items()}) for row in rows))
            known = client.get_run(self.run_id).data.metrics
            self._log((0, {name: value for name, value in (metrics or {}).items() if known.get(name) != value}))
            for pattern in ARTIFACTS:
                for file in sorted(self.folder.path.glob(pattern)):
                    self._keep(file)
            client.set_terminated(self.run_id, status, self.times[1])

        self._try(finish, last=True)

    def _keep(self, file: Path) -> None:
        """Copy a file to the run's artifacts."""
        assert self._client is not None and self.mirror is not None
        keep_artifact(self._client, self.mirror, self.run_id, file)

    def _log(self, *rows: tuple[int, Mapping[str, float]]) -> None:
        """Log the values of each step, in few transactions; those of one step are never parted."""
        from mlflow.entities import Metric

        assert self._client is not None
        now, batch = int(time.time() * 1000), list[Metric]()
        for step, values in rows:
            metrics = [Metric(name, value, now, step) for name, value in values.items() if name != "epoch"]
            if batch and len(batch) + len(metrics) > MOST_METRICS:
                self._client.log_batch(self.run_id, metrics=batch)
                batch = []
            batch += metrics
        if batch:
            self._client.log_batch(self.run_id, metrics=batch)

    def _try(self, action: Callable[[], Any], last: bool = False) -> None:
        """Run ``action``, or queue it for the thread; the ``last`` makes up for earlier failures, and is waited for."""
        if (mirror := self.mirror) is None:
            return
        lost = "runs are not (fully) mirrored"

        def act() -> None:
            if self.complete or last:
                self.complete = attempt(mirror.uri, action, lost)

        if self._line is None:
            act()
            return
        done, allowed = self._line.send(act), patience(time.monotonic() - self._began)
        if last and not self._line.wait(done, allowed):
            give_up(mirror.uri, lost, f"no answer for {allowed:.0f} seconds")
            self.complete = False
