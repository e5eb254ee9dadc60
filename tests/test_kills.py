"""Random kills of a study of 24 runs, over executors: the end is that of the uninterrupted study, with nothing left behind.

``FER_KILLS=50 pytest -m exhaustive tests/test_kills.py``; the seed is printed, and ``FER_SEED`` sets it.
"""

import json
import os
import random
import secrets
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fer_cli.runs import RunFolder
from tests.processes import wait_for
from tests.studies import FER, mlflow_runs, outcome, where

STUDY = """
name: killed
question: Does a killed study end like an uninterrupted one?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25, max_images: 80}
  model: {backbone: cnn3}
  train: {epochs: 2, batch_size: 32}
seeds: [0, 1, 2, 3, 4, 5, 6, 7]
arms: {CNN: {}, SCN: {learning.method: scn}, noisy: {corrupt.noise: 0.1}}
report: {against: CNN}
"""
MARK = "FER_TEST_MARK"
KILLS = int(os.environ.get("FER_KILLS", "50"))


def marked(token: str) -> list[int]:
    """The processes that a command with this mark started, and their own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"{MARK}={token}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def kill_one(running: subprocess.Popen[bytes], results: Path, choice: random.Random) -> str:
    """Kill the command, or a process that has a claim; return which."""
    claims = list(results.glob("runs/*/claim.json"))
    if claims and choice.random() < 0.4:
        with suppress(OSError, ValueError):
            os.kill(json.loads(choice.choice(claims).read_text())["pid"], signal.SIGKILL)
        return "worker"
    number = choice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    running.send_signal(number)
    return number.name


@pytest.mark.exhaustive
@pytest.mark.timeout(0)
def test_a_study_killed_at_random_ends_like_an_uninterrupted_one(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "killed.yaml").write_text(STUDY)
    seed = int(os.environ.get("FER_SEED", secrets.randbelow(10**6)))
    choice = random.Random(seed)
    command = ["env", "--default-signal=INT", FER, "ablate", "--study", str(tmp_path / "killed.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    plain = subprocess.run([*command, *where(data_root, tmp_path / "plain")], env=environment, check=True)
    assert plain.returncode == 0
    whole = outcome(tmp_path / "plain")
    results, kills, told = tmp_path / "results", 0, []
    while kills < KILLS:
        token = secrets.token_hex(8)
        jobs = choice.choice(["1", "2"])
        options = ["--executor", choice.choice(["serial", "processes"] if jobs == "1" else ["processes"]), "--jobs", jobs]
        threads = {"OMP_NUM_THREADS": str(2 * int(jobs))}  # as many for each run as in the uninterrupted study
        called = [*command, *options, "--retry-failed", *where(data_root, results)]
        running = subprocess.Popen(called, env=os.environ | threads | {MARK: token}, stderr=subprocess.DEVNULL)
        before = len(list(results.glob("runs/*/result.json")))
        wanted = before + (choice.random() < 0.2)
        wait_for(
            lambda running=running, wanted=wanted: (
                running.poll() is not None
                or (list(results.glob("runs/*/claim.json")) and len(list(results.glob("runs/*/result.json"))) >= wanted)
            ),
            600,
        )
        if running.poll() is not None:
            break
        time.sleep(choice.uniform(0, 3))
        what = kill_one(running, results, choice)
        told.append(f"{options[1]} {what}")
        kills += 1
        if what == "worker" and options[1] == "processes":
            time.sleep(choice.uniform(0, 3))
            running.kill()
        running.wait()
        wait_for(lambda token=token: not marked(token), 60)
    print(f"seed {seed}: {kills} kills: {', '.join(told)}")
    last = subprocess.run([*command, "--retry-failed", *where(data_root, results)], env=environment, check=False)
    assert last.returncode == 0
    assert outcome(results) == whole
    assert len(whole) == 24
    runs = mlflow_runs(results)
    assert sorted(run.data.tags["fer.run_id"] for run in runs) == sorted(whole)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert not any(RunFolder(results, path.parent.name).claimed for path in results.glob("runs/*/claim.json"))
    assert not list((results / "sweeps" / "calls").glob("*.cancel"))
