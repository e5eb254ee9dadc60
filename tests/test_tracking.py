"""The MLflow mirror: many processes, a store left behind by a kill, moved, elsewhere, locked, broken or out of reach."""

import logging
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from fer_cli import attempts, stores, tracking
from fer_cli.config import Compute, RunConfig
from fer_cli.executors import jobs
from fer_cli.runs import RunFolder
from fer_cli.tracking import Mirror, RunTracker, close_mirror, new_client, open_mirror, store_uri
from tests.conftest import Called
from tests.studies import mlflow_runs, where

Fer = Callable[..., Called]
ONE = """
name: {name}
question: Is it mirrored?
base:
  data: {{name: ck48, image_size: 24, folds: 3, val_fraction: 0.25}}
  model: {{backbone: cnn3}}
  train: {{epochs: 1, batch_size: 32}}
seeds: [0]
arms: {{A: {{}}}}
report: {{against: A}}
"""


@pytest.fixture(autouse=True)
def no_store_given(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    attempts.given_up.clear()


def mirror_one(results: Path, run: str, study: str = "study") -> Mirror:
    """Mirror a run of two epochs and an artifact."""
    mirror = open_mirror(results, study, f"{study} on data")
    assert mirror is not None
    folder = RunFolder(results, run)
    folder.write_config(RunConfig())
    tracker = RunTracker(mirror, folder)
    tracker.begin("run", RunConfig(), {"arm": "CNN"})
    for epoch in (1, 2):
        tracker.epoch(epoch, {"loss": 1 / epoch, "seconds": 1.0})
    tracker.end("FINISHED", {"test/accuracy": 0.5})
    assert tracker.complete, "the tracker gave up"
    close_mirror(mirror, "FINISHED")
    return mirror


def artifacts(results: Path) -> dict[str, list[str]]:
    client = new_client(store_uri(results))
    listed = {run.data.tags["fer.run_id"]: client.list_artifacts(run.info.run_id) for run in mlflow_runs(results)}
    return {name: [item.path for item in items] for name, items in listed.items()}


def test_runs_left_running_by_a_kill_are_marked_killed(tmp_path: Path) -> None:
    mirror = open_mirror(tmp_path, "study", "study on data")
    RunTracker(mirror, RunFolder(tmp_path, "abc")).begin("run", RunConfig(), {})
    assert mlflow_runs(tmp_path)[0].info.status == "RUNNING"
    open_mirror(tmp_path, "study", "study on data")
    assert mlflow_runs(tmp_path)[0].info.status == "KILLED"


def log_one(place: tuple[Mirror, Path, int]) -> None:
    """Mirror one run of five epochs."""
    mirror, results, number = place
    tracker = RunTracker(mirror, RunFolder(results, f"run{number}"))
    tracker.begin(f"run {number}", RunConfig(seed=number), {"arm": "CNN"})
    for epoch in range(1, 6):
        tracker.epoch(epoch, {f"metric{i}": epoch + i / 10 for i in range(20)} | {"seconds": 1.0})
    tracker.end("FINISHED", {"test/accuracy": 0.5})
    assert tracker.complete, "the tracker gave up"


@pytest.mark.slow
def test_eight_processes_log_to_a_fresh_store(tmp_path: Path) -> None:
    mirror = open_mirror(tmp_path, "study", "study on data")
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        list(pool.map(log_one, [(mirror, tmp_path, number) for number in range(16)]))
    runs = mlflow_runs(tmp_path)
    assert sorted(run.data.params["seed"] for run in runs) == sorted(str(number) for number in range(16))
    assert {run.info.status for run in runs} == {"FINISHED"}
    client = new_client(store_uri(tmp_path))
    for run in runs:
        assert [point.step for point in client.get_metric_history(run.info.run_id, "metric7")] == [1, 2, 3, 4, 5]


def test_a_store_that_breaks_costs_one_warning_not_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mirror = open_mirror(tmp_path, "study", "study on data")
    assert mirror is not None
    (tmp_path / "mlflow.db").unlink()
    (tmp_path / "file").write_text("not a folder")
    broken = Mirror(f"sqlite:///{tmp_path}/file/mlflow.db", mirror.experiment, mirror.parent)
    for name in ("abc", "def"):
        tracker = RunTracker(broken, RunFolder(tmp_path, name))
        with caplog.at_level("WARNING", logger="fer"):
            tracker.begin("run", RunConfig(), {})
            tracker.epoch(1, {"loss": 1.0})
            tracker.end("FINISHED")
    assert caplog.text.count("not (fully) mirrored") == len(caplog.records) == 1


@pytest.mark.parametrize("name", ["what? a#b", pytest.param("50%25 it's é", marks=pytest.mark.slow)])
def test_the_store_lies_in_the_results_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    results = tmp_path / name
    for run in ("abc", "def"):
        mirror_one(results, run, study="it's 50 % of a `b`\"")
    assert len(mlflow_runs(results)) == 2
    assert artifacts(results) == {"abc": ["config.json"], "def": ["config.json"]}
    assert list(tmp_path.iterdir()) == [results]
    client = new_client(store_uri(results))
    (experiment,) = (one for one in client.search_experiments() if one.experiment_id != "0")
    assert len(client.search_runs([experiment.experiment_id], "tags.`fer.kind` = 'study'")) == 1


def test_a_moved_results_folder_goes_on_where_it_is(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new place?"
    mirror_one(old, "abc")
    shutil.move(old, new)
    mirror_one(new, "def")
    assert not old.exists()
    assert artifacts(new) == {"abc": ["config.json"], "def": ["config.json"]}
    with sqlite3.connect(new / "mlflow.db") as connection:
        addresses = connection.execute("SELECT artifact_uri FROM runs UNION SELECT artifact_location FROM experiments")
        assert all(address.startswith(f"{new.as_uri()}/mlartifacts/") for (address,) in addresses)
    connection.close()
    again = tmp_path / "again"
    shutil.move(new, again)
    assert tracking.view_command(again) == f"mlflow ui --backend-store-uri sqlite:///{again}/mlflow.db"
    assert artifacts(again) == {"abc": ["config.json"], "def": ["config.json"]}


@pytest.mark.parametrize(
    ("here", "results", "uri"),
    [
        ("data", "data/fer/data/results", "fer/data/results/mlflow.db"),
        ("data", "data", "mlflow.db"),
        ("data", "my/data/results", "{root}/my/data/results/mlflow.db"),
        ("data", "database/results", "{root}/database/results/mlflow.db"),
        ("/", "results", "{root}/results/mlflow.db"),
    ],
)
def test_the_command_to_view_a_store_names_it_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str, results: str, uri: str
) -> None:
    folder = tmp_path / results
    for path in (folder, tmp_path / here):
        path.mkdir(parents=True, exist_ok=True)
    (folder / "mlflow.db").touch()
    monkeypatch.chdir(tmp_path / here)
    monkeypatch.setattr(tracking, "attempt", lambda *_: True)  # of moving addresses, which an empty file does not have
    assert tracking.view_command(folder) == f"mlflow ui --backend-store-uri sqlite:///{uri.format(root=tmp_path)}"


def test_a_given_store_is_used_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two results folders hold the same run; neither takes the other's for its own, or for one left behind by a kill."""
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/shared/other.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    one, two = tmp_path / "one", tmp_path / "two"
    mirror = open_mirror(one, "study", "study on data")
    tracker = RunTracker(mirror, RunFolder(one, "abc"))
    tracker.begin("run", RunConfig(), {})
    mirror_one(two, "abc")
    mirror_one(two, "abc")
    client = new_client(uri)
    experiment = client.get_experiment_by_name("study")
    runs = client.search_runs([experiment.experiment_id], "tags.`fer.kind` = 'run'")
    assert sorted(run.info.status for run in runs) == ["FINISHED", "RUNNING"]
    assert len(client.search_runs([experiment.experiment_id], "tags.`fer.kind` = 'study'")) == 2
    finished = next(run for run in runs if run.info.status == "FINISHED")
    assert [item.path for item in client.list_artifacts(finished.info.run_id)] == ["config.json"]
    open_mirror(one, "study", "study on data")
    assert client.get_run(next(run for run in runs if run != finished).info.run_id).info.status == "KILLED"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "shared", "two"]
    assert not list(tmp_path.glob("*/mlflow.db"))
    assert tracking.view_command(two) == f"mlflow ui --backend-store-uri {uri}"


