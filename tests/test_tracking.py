"""The MLflow mirror: many processes, a store left behind by a kill, a store that breaks."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from fer_cli.config import RunConfig
from fer_cli.runs import RunFolder
from fer_cli.tracking import Mirror, RunTracker, new_client, open_mirror, store_uri
from tests.conftest import Called
from tests.studies import mlflow_runs

Fer = Callable[..., Called]


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
    assert tracker.mirror is not None, "the tracker gave up"


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


def test_a_broken_store_costs_a_warning_not_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mirror = open_mirror(tmp_path, "study", "study on data")
    (tmp_path / "mlflow.db").unlink()
    (tmp_path / "file").write_text("not a folder")
    broken = Mirror(f"sqlite:///{tmp_path}/file/mlflow.db", mirror.experiment, mirror.parent)
    tracker = RunTracker(broken, RunFolder(tmp_path, "abc"))
    with caplog.at_level("WARNING", logger="fer"):
        tracker.begin("run", RunConfig(), {})
        tracker.epoch(1, {"loss": 1.0})
        tracker.end("FINISHED")
    assert "not (fully) mirrored" in caplog.text
