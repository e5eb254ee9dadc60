"""The main job end to end, on drawn faces: plan, train, fail, resume, mirror, report."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fer_cli.config import RunConfig
from fer_cli.executors import STORAGE_ERRORS
from fer_cli.runs import RunFolder
from fer_cli.tracking import Mirror, RunTracker, new_client, open_mirror, store_uri
from tests.conftest import Called
from tests.processes import stopped_at_work, wait_for

Fer = Callable[..., Called]
FER = str(Path(sys.executable).with_name("fer"))


def where(data_root: Path, results: Path) -> list[str]:
    return ["--data-root", str(data_root), "--results", str(results), "--precision", "fp32"]


def outcome(results: Path) -> dict[str, Any]:
    """Return what a study left behind, times and provenance apart."""
    found = {}
    for path in sorted((results / "runs").glob("*/result.json")):
        result = json.loads(path.read_text())
        found[path.parent.name] = {k: v for k, v in result.items() if k not in {"seconds", "provenance"}}
    return found


def mlflow_runs(results: Path) -> list[Any]:
    client = new_client(store_uri(results))
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run for run in client.search_runs(ids, max_results=1000) if run.data.tags.get("fer.kind") == "run"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Iterator[tuple[Path, Path]]:
    """A tiny study trained without interruption in a process of its own, and its YAML."""
    from tests.conftest import STUDY

    folder = tmp_path_factory.mktemp("finished")
    study = folder / "tiny.yaml"
    study.write_text(STUDY)
    results = folder / "results"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [FER, "ablate", "--study", str(study), *where(data_root, results)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "12 done, 0 failed, 0 skipped" in done.stderr
    assert done.stdout == ""
    yield study, results


def test_plan_lists_every_run_and_trains_none(fer: Fer, study_file: Path, data_root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    called = fer("ablate", "--study", study_file, "--plan", *where(data_root, results)[:4])
    lines = called.out.strip().splitlines()[1:]
    assert called.code == 0
    assert len(lines) == 12
    assert all("\tnew\t" in line for line in lines)
    assert sum(line.endswith("learning.method=scn-cs") for line in lines) == 6
    assert sum(line.endswith("\t-") for line in lines) == 6
    assert "12 runs, 0 done, 12 to train" in called.err
    assert not results.exists()


def test_plan_of_a_finished_study_knows_times_and_states(fer: Fer, finished: tuple[Path, Path], data_root: Path) -> None:
    study, results = finished
    called = fer("ablate", "--study", study, "--plan", "--seeds", "4", *where(data_root, results)[:4])
    states = [line.split("\t")[1] for line in called.out.strip().splitlines()[1:]]
    assert states.count("done") == 12
    assert states.count("new") == 4
    assert re.search(r"16 runs, 12 done, 4 to train; time: \d+ (s|min)", called.err)


def test_smoke_trains_a_batch_of_each_and_keeps_nothing(fer: Fer, study_file: Path, data_root: Path, tmp_path: Path) -> None:
    called = fer("ablate", "--study", study_file, "--smoke", "--seeds", "1", *where(data_root, tmp_path / "results"))
    assert called.code == 0
    assert "4 runs each trained, validated and predicted one batch" in called.err
    assert not (tmp_path / "results").exists()


def test_same_command_again_skips_everything(fer: Fer, finished: tuple[Path, Path], data_root: Path) -> None:
    study, results = finished
    times = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/*")}
    called = fer("ablate", "--study", study, *where(data_root, results))
    assert called.code == 0
    assert "0 done, 0 failed, 12 skipped" in called.err
    assert {path: path.stat().st_mtime_ns for path in results.glob("runs/*/*") if path in times} == times


def test_run_folders_are_complete(finished: tuple[Path, Path]) -> None:
    for folder in (finished[1] / "runs").iterdir():
        names = {path.name for path in folder.iterdir()}
        assert {"config.json", "history.csv", "best.pt", "predictions.parquet", "result.json", "log.txt"} <= names
        assert {"confusion.png", "curves.png"} <= names
        assert not names & {"claim.json", "last.ckpt", "error.txt"}
        result = json.loads((folder / "result.json").read_text())
        assert result["run_id"] == folder.name == RunConfig.model_validate(result["config"]).run_id(result["fingerprint"])
        assert result["provenance"]["libraries"]["torch"]


def test_arms_are_paired_by_split_and_noise(finished: tuple[Path, Path]) -> None:
    seen: dict[tuple[int, float], set[str]] = {}
    for result in outcome(finished[1]).values():
        key = (result["config"]["seed"], result["config"]["data"]["label_noise"])
        seen.setdefault(key, set()).add(f"{result['data']['split_hash']} {result['data']['flipped']}")
    assert len(seen) == 6
    assert all(len(values) == 1 for values in seen.values())


def test_report_prints_and_writes_the_table(fer: Fer, finished: tuple[Path, Path], data_root: Path) -> None:
    study, results = finished
    called = fer("report", "--study", study, "--results", results, "--data-root", data_root)
    assert called.code == 0
    values = [r["metrics"]["test"]["accuracy"] for r in outcome(results).values() if not r["config"]["data"]["label_noise"]]
    assert len(values) == 6
    for suffix in (".md", ".csv", ".tex"):
        assert (results / "tables" / f"tiny-ck48-small{suffix}").is_file()
    assert called.out.strip() == (results / "tables" / "tiny-ck48-small.md").read_text().strip()
    assert re.search(r"\| CNN \| \*{0,2}\d+\.\d\d ± \d+\.\d\d \(3\)", called.out)
    assert "replaced" in called.out


def test_mirror_holds_parent_children_params_epochs_and_artifacts(finished: tuple[Path, Path]) -> None:
    results = finished[1]
    runs = mlflow_runs(results)
    assert len(runs) == 12
    assert {run.info.status for run in runs} == {"FINISHED"}
    client = new_client(store_uri(results))
    parents = {run.data.tags["mlflow.parentRunId"] for run in runs}
    assert len(parents) == 1
    assert client.get_run(parents.pop()).info.status == "FINISHED"
    for run in runs[:3]:
        folder = results / "runs" / run.data.tags["fer.run_id"]
        result = json.loads((folder / "result.json").read_text())
        assert run.data.params == {k: str(v) for k, v in RunConfig.model_validate(result["config"]).flat().items()}
        assert run.data.metrics["test/accuracy"] == pytest.approx(result["metrics"]["test"]["accuracy"])
        history = pd.read_csv(folder / "history.csv")
        logged = client.get_metric_history(run.info.run_id, "val/loss")
        assert [point.step for point in logged] == list(history["epoch"])
        assert [point.value for point in logged] == pytest.approx(list(history["val/loss"]))
        artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert {"config.json", "predictions.parquet", "history.csv", "confusion.png", "curves.png"} <= artifacts


def test_no_track_and_two_processes_change_no_result(
    fer: Fer, finished: tuple[Path, Path], data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, results = finished
    threads = {result["machine"]["threads"] for result in outcome(results).values()}
    monkeypatch.setenv("OMP_NUM_THREADS", str(2 * threads.pop()))
    called = fer("ablate", "--study", study, "--no-track", "--jobs", "2", *where(data_root, tmp_path / "results"))
    assert called.code == 0, called.err
    assert outcome(tmp_path / "results") == outcome(results)
    assert not (tmp_path / "results" / "mlflow.db").exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_kill_9_and_the_same_command_give_the_same_study(
    finished: tuple[Path, Path], data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: str
) -> None:
    study, whole = finished
    results = tmp_path / "results"
    command = [FER, "ablate", "--study", str(study), "--jobs", jobs, *where(data_root, results)]
    monkeypatch.setenv("OMP_NUM_THREADS", jobs)  # one thread for each process, as in the uninterrupted study
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(results.glob("runs/*/result.json"))) >= 3 and list(results.glob("runs/*/claim.json")))
    running.kill()
    running.wait()
    wait_for(lambda: not any(RunFolder(results, p.parent.name).claimed for p in results.glob("runs/*/claim.json")))
    before = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/result.json")}
    assert 3 <= len(before) < 12
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{12 - len(before)} done, 0 failed, {len(before)} skipped" in again.stderr
    assert outcome(results) == outcome(whole)
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    runs = mlflow_runs(results)
    assert sorted(run.data.tags["fer.run_id"] for run in runs) == sorted(outcome(whole))
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_sigterm_ends_the_run_as_killed(finished: tuple[Path, Path], data_root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    command = [FER, "ablate", "--study", str(finished[0]), *where(data_root, results)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(results.glob("runs/*/history.csv")))
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert "KILLED" in {run.info.status for run in mlflow_runs(results)}
    assert not list(results.glob("runs/*/claim.json"))
    assert not list(results.glob("runs/*/error.txt"))


def test_ctrl_c_says_how_to_go_on(finished: tuple[Path, Path], data_root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    heeding = ["env", "--default-signal=INT"]  # a shell lets its background jobs ignore Ctrl-C
    command = [*heeding, FER, "ablate", "--study", str(finished[0]), "--no-track", *where(data_root, results)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(results.glob("runs/*/history.csv")))
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert not list(results.glob("runs/*/claim.json"))


def test_wrong_options_are_one_line(fer: Fer) -> None:
    for arguments, words in [(["ablate"], "--study"), (["--nope"], "--nope"), (["ablate", "-s", "x", "-j", "a"], "--jobs")]:
        called = fer(*arguments)
        assert (called.code, called.err.count("\n")) == (2, 1)
        assert words in called.err
    assert fer().code == 2


def test_sigterm_with_two_processes_begins_nothing_more(
    finished: tuple[Path, Path], data_root: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    command = [FER, "ablate", "--study", str(finished[0]), "--no-track", "--jobs", "2", *where(data_root, results)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(results.glob("runs/*/history.csv")))
    begun = len(list(results.glob("runs/*")))
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert len(list(results.glob("runs/*"))) <= begun + 1
    assert not list(results.glob("runs/*/claim.json"))


def test_a_full_disk_while_torch_writes_is_a_storage_error(tmp_path: Path) -> None:
    code = (
        "import resource, torch, sys, pathlib; from fer_cli.learning.record import write_tensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_tensors(pathlib.Path(sys.argv[1]), {'x': torch.zeros(10000)})\n"
        "except OSError as error: print(error.errno)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "best.pt")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) in STORAGE_ERRORS
    assert not list(tmp_path.iterdir())


def test_runs_left_running_by_a_kill_are_marked_killed(tmp_path: Path) -> None:
    mirror = open_mirror(tmp_path, "study", "study on data")
    RunTracker(mirror, RunFolder(tmp_path, "abc")).begin("run", RunConfig(), {})
    assert mlflow_runs(tmp_path)[0].info.status == "RUNNING"
    open_mirror(tmp_path, "study", "study on data")
    assert mlflow_runs(tmp_path)[0].info.status == "KILLED"


def test_a_failed_run_is_isolated_reported_and_retried(
    fer: Fer, study_file: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_cli.learning import train

    results, original = tmp_path / "results", train.predict

    def explode(module: Any, data: Any, means: Any) -> pd.DataFrame:
        if module.config.learning.method == "scn-cs" and module.config.seed == 1:
            raise ValueError("a deliberate\nfailure")
        return original(module, data, means)

    monkeypatch.setattr(train, "predict", explode)
    options = ["--seeds", "2", *where(data_root, results)]
    first = fer("ablate", "--study", study_file, *options)
    assert first.code == 1
    assert "6 done, 2 failed, 0 skipped" in first.err
    traces = re.findall(r"ValueError: a deliberate failure \(traceback: (.*)\)", first.err)
    assert len(traces) == 2
    assert all("in explode" in Path(trace).read_text() for trace in traces)
    assert {run.info.status for run in mlflow_runs(results)} == {"FINISHED", "FAILED"}

    second = fer("ablate", "--study", study_file, *options)
    assert second.code == 1
    assert "0 done, 2 failed, 6 skipped" in second.err
    assert "--retry-failed" in second.err

    monkeypatch.setattr(train, "predict", original)
    third = fer("ablate", "--study", study_file, *options, "--retry-failed")
    assert third.code == 0
    assert "2 done, 0 failed, 6 skipped" in third.err
    assert not list(results.glob("runs/*/error.txt"))
    assert {run.info.status for run in mlflow_runs(results)} == {"FINISHED"}


def test_a_worker_that_dies_fails_its_run_and_no_other(study_file: Path, data_root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    command = [FER, "ablate", "--study", str(study_file), "--jobs", "2", "--no-track", "--seeds", "2"]
    running = subprocess.Popen([*command, *where(data_root, results)], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(results.glob("runs/*/claim.json")))
    victim = stopped_at_work(results)
    os.kill(json.loads(victim.read_text())["pid"], signal.SIGKILL)
    _, err = running.communicate(timeout=200)
    assert running.returncode == 1
    assert "the worker process died" in err
    assert [path.parent.name for path in results.glob("runs/*/error.txt")] == [victim.parent.name]
    assert len(outcome(results)) == 7


def test_full_disk_and_read_only_results_stop_with_one_line(
    fer: Fer, study_file: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    called = fer("ablate", "--study", study_file, *where(data_root, tmp_path / "file"))
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "cannot write results there" in called.err

    def fails(code: int) -> Callable[..., None]:
        def write(*_: object, **__: object) -> None:
            raise OSError(code, os.strerror(code), "somewhere")

        return write

    monkeypatch.setattr("tempfile.TemporaryFile", fails(30))
    called = fer("ablate", "--study", study_file, *where(data_root, tmp_path / "results"))
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "Read-only file system" in called.err
    monkeypatch.undo()


def test_disk_that_fills_up_while_training_stops_the_study(
    fer: Fer, study_file: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "best.pt")

    monkeypatch.setattr("fer_cli.learning.record.save_weights", full)
    results = tmp_path / "results"
    called = fer("ablate", "--study", study_file, "--no-track", *where(data_root, results))
    assert called.code == 2
    assert called.err.splitlines()[-1].startswith("error: best.pt: no space left")
    assert not list(results.glob("runs/*/error.txt"))
    assert not list(results.glob("runs/*/result.json"))
    assert len(list(results.glob("runs/*"))) == 1


def log_one(place: tuple[Mirror, Path, int]) -> None:
    """Mirror one run of five epochs."""
    mirror, results, number = place
    tracker = RunTracker(mirror, RunFolder(results, f"run{number}"))
    tracker.begin(f"run {number}", RunConfig(seed=number), {"arm": "CNN"})
    for epoch in range(1, 6):
        tracker.epoch(epoch, {f"metric{i}": epoch + i / 10 for i in range(20)} | {"seconds": 1.0})
    tracker.end("FINISHED", {"test/accuracy": 0.5})
    assert tracker.mirror is not None, "the tracker gave up"


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