def garbage(results: Path) -> None:
    (results / "mlflow.db").write_bytes(b"no database" * 1000)


def another_schema(results: Path) -> None:
    with sqlite3.connect(results / "mlflow.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
        connection.execute("CREATE TABLE experiments (x)")
    connection.close()


def folder(results: Path) -> None:
    (results / "mlflow.db").mkdir()


@pytest.mark.parametrize("spoil", [garbage, another_schema, folder])
def test_a_broken_store_is_one_line_and_the_study_goes_on(
    fer: Fer, data_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    results, study = tmp_path / "results", tmp_path / "one.yaml"
    results.mkdir()
    spoil(results)
    study.write_text(ONE.format(name="one"))
    called = fer("ablate", "--study", study, *where(data_root, results))
    assert called.code == 0, called.err
    (line,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert line.startswith(f"MLflow: this study is not mirrored to {results / 'mlflow.db'}: ") and "\n" not in line
    assert "Traceback" not in called.err
    assert len(list(results.glob("runs/*/result.json"))) == 1


def test_a_locked_store_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "BUSY_S", 0.2)
    mirror_one(tmp_path, "abc")
    with sqlite3.connect(tmp_path / "mlflow.db") as other:
        other.execute("BEGIN IMMEDIATE")
        assert open_mirror(tmp_path, "study", "study on data") is None
    other.close()
    assert [record.message for record in caplog.records] == [
        f"MLflow: this study is not mirrored to {tmp_path / 'mlflow.db'}: database is locked"
    ]
    mirror_one(tmp_path, "def")


@pytest.mark.parametrize(
    "uri", ["http://me:pass-word@127.0.0.1:1", "nothing://me:pass-word@x", "postgresql://me:pass-word@127.0.0.1:1/x"]
)
def test_a_store_out_of_reach_is_one_line_soon_and_without_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    began = time.monotonic()
    assert open_mirror(tmp_path, "study", "study on data") is None
    assert time.monotonic() - began < 60
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("MLflow: this study is not mirrored to ") and "\n" not in line
    assert "pass-word" not in line and "pass-word" not in tracking.describe_store(tmp_path) + tracking.view_command(tmp_path)


def test_a_server_that_goes_away_stops_mirroring_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        mirror = Mirror(f"http://127.0.0.1:{taken.getsockname()[1]}", "1", "2")
        for name in ("abc", "def"):
            tracker = RunTracker(mirror, RunFolder(tmp_path, name))
            tracker.begin("run", RunConfig(), {})
            tracker.end("FINISHED")
        close_mirror(mirror, "FINISHED")
    assert [record.getMessage().split(":")[1] for record in caplog.records] == [
        " runs are not (fully) mirrored",
        " not every run of this study is mirrored; their folders are complete; run fer track sync",
    ]


def test_a_store_that_fails_in_a_worker_process_is_one_line_of_the_command(
    fer: Fer, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Mirror(f"sqlite:///{tmp_path}/file/mlflow.db", "1", "2")
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(tracking, "open_mirror", lambda *_: broken)
    study = tmp_path / "pair.yaml"
    study.write_text(ONE.format(name="pair"))
    with caplog.at_level("WARNING", logger="fer"):
        called = fer("ablate", "--study", study, "--seeds", "2", "--jobs", "2", *where(data_root, tmp_path / "results"))
    assert called.code == 0, called.err
    assert "2 done, 0 failed" in called.err
    assert caplog.text.count("not every run of this study is mirrored; their folders are complete") == 1


@pytest.mark.parametrize("broken", [False, True])
def test_a_failed_run_says_whether_it_is_mirrored(broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    mirror = Mirror(f"sqlite:///{tmp_path}/file/mlflow.db", "1", "2") if broken else None

    def fail(*_: object) -> None:
        raise ValueError("of this")

    monkeypatch.setattr(jobs, "run_task", fail)
    compute = Compute(data_root=tmp_path, results=tmp_path)
    outcome = jobs.execute(jobs.Job("run", RunConfig(), "x", RunFolder(tmp_path, "abc"), compute, mirror))
    assert (outcome.status, outcome.message, outcome.mirrored) == ("failed", "ValueError: of this", not broken)
    assert not outcome.memory


def test_a_study_whose_name_holds_a_quote_is_mirrored(fer: Fer, data_root: Path, tmp_path: Path) -> None:
    study = tmp_path / "it's.yaml"
    study.write_text(ONE.format(name="it's"))
    called = fer("ablate", "--study", study, *where(data_root, tmp_path / "results"))
    assert called.code == 0, called.err
    assert f"MLflow store: {tmp_path / 'results' / 'mlflow.db'}\n" in called.err
    assert [run.info.status for run in mlflow_runs(tmp_path / "results")] == ["FINISHED"]
