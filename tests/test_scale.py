"""What executors cost: beside trainings, for a thousand runs, and what a second process gains."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_cli.ablate import run_plan
from fer_cli.config import Compute
from fer_cli.executors import jobs
from fer_cli.places import PACKAGE
from fer_cli.plan import make_plan
from fer_cli.study import Choice

STUDY = """
name: small
question: What do executors cost?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25}
  model: {backbone: cnn3}
  train: {epochs: 4, batch_size: 32}
seeds: [0, 1, 2, 3, 4, 5, 6, 7]
arms: {CNN: {}, slow: {train.lr: 0.0001}}
report: {against: CNN}
"""
THOUSAND = """
import json, pathlib, resource, sys, time
from fer_cli.executors import EXECUTORS
from fer_cli.executors.processes import PRELOADED
from fer_cli.provenance import peak_memory
from tests.stories import Story, note

PRELOADED.clear()  # no run needs PyTorch
titles = [str(number) for number in range(1000)]
needs = {title: titles[max(0, int(title) - 10) : int(title)][:1] for title in titles}  # ten chains of a hundred
story = Story(pathlib.Path(sys.argv[2]), needs)
times = [time.process_time()]
done = story.done
story.done = lambda outcome: (done(outcome), times.append(time.process_time()))
story.execute(sys.argv[1], run=note, jobs=1 if sys.argv[1] == "serial" else 2)
assert len(story.ended) == 1000
peak = peak_memory() + 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([times[500] - times[0], times[1000] - times[500], peak / 2**20]))
"""


@pytest.mark.parametrize("name", ["serial", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_thousand_tiny_runs_are_scheduled_in_little_memory_without_slowing_down(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", THOUSAND, name, str(tmp_path / "results")]
    said = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True).stdout
    first, second, megabytes = json.loads(said)
    print(f"{name}: {first:.2f} and {second:.2f} s of the scheduler's processor time, {megabytes:.0f} MB")
    assert megabytes < 500
    assert second < 2 * first + 0.2


def small_plan(data_root: Path, folder: Path, seeds: int) -> tuple[Any, Compute]:
    folder.mkdir()
    (folder / "small.yaml").write_text(STUDY)
    compute = Compute(data_root=data_root, results=folder / "results", device="cpu", precision="fp32", threads=1)
    return make_plan(str(folder / "small.yaml"), Choice(seeds=tuple(range(seeds))), compute), compute


@pytest.mark.slow
def test_serial_adds_a_twentieth_to_what_runs_take(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In processor time, as other processes disturb a clock; opening MLflow's store, once for a study, is not counted."""
    from fer_cli import tracking

    spent: Counter[str] = Counter()

    def timed(module: Any, name: str) -> None:
        call: Callable[..., Any] = getattr(module, name)

        def measure(*arguments: Any) -> Any:
            began = time.process_time()
            try:
                return call(*arguments)
            finally:
                spent[name] += time.process_time() - began  # type: ignore[call-overload]

        monkeypatch.setattr(module, name, measure)

    for module, name in ((jobs, "run_task"), (tracking, "open_mirror")):
        timed(module, name)
    plan, compute = small_plan(data_root, tmp_path / "a", 3)
    began = time.process_time()
    assert run_plan(plan, compute).counts["done"] == 6
    total = time.process_time() - began - spent["open_mirror"]
    print(f"6 runs: {spent['run_task']:.2f} s, with serial {total:.2f} s, to open the store {spent['open_mirror']:.2f} s")
    assert total < 1.05 * spent["run_task"] + 0.2


@pytest.mark.exhaustive
@pytest.mark.timeout(1200)
def test_two_processes_are_faster_than_one(data_root: Path, tmp_path: Path) -> None:
    """Whole commands on small runs and two cores, the start of the workers included; the better of two tries.

    Commands, as the fixtures of tests change what a run in this process takes, but not what one in a worker does.
    """
    path = tmp_path / "small.yaml"
    path.write_text(STUDY.replace("seeds: [0,", "seeds: [8, 9, 10, 11, 0,"))
    where = ["--study", path, "--data-root", data_root, "--device", "cpu", "--precision", "fp32"]
    ratios = []
    for number in range(2):
        seconds = []
        for count in ("1", "2"):
            results = tmp_path / f"{number} {count}"
            began = time.monotonic()
            command = [sys.executable, "-m", "fer_cli", "ablate", *where, "--results", results, "--jobs", count]
            subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, check=True)
            seconds.append(time.monotonic() - began)
            assert len(list((results / "runs").glob("*/result.json"))) == 24
        ratios.append(seconds[0] / seconds[1])
        print(f"24 runs: serial {seconds[0]:.1f} s, processes {seconds[1]:.1f} s: {ratios[-1]:.2f} times")
        if ratios[-1] >= 1.3:
            break
    assert max(ratios) >= 1.3
