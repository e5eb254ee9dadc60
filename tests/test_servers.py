"""A tracking server that many processes write to and that goes away, refuses or hangs: no run waits, none is lost."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from fer_cli import attempts, tracking
from fer_cli.config import RunConfig
from fer_cli.executors import Job, Outcome, jobs
from fer_cli.inventory.mirror import sync_mirror
from fer_cli.plan import Item
from fer_cli.results import Result
from fer_cli.runs import RunFolder
from fer_cli.tracking import Mirror, RunTracker, load_mlflow, new_client, open_mirror, search_runs, store_uri
from fer_cli.uses import Use
from tests.fakes import fake_result, leave
from tests.processes import wait_for
from tests.servers import Server, mlflow_server
from tests.stories import Story
from tests.studies import mlflow_runs

EPOCHS, EPOCH_S = 24, 2.5
WRITERS = 4
AWAY_S = 60


pytestmark = pytest.mark.usefixtures("no_store_given")


@pytest.fixture
def hanging() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["hanging", "refusing"])
def test_a_run_does_not_wait_for_a_server_that_is_away(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(attempts, "PATIENCE_S", 0.3)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with suppress(MlflowException):  # imports are not what is measured
        load_mlflow()(tracking_uri="http://127.0.0.1:9").get_run("none")
    mirror = Mirror(request.getfixturevalue(kind), "1", "2")
    seconds = []
    for name in ("abc", "def"):
        tracker, began = RunTracker(mirror, RunFolder(tmp_path, name)), time.monotonic()
        tracker.begin("run", RunConfig(), {})
        for epoch in range(20):
            tracker.epoch(epoch, {"loss": 1.0})
        seconds.append(time.monotonic() - began)
        tracker.end("FINISHED")
        seconds.append(time.monotonic() - began)
        assert not tracker.complete
    assert max(seconds[0], *seconds[2:]) < 0.3, "no request is waited for, and the second run makes none"
    assert seconds[1] < 1.5, "the end waits for the patience"
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("MLflow: runs are not (fully) mirrored: ") and "\n" not in line


def test_a_server_that_answers_again_gets_what_it_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The store of a file stands for the server: what is tested is the thread, and that the end makes up for the middle."""
    for module in (attempts, tracking):
        monkeypatch.setattr(module, "is_remote", lambda uri: True)
    monkeypatch.setattr(attempts, "RETRY_S", 0.0)
    mirror = open_mirror(tmp_path, "study", "study on data")
    folder = RunFolder(tmp_path, "abc")
    folder.write_config(RunConfig())
    folder.file("history.csv").write_text("epoch,loss,seconds\n1,1.0,1.0\n2,0.5,1.0\n3,0.2,1.0\n")
    tracker = RunTracker(mirror, folder)
    log, down = RunTracker._log, threading.Event()

    def fail_while_down(self: RunTracker, *rows: Any) -> None:
        if down.is_set():
            raise ConnectionError("refused")
        log(self, *rows)

    monkeypatch.setattr(RunTracker, "_log", fail_while_down)
    tracker.begin("run", RunConfig(), {})
    tracker.epoch(1, {"loss": 1.0, "seconds": 1.0})
    wait_for(lambda: tracker.run_id and client_metrics(mirror, tracker), 60)
    down.set()
    tracker.epoch(2, {"loss": 0.5, "seconds": 1.0})
    wait_for(lambda: not tracker.complete, 60)
    tracker.epoch(3, {"loss": 0.2, "seconds": 1.0})
    down.clear()
    tracker.end("FINISHED", {"test/accuracy": 0.5})
    assert tracker.complete
    assert client_metrics(mirror, tracker) == [(1, 1.0), (2, 0.5), (3, 0.2)]
    (run,) = mlflow_runs(tmp_path)
    assert (run.info.status, run.data.metrics["test/accuracy"]) == ("FINISHED", 0.5)
    assert [record.getMessage() for record in caplog.records] == ["MLflow: runs are not (fully) mirrored: refused"]


def client_metrics(mirror: Mirror | None, tracker: RunTracker) -> list[tuple[int, float]]:
    """The losses that the store has of a run."""
    assert mirror is not None
    points = new_client(mirror.uri).get_metric_history(tracker.run_id, "loss")
    return sorted((point.step, point.value) for point in points)


def test_a_run_mirrored_twice_is_kept_once(tmp_path: Path) -> None:
    """A request that timed out was carried out all the same, and its repetition made a second run."""
    mirror = open_mirror(tmp_path, "study", "study on data")
    assert mirror is not None
    folder = RunFolder(tmp_path, "abc")
    leave(folder, fake_result("abc"))
    client = new_client(store_uri(tmp_path))
    for _ in range(2):
        tags = {"fer.kind": "run", "fer.run_id": "abc", "mlflow.parentRunId": mirror.parent}
        client.create_run(mirror.experiment, run_name="run", tags=tags)
    assert dict(sync_mirror(tmp_path, tmp_path).counts) == {"double": 1, "updated": 1}
    (run,) = mlflow_runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert sync_mirror(tmp_path, tmp_path).counts == {"unchanged": 1}


