"""The contract of executors, each of them on made-up runs: real folders and claims, a moment's work in place of training."""

import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli import claims
from fer_cli.ablate import count_left
from fer_cli.claims import Owner
from fer_cli.errors import FerError
from fer_cli.executors import EXECUTORS, Options, agenda, choose_executor
from fer_cli.places import write_text
from fer_cli.runs import RunFolder
from tests.clusters import ray_cluster, slurm_cluster  # noqa: F401 (fixtures)
from tests.conftest import Called
from tests.fakes import fake_result, leave
from tests.processes import wait_for
from tests.stories import Story, die_once, fail_twice, fill_disk, succeed, take_over, work

HERE = ["serial", "processes"]
CLUSTERS = [pytest.param(name, marks=pytest.mark.exhaustive) for name in ("slurm", "ray")]
"""They need daemons, and minutes: ``make exhaustive``, or ``pytest -m exhaustive -k slurm tests/test_executors.py``."""
executors = pytest.mark.parametrize("name", [*HERE, *CLUSTERS])
with_workers = pytest.mark.parametrize("name", ["processes", *CLUSTERS])
ELSEWHERE = Owner(pid=7, host="elsewhere", started="1", token="theirs")


def test_every_executor_is_tested() -> None:
    assert {*HERE, "slurm", "ray"} == set(EXECUTORS)


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll often; start the daemons of a cluster that is tested."""
    monkeypatch.setattr(agenda, "POLL_S", 0.05)
    slurm = importlib.import_module("fer_cli.executors.slurm")  # the package's own name is the function
    monkeypatch.setattr(slurm, "LOOK_S", 0.3)
    monkeypatch.setattr(slurm, "QUEUE_S", 2.0)
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    if name in {"slurm", "ray"}:
        request.getfixturevalue(f"{name}_cluster")


@executors
def test_all_finish_each_after_those_it_builds_on(name: str, tmp_path: Path) -> None:
    needs = {"first": [], "alone": [], "level": ["first"], "both": ["level", "alone"], "last": ["both"]}
    story = Story(tmp_path / "results", needs)
    made = story.execute(name)
    assert sorted(story.ended) == sorted((title, "done") for title in needs)
    assert sorted(story.begun) == sorted(needs)
    for title, before in needs.items():
        assert all(story.seen(need, "ended") <= story.seen(title, "began") for need in before)
    assert (made.size, made.held, made.blocked, story.settled) == (0, [], [], {})


@executors
def test_a_failure_is_reported_and_blocks_only_what_builds_on_it(name: str, tmp_path: Path) -> None:
    needs = {"fail": [], "on it": ["fail"], "on that": ["on it"], "other": [], "on the other": ["other"]}
    story = Story(tmp_path / "results", needs)
    story.execute(name)
    assert sorted(story.ended) == [("fail", "failed"), ("on the other", "done"), ("other", "done")]
    assert story.settled == {"on it": "blocked", "on that": "blocked"}
    again = Story(tmp_path / "results", needs)
    again.execute(name)
    assert again.settled == {title: {"other": "done", "on the other": "done"}.get(title, "blocked") for title in needs} | {
        "fail": "failed"
    }
    assert again.ended == []
    retried = Story(tmp_path / "results", needs)
    retried.execute(name, run=succeed, retry_failed=True)
    assert set(retried.states().values()) == {"done"}


@executors
def test_what_stops_all_is_passed_on_and_begins_nothing_more(name: str, tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {title: [] for title in "abcdefgh"})
    with pytest.raises(OSError, match="No space left"):
        story.execute(name, run=fill_disk)
    assert len(story.begun) <= 2 or name == "slurm", "Slurm has them all, and cancels what did not begin"
    assert len(list(tmp_path.glob("results/tried-*"))) <= 3
    assert not list(tmp_path.glob("results/runs/*/claim.json"))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("name", [*HERE, CLUSTERS[1]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interruption_ends_what_is_under_way_and_leaves_no_claim(name: str, number: int, tmp_path: Path) -> None:
    """Of Slurm's jobs, which go on, see test_clusters."""
    code = (
        "import sys, pathlib\n"
        "from fer_cli.executors.processes import PRELOADED\n"
        "from fer_cli.signals import end_on_sigterm\n"
        "from tests.stories import Story\n"
        "end_on_sigterm()\n"
        "PRELOADED.clear()\n"  # no run needs PyTorch
        "story = Story(pathlib.Path(sys.argv[1]), {'endless': [], 'endless too': [], 'next': ['endless']})\n"
        "story.execute(sys.argv[2])\n"
    )
    command = ["env", "--default-signal=INT", sys.executable, "-c", code, str(tmp_path / "results"), name]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    many = 1 if name == "serial" else 2
    wait_for(lambda: len(list(tmp_path.glob("results/runs/*/progress.txt"))) == many)
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode != 0
    assert not list(tmp_path.glob("results/runs/*/claim.json"))
    assert not list(tmp_path.glob("results/runs/*/error.txt"))
    assert not list(tmp_path.glob("results/runs/*/result.json"))


