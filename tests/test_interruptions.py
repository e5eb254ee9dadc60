"""Studies that are killed, told to end, or run into errors and full disks; and the same command again."""

import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fer_cli.executors.jobs import STORAGE_ERRORS
from fer_cli.runs import RunFolder
from tests.conftest import STUDY, Called
from tests.processes import fork_fer, stopped_at_work, wait_for
from tests.studies import FER, mlflow_runs, outcome, where

Fer = Callable[..., Called]


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_kill_9_and_the_same_command_give_the_same_study(
    finished: tuple[Path, Path],
    copy_store: Callable[[Path], None],
    fer: Fer,
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    jobs: str,
) -> None:
    study, results, count = finished[0], tmp_path / "results", 4 * int(jobs)
    whole = outcome(finished[1], seeds=int(jobs))
    assert len(whole) == count
    command = ["ablate", "--study", str(study), "--jobs", jobs, "--seeds", jobs, *where(data_root, results)]
    monkeypatch.setenv("OMP_NUM_THREADS", jobs)  # one thread for each process, as in the uninterrupted study
    copy_store(results)
    if jobs == "1":
        forked = fork_fer(tmp_path / "said", *command)
        kill, wait = forked.process.kill, forked.finish
    else:
        running = subprocess.Popen([FER, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        kill, wait = running.kill, running.wait  # type: ignore[assignment]
    wait_for(lambda: list(results.glob("runs/*/result.json")) and list(results.glob("runs/*/claim.json")))
    kill()
    wait()
    wait_for(lambda: not any(RunFolder(results, p.parent.name).claimed for p in results.glob("runs/*/claim.json")))
    before = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/result.json")}
    assert 1 <= len(before) < count
    again = fer(*command)
    assert again.code == 0, again.err
    assert f"{count - len(before)} done, 0 failed, {len(before)} skipped" in again.err
    assert outcome(results) == whole
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    runs = mlflow_runs(results)
    assert sorted(run.data.tags["fer.run_id"] for run in runs) == sorted(whole)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_sigterm_ends_the_run_as_killed(
    finished: tuple[Path, Path], copy_store: Callable[[Path], None], data_root: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    copy_store(results)
    running = fork_fer(tmp_path / "said", "ablate", "--study", finished[0], *where(data_root, results))
    wait_for(lambda: list(results.glob("runs/*/history.csv")))
    running.send_signal(signal.SIGTERM)
    assert running.finish()[0] == 128 + signal.SIGTERM
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
    assert err.splitlines()[-1] == "interrupted; rerun the same command to resume"
    assert not list(results.glob("runs/*/claim.json"))


@pytest.mark.slow
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
    import torch

    from fer_cli.learning.record import write_tensors

    tensors = {"x": torch.zeros(10000)}
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, largest[1]))
        with pytest.raises(OSError) as raised:
            write_tensors(tmp_path / "best.pt", tensors)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, largest)
    assert raised.value.errno in STORAGE_ERRORS
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_frees_its_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 warns of a buffer collected before the views of it, which frames in a cycle keep."""
    from fer_cli.learning.record import write_tensors

    def interrupted(path: Path, data: Any) -> int:
        view, frame = memoryview(data), sys._getframe()
        raise KeyboardInterrupt(view, frame)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_tensors(tmp_path / "best.pt", {})
    assert list(tmp_path.iterdir()) == []
    gc.collect()


def test_a_failed_run_is_isolated_reported_and_retried(
    fer: Fer, study_file: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_cli.learning import train

    results, original = tmp_path / "results", train.predict
    quick = "  model: {backbone: cnn3}\n  train: {epochs: 1, batch_size: 32}"
    study_file.write_text(STUDY.replace("  train: {epochs: 2, batch_size: 32}", quick))

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


@pytest.mark.exhaustive
def test_the_run_of_a_worker_that_dies_is_taken_over(study_file: Path, data_root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    command = [FER, "ablate", "--study", str(study_file), "--jobs", "2", "--no-track", "--seeds", "2"]
    running = subprocess.Popen([*command, *where(data_root, results)], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(results.glob("runs/*/claim.json")))
    victim = stopped_at_work(results)
    os.kill(json.loads(victim.read_text())["pid"], signal.SIGKILL)
    _, err = running.communicate(timeout=200)
    assert running.returncode == 0, err
    assert "its worker process died; trained again alone" in err
    assert "8 done, 0 failed, 0 skipped" in err
    assert not list(results.glob("runs/*/error.txt"))
    assert len(outcome(results)) == 8


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
