"""Random kills of a study of 24 runs, over executors: the end is that of the uninterrupted study, with nothing left behind.

``FER_KILLS=50 pytest -n 0 -s -m exhaustive tests/test_kills.py`` takes 20 minutes on two cores; the seed is printed, and
``FER_SEED`` sets it. ``FER_EXECUTORS=serial,processes,ray,slurm`` adds Ray's on this machine, and Slurm's on a cluster of
its own, whose jobs go on without the command and are cancelled before it starts again.
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
from tests.clusters import slurm_cluster  # noqa: F401
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
EXECUTORS = os.environ.get("FER_EXECUTORS", "serial,processes").split(",")
COMMAND = ["env", "--default-signal=INT", FER, "ablate", "--retry-failed", "--study"]


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


def kill_until_done(study: Path, data_root: Path, results: Path, choice: random.Random, told: list[str]) -> None:
    """Start the study again and again, each time killed at random, until it is done or was killed often enough."""
    while len(told) < KILLS:
        token, executor = secrets.token_hex(8), choice.choice(EXECUTORS)
        jobs = "1" if executor == "serial" else choice.choice(["1", "2"])
        called = [*COMMAND, str(study), "--executor", executor, "--jobs", jobs, *where(data_root, results)]
        environment = os.environ | {"OMP_NUM_THREADS": jobs, MARK: token}  # one thread for each run
        running = subprocess.Popen(called, env=environment, stderr=subprocess.DEVNULL)
        wanted = len(list(results.glob("runs/*/result.json"))) + (choice.random() < 0.2)
        wait_for(lambda: running.poll() is not None or is_at_work(results, wanted), 600)  # noqa: B023 (called at once)
        if running.poll() is not None:
            return
        time.sleep(choice.expovariate(2))
        what = kill_one(running, results, choice)
        told.append(f"{executor} {what}")
        if what == "worker" and executor != "serial":
            time.sleep(choice.expovariate(2))
            running.kill()
        running.wait()
        if executor == "slurm":
            subprocess.run([FER, "cancel", "--study", study, "--results", results], env=environment, check=False)
        wait_for(lambda: not marked(token), 120)  # noqa: B023


def is_at_work(results: Path, wanted: int) -> bool:
    """Whether a run is claimed and so many are done."""
    return bool(list(results.glob("runs/*/claim.json"))) and len(list(results.glob("runs/*/result.json"))) >= wanted


@pytest.mark.exhaustive
@pytest.mark.timeout(0)
def test_a_study_killed_at_random_ends_like_an_uninterrupted_one(
    data_root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "slurm" in EXECUTORS:
        request.getfixturevalue("slurm_cluster")
    (tmp_path / "killed.yaml").write_text(STUDY)
    seed = int(os.environ.get("FER_SEED", secrets.randbelow(10**6)))
    choice, told = random.Random(seed), list[str]()
    command, environment = [*COMMAND, str(tmp_path / "killed.yaml")], os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *where(data_root, tmp_path / "plain")], env=environment, check=True)
    whole = outcome(tmp_path / "plain")
    assert len(whole) == 24
    while len(told) < KILLS:
        before, results = len(told), tmp_path / f"results {len(told)}"
        kill_until_done(tmp_path / "killed.yaml", data_root, results, choice, told)
        print(f"seed {seed}: kills {before + 1} to {len(told)}: {', '.join(told[before:])}")
        last = subprocess.run([*command, *where(data_root, results)], env=environment, check=False)
        assert last.returncode == 0
        assert outcome(results) == whole
        runs = mlflow_runs(results)
        assert sorted(run.data.tags["fer.run_id"] for run in runs) == sorted(whole)
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert not any(RunFolder(results, path.parent.name).claimed for path in results.glob("runs/*/claim.json"))
        assert not list((results / "sweeps" / "calls").glob("*.cancel"))
        assert len(told) > before