@with_workers
def test_a_worker_that_is_killed_again_fails_its_run_and_no_other(name: str, tmp_path: Path) -> None:
    """In this process there is no worker that could die alone."""
    story = Story(tmp_path / "results", {"slow": [], "die": [], "on it": ["die"], "more": [], "and more": []})
    story.execute(name)
    assert dict(story.ended) == {"slow": "done", "die": "failed", "more": "done", "and more": "done"}
    assert len(story.ended) == 4, "the neighbour went on: nothing began twice"
    assert story.settled == {"on it": "blocked"}
    assert "worker process died" in story.items["die"].folder.error_line()


@executors
def test_runs_of_other_processes_are_waited_for(name: str, tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {"theirs": [], "on it": ["theirs"], "mine": []})
    folder = story.items["theirs"].folder
    write_text(folder.file("claim.json"), ELSEWHERE.model_dump_json())
    code = (
        "import sys, time, pathlib\nfrom fer_cli.runs import RunFolder\nfrom tests.fakes import fake_result, leave\n"
        "folder = RunFolder(pathlib.Path(sys.argv[1]), sys.argv[2])\n"
        "while not list(pathlib.Path(sys.argv[1]).glob('runs/*/result.json')): time.sleep(0.02)\n"
        "time.sleep(0.3); leave(folder, fake_result(folder.run_id))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "results"), folder.run_id]):
        story.execute(name)
    assert story.ended == [("mine", "done"), ("on it", "done")]
    assert (story.settled, story.waited) == ({"theirs": "done"}, ["theirs"])


@executors
def test_runs_of_other_processes_are_left_without_waiting(name: str, tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {"theirs": [], "on it": ["theirs"], "mine": []})
    write_text(story.items["theirs"].folder.file("claim.json"), ELSEWHERE.model_dump_json())
    made = story.execute(name, wait=False)
    assert story.ended == [("mine", "done")]
    assert [story.titles[item.run_id] for item in (*made.held, *made.blocked)] == ["theirs", "on it"]
    assert count_left(made) == {"running": 2, "unstarted": 0}
    assert (story.settled, story.waited) == ({}, [])


@executors
def test_a_run_whose_process_dies_is_taken_over(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SILENT_S", 0.3)
    story = Story(tmp_path / "results", {"theirs": [], "on it": ["theirs"]})
    write_text(story.items["theirs"].folder.file("claim.json"), ELSEWHERE.model_dump_json())
    story.execute(name, run=take_over)
    assert story.ended == [("theirs", "done"), ("on it", "done")]
    assert story.waited == ["theirs"]


@executors
def test_a_run_taken_between_plan_and_start_is_left_to_its_process(name: str, tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {"a": [], "b": ["a"]})
    made = story.agenda(wait=False)
    write_text(story.items["a"].folder.file("claim.json"), ELSEWHERE.model_dump_json())
    EXECUTORS[name](made, work, story.done)
    assert story.ended == [("a", "elsewhere")]
    assert [story.titles[item.run_id] for item in (*made.held, *made.blocked)] == ["a", "b"]


@with_workers
def test_a_run_whose_worker_is_killed_is_taken_over(name: str, tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {"once": [], "on it": ["once"], "other": []})
    story.execute(name, run=die_once)
    assert sorted(story.ended) == [("on it", "done"), ("once", "done"), ("other", "done")]
    assert sorted(story.begun) == ["on it", "once", "other"]


@executors
def test_a_run_that_fails_is_tried_as_often_as_asked(name: str, tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {"shaky": [], "on it": ["shaky"], "fail": []})
    story.execute(name, run=fail_twice, retries=2)
    assert sorted(story.ended) == [("fail", "failed"), ("on it", "done"), ("shaky", "done")]
    assert [(tmp_path / f"results/{title}").read_text() for title in ("shaky", "fail", "on it")] == ["xxx", "xxx", "x"]


@executors
def test_fail_fast_starts_nothing_after_a_failure(name: str, tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {"fail": [], "slow": [], "next": [], "on it": ["next"]})
    made = story.execute(name, fail_fast=True)
    assert ("fail", "failed") in story.ended
    assert ("next", "done") not in story.ended
    assert [story.titles[item.run_id] for item in made.blocked] == ["on it"]
    assert story.titles[made.unstarted[-1].run_id] == "next"
    assert count_left(made) == {"unstarted": len(made.unstarted) + 1, "running": 0}, "nobody else trains them"


def test_a_run_starts_as_soon_as_what_it_needs_is_done(tmp_path: Path) -> None:
    """A long run at one depth keeps nothing back at the next."""
    story = Story(tmp_path / "results", {"patient": [], "a": [], "on a": ["a"], "on that": ["on a"]})
    story.execute("processes")
    assert story.ended[-1] == ("patient", "done"), "it waited for the results of the three others"
    assert story.seen("on that", "began") < story.seen("patient", "ended")


def test_workers_are_kept_for_the_next_run(tmp_path: Path) -> None:
    titles = [str(number) for number in range(6)]
    story = Story(tmp_path / "results", {title: titles[: int(title)][-1:] for title in titles})
    story.execute("processes")
    assert len({story.seen(title, "process") for title in titles}) == 1
    assert story.seen("0", "process") != os.getpid()


def test_runs_needed_from_outside_the_plan_count_as_they_are(tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {"done before": [], "missing": [], "x": ["done before"], "y": ["missing"]})
    folder = story.items.pop("done before").folder
    leave(folder, fake_result(folder.run_id))
    del story.items["missing"]
    story.execute("serial")
    assert (story.ended, story.settled) == ([("x", "done")], {"y": "blocked"})


def test_the_executor_is_chosen_by_jobs_or_by_name() -> None:
    assert [choose_executor(Options(jobs=jobs)) for jobs in (1, 2)] == ["serial", "processes"]
    assert choose_executor(Options(executor="processes")) == choose_executor(Options(gpus=("0",))) == "processes"
    with pytest.raises(FerError, match="no executor 'process'; did you mean processes"):
        choose_executor(Options(executor="process"))
    with pytest.raises(FerError, match="one run at a time"):
        choose_executor(Options(executor="serial", jobs=2))


@executors
def test_every_executor_trains_a_study(
    name: str, fer: Callable[..., Called], study_file: Path, data_root: Path, tmp_path: Path
) -> None:
    where = ["--no-track", "--data-root", data_root, "--results", tmp_path / "results", "--precision", "fp32"]
    study_file.write_text(study_file.read_text().replace("  train:", "  model: {backbone: cnn3}\n  train:"))
    called = fer("ablate", "--study", study_file, "--seeds", "1", "--only", "CNN", "--executor", name, *where)
    assert called.code == 0, called.err
    assert "2 done, 0 failed, 0 skipped" in called.err
    assert not list(tmp_path.glob("results/runs/*/progress.txt"))
    results = [json.loads(path.read_text()) for path in tmp_path.glob("results/runs/*/result.json")]
    assert len(results) == 2


def test_an_unknown_executor_is_one_line(fer: Callable[..., Called], study_file: Path) -> None:
    called = fer("ablate", "--study", study_file, "--executor", "proceses")
    assert (called.code, called.err) == (2, "error: --executor: no executor 'proceses'; did you mean processes?\n")


def test_progress_is_one_line_that_needs_no_history(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "abc")
    assert folder.progress() == 0
    folder.write_progress(3, 12)
    assert (folder.progress(), folder.file("progress.txt").read_text()) == (0.25, "3/12\n")
    for text in ("", "x", "1/0", "1/2/3", "9/3", "-1/3"):
        folder.file("progress.txt").write_text(text)
        assert 0 <= folder.progress() <= 1
    folder.file("progress.txt").unlink()
    os.mkfifo(folder.file("progress.txt"))
    assert folder.progress() == 0