class Served(Story):
    """Runs that are mirrored to a store."""

    mirror: Mirror | None = None

    def job_of(self, item: Item) -> Job:
        use = Use(study="served", title="served on none", arm=item.run.arm)
        tags = (("arm", item.run.arm), ("study", "served"), ("seed", str(item.run.seed)))
        job = super().job_of(item)
        return Job(job.title, job.config, job.fingerprint, job.folder, job.compute, self.mirror, tags, use=use)


def train_slowly(job: Job, on_epoch: Callable[[int, dict[str, float]], None]) -> Result:
    """Take a minute in place of training, at no cost, and leave what a training does."""
    text = "epoch,loss,seconds\n"
    for epoch in range(1, EPOCHS + 1):
        time.sleep(EPOCH_S)
        text += f"{epoch},{1 / epoch},{EPOCH_S}\n"
        job.folder.file("history.csv").write_text(text)
        job.folder.write_progress(epoch, EPOCHS)
        on_epoch(epoch, {"loss": 1 / epoch, "seconds": EPOCH_S})
    result = fake_result(job.run_id, job.config)
    leave(job.folder, result)
    job.folder.file("result.json").unlink()  # written by the caller, last
    return result


def run_slowly(job: Job) -> Outcome:
    """Execute a run, and note how long it waited for the store."""
    jobs.run_task = train_slowly
    load_mlflow()
    waited = 0.0

    def timed(method: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            nonlocal waited
            began = time.monotonic()
            method(*arguments)
            waited += time.monotonic() - began

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("begin", "epoch", "end"):
            patch.setattr(RunTracker, name, timed(getattr(RunTracker, name)))
        outcome = jobs.execute(job)
    job.folder.file("times.json").write_text(json.dumps({"waited": waited}))
    return outcome


def go_away(server: Server, results: Path, how: str) -> None:
    """Take the server away for a minute while the first runs are at work."""
    wait_for(lambda: len(list(results.glob("runs/*/history.csv"))) == WRITERS, 300)
    time.sleep(20)
    if how == "hanging":
        server.signal(signal.SIGSTOP)
        time.sleep(AWAY_S)
        server.signal(signal.SIGCONT)
    else:
        server.stop()
        time.sleep(AWAY_S)
        server.start()


@pytest.mark.exhaustive
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("how", ["gone", "hanging"])
def test_a_server_on_postgresql_that_is_away_for_a_minute(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results"
    titles = [f"arm {number}" for number in range(2 * WRITERS)]
    story = Served(results, {title: [] for title in titles})
    with mlflow_server(tmp_path / "server") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        story.mirror = open_mirror(results, "served", "served on none")
        assert story.mirror is not None
        other = threading.Thread(target=go_away, args=(server, results, how))
        other.start()
        story.execute("processes", run=run_slowly, jobs=WRITERS)
        other.join()
        assert dict(story.ended) == dict.fromkeys(titles, "done")
        waits = [story.seen(title, "waited") for title in titles]
        print(f"{how}: seconds of {EPOCHS * EPOCH_S:.0f} that each run waited: {[round(wait, 2) for wait in waits]}")
        assert max(waits) < 0.1 * EPOCHS * EPOCH_S
        wait_for(server.answers, 300)
        before = len(list(children(server)))
        counts = sync_mirror(results, results).counts
        print(f"{how}: {before} runs before the sync; {dict(counts)}")
        assert counts["new"] + counts["updated"] == len(titles)
        found = list(children(server))
        assert sorted(run.data.tags["arm"] for run in found) == titles
        client = new_client(server.uri)
        for run in found:
            assert run.info.status == "FINISHED"
            points = client.get_metric_history(run.info.run_id, "loss")
            assert sorted(point.step for point in points) == list(range(1, EPOCHS + 1))
            assert run.data.metrics["test/accuracy"] == 1.0
            kept = {item.path for item in client.list_artifacts(run.info.run_id)}
            assert kept == {"config.json", "history.csv", "predictions.parquet"}
        assert sync_mirror(results, results).counts == {"unchanged": len(titles)}


def children(server: Server) -> Iterator[Any]:
    """The mirrored runs."""
    client = new_client(server.uri)
    experiment = client.get_experiment_by_name("served").experiment_id
    yield from search_runs(client, experiment, "tags.`fer.kind` = 'run'")
    assert os.environ["MLFLOW_TRACKING_URI"] == server.uri
