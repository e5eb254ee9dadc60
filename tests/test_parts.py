"""Parts of a plan: shards, chosen runs and printed commands; options of execution; state, cancelling, merging."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fer_cli.claims import this_process
from fer_cli.config import Compute
from fer_cli.errors import StudyError
from fer_cli.inventory.merge import merge_results
from fer_cli.inventory.progress import read_progress
from fer_cli.parts import choose_runs, choose_shard
from fer_cli.places import write_text
from fer_cli.plan import Plan, make_plan
from fer_cli.runs import RunFolder
from fer_cli.study import Choice
from fer_cli.sweeps import read_sweeps, record_sweep
from tests.conftest import Called
from tests.fakes import fake_result, leave

Fer = Callable[..., Called]

STUDY = """
name: parts
question: Does each part train its own runs?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25}
  model: {backbone: cnn3}
  train: {epochs: 1, batch_size: 32}
seeds: [0, 1, 2]
arms:
  CNN: {}
  noisy: {corrupt.noise: 0.1}
  SCN: {learning.method: scn}
report: {against: CNN}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "parts.yaml").write_text(STUDY)
    return tmp_path / "parts.yaml"


@pytest.fixture
def plan(study: Path, data_root: Path, tmp_path: Path) -> Plan:
    return make_plan(str(study), Choice(), Compute(data_root=data_root, results=tmp_path / "results"))


def where(data_root: Path, results: Path) -> list[object]:
    return ["--no-track", "--data-root", data_root, "--results", results, "--precision", "fp32"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 20])
def test_shards_cover_every_run_once_and_keep_together_what_depends(plan: Plan, count: int) -> None:
    shards = [choose_shard(plan, f"{number}/{count}") for number in range(1, count + 1)]
    names = [item.run_id for shard in shards for item in shard.everything]
    assert sorted(names) == sorted(item.run_id for item in plan.everything)
    assert sum(len(shard.items) for shard in shards) == len(plan.items)
    for shard in shards:
        mine = {item.run_id for item in shard.everything}
        assert all(need.run_id in mine for item in shard.everything for need in item.needs)
    sizes = [sum(item.epochs for item in shard.everything) for shard in shards]
    if count <= 3:
        assert max(sizes) - min(sizes) <= max(item.epochs for item in plan.everything) * 2


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "/2", "a/b", "1/0", "-1/3", "1/2/3", "٢/٣", "1/9999999"])
def test_a_shard_out_of_range_is_an_error(plan: Plan, text: str) -> None:
    with pytest.raises(StudyError, match="--shard"):
        choose_shard(plan, text)


def test_a_chosen_run_brings_what_it_starts_from(plan: Plan) -> None:
    noisy = next(item for item in plan.items if item.trained is not None)
    part = choose_runs(plan, [noisy.run_id])
    assert [item.run_id for item in part.items] == [noisy.run_id]
    assert [item.run_id for item in part.everything] == [need.run_id for need in noisy.needs] + [noisy.run_id]


def test_printed_commands_train_one_run_each_from_any_folder_and_give_the_study(
    fer: Fer, study: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--seeds", "1", "--executor", "print", *where(data_root, Path("out"))]
    called = fer("ablate", "--study", "parts.yaml", *options)
    assert called.code == 0, called.err
    lines = called.out.splitlines()
    assert len(lines) == 3
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fer("ablate", "--study=~/parts.yaml", *options).out == called.out
    assert not list(tmp_path.glob("out/runs/*"))
    commented = [line.split("  # ") for line in lines]
    names = [comment.split(",")[0] for _, comment in commented]
    assert sum(", after " in comment for _, comment in commented) == 1
    after = next(comment for _, comment in commented if ", after " in comment)
    assert names.index(after.split(", after ")[1]) < names.index(after.split(",")[0])
    monkeypatch.chdir("/")
    for place, line in enumerate(lines, start=1):
        assert fer(*shlex.split(line, comments=True)[1:]).code == 0
        assert sorted(path.parent.name for path in tmp_path.glob("out/runs/*/result.json")) == sorted(names[:place])
    again = fer("ablate", "--study", study, "--seeds", "1", *where(data_root, tmp_path / "out"))
    assert "0 done, 0 failed, 3 skipped" in again.err
    assert fer("status", "--results", tmp_path / "out").out.splitlines()[1].startswith("parts on ck48 (small)\t3\t3\t0")


@pytest.mark.slow
def test_shards_trained_apart_merge_to_the_whole(
    fer: Fer, study: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--study", study, "--seeds", "2"]
    apart = [tmp_path / f"apart{number}" for number in (1, 2)]
    for number, results in enumerate(apart, start=1):
        assert fer("ablate", *options, "--shard", f"{number}/2", *where(data_root, results)).code == 0
    assert sum(len(list(results.glob("runs/*/result.json"))) for results in apart) == 6
    merged = tmp_path / "merged"
    called = fer("merge", *apart, "--results", merged)
    assert (called.code, called.err.splitlines()[0]) == (0, "6 runs copied, 0 already there, 0 unfinished, 0 damaged")
    times = {path: path.stat().st_mtime_ns for path in merged.rglob("*") if path.is_file()}
    again = fer("merge", *apart, "--results", merged)
    assert again.err.splitlines()[0] == "0 runs copied, 6 already there, 0 unfinished, 0 damaged"
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert "0 done, 0 failed, 6 skipped" in fer("ablate", *options, *where(data_root, merged)).err
    assert fer("status", "--results", merged, "--watch").code == 0


def set_up_side(results: Path, plan: Plan, count: int, **changes: object) -> list[str]:
    names = []
    for item in plan.everything[:count]:
        folder = RunFolder(results, item.run_id)
        leave(folder, fake_result(item.run_id, item.run.config, **{"fingerprint": item.fingerprint, **changes}))
        names.append(item.run_id)
    return names


def test_merging_refuses_other_data_versions_and_folders(fer: Fer, plan: Plan, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    names = set_up_side(first, plan, 2)
    set_up_side(second, plan, 2, fingerprint="0123456789abcdef")
    code = {"commit": None, "dirty": None, "fer": "9.9", "libraries": {"torch": "1.0"}}
    set_up_side(third, plan, 2, provenance=code)
    called = fer("merge", first, second, "--results", tmp_path / "goal")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert plan.everything[0].fingerprint in called.err
    assert "0123456789abcdef" in called.err
    called = fer("merge", first, third, "--results", tmp_path / "goal")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "fer 9.9, torch 1.0" in called.err
    assert "fer 0.1.0 (abc)" in called.err
    assert fer("merge", first, "--results", first).code == 2
    assert fer("merge", tmp_path / "nothing", "--results", tmp_path / "goal").code == 2
    assert not (tmp_path / "goal").exists()
    assert fer("merge", first, third, "--results", tmp_path / "goal", "--mixed-versions").code == 0
    assert sorted(path.name for path in (tmp_path / "goal" / "runs").iterdir()) == sorted(names)


def test_merging_overwrites_nothing_and_says_what_it_leaves(fer: Fer, plan: Plan, tmp_path: Path) -> None:
    source, goal = tmp_path / "source", tmp_path / "goal"
    same, other, unfinished, damaged, begun = set_up_side(source, plan, 5)
    set_up_side(goal, plan, 2)
    item, counts = plan.everything[1], {"test": [[19, 1, 0], [0, 15, 0], [0, 0, 15]]}
    leave(RunFolder(goal, other), fake_result(other, item.run.config, counts, fingerprint=item.fingerprint))
    (source / "runs" / unfinished / "result.json").unlink()
    (source / "runs" / damaged / "result.json").write_text("{half")
    (source / "runs" / begun / "claim.json").symlink_to("/etc/hostname")
    (goal / "runs" / begun).mkdir()
    (goal / "runs" / begun / "log.txt").write_text("mine")
    kept = (goal / "runs" / other / "result.json").read_bytes()
    called = fer("merge", source, "--results", goal)
    assert called.code == 1
    assert "1 runs copied, 1 already there, 1 unfinished, 1 damaged" in called.err
    assert f"kept as it is: {other}" in called.err
    assert (goal / "runs" / other / "result.json").read_bytes() == kept
    assert RunFolder(goal, begun).status == "done"
    assert not (goal / "runs" / begun / "claim.json").exists()
    assert next((goal / "bin").glob(f"*-{begun}/log.txt")).read_text() == "mine"
    assert not (goal / "runs" / damaged).exists()
    assert same


def test_a_merge_that_is_interrupted_in_a_record_is_completed_by_the_next(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, goal = tmp_path / "source", tmp_path / "goal"
    set_up_side(source, plan, 1)
    record_sweep(plan, source)
    copy = shutil.copy2

    def stop(path: Path, there: Path) -> None:
        if path.parent.name == "sweeps":
            there.write_bytes(path.read_bytes()[:20])
            raise KeyboardInterrupt
        copy(path, there)

    monkeypatch.setattr(shutil, "copy2", stop)
    with pytest.raises(KeyboardInterrupt):
        merge_results([source], goal)
    assert not list(goal.glob("sweeps/*"))
    monkeypatch.setattr(shutil, "copy2", copy)
    merge_results([source], goal)
    (record,) = source.glob("sweeps/*.json")
    assert (goal / "sweeps" / record.name).read_bytes() == record.read_bytes()


def test_status_reads_run_folders_alone(fer: Fer, plan: Plan, tmp_path: Path) -> None:
    results = tmp_path / "results"
    record_sweep(plan, results)
    shared = next(item for item in plan.everything if any(item in other.needs for other in plan.everything))
    rest = [item for item in plan.everything if item is not shared and shared not in item.needs]
    shared.folder.write_error("Oops: no\n")
    set_up_side(results, plan, 0)
    done, running, stale = rest[:3]
    leave(done.folder, fake_result(done.run_id, done.run.config))
    owner = this_process("token").model_copy(update={"job": "Slurm job 7_1", "since": time.time() - 120})
    write_text(running.folder.file("claim.json"), owner.model_dump_json())
    running.folder.write_progress(1, 4)
    write_text(stale.folder.file("claim.json"), owner.model_copy(update={"started": "1"}).model_dump_json())
    one = read_progress(results)[0]
    states = {run.run.run_id: run.state for run in one.runs}
    assert states[shared.run_id] == "failed"
    assert {states[item.run_id] for item in plan.everything if shared in item.needs} == {"blocked"}
    assert [states[item.run_id] for item in (done, running, stale)] == ["done", "running", "waiting"]
    assert one.left is not None
    assert not one.over
    called = fer("status", "--results", results)
    assert called.code == 0
    line = next(line for line in called.out.splitlines() if line.startswith(running.run_id))
    assert line.split("\t")[1] == "running"
    assert "(Slurm job 7_1)" in line
    assert "2 min ago\t25 %" in line
    assert "Oops: no" in called.out
    shared.folder.file("error.txt").unlink()
    again = fer("status", "--results", results, "--study", "parts").err.splitlines()[-1]
    assert again == f"next: fer status --study parts --watch --results {results}"
    assert fer("status", "--results", results, "--study", "part").err.count("did you mean parts?") == 1
    assert "parts on" in fer("status", "--results", results, "--study", "~/of/parts.yaml").out
    assert fer("status", "--results", tmp_path / "none").code == 2
    assert "waiting" in fer("status", "--states").out


@pytest.mark.parametrize("recorded", [True, False])
def test_status_of_a_finished_study_of_ones_own_suggests_a_command_that_works(
    fer: Fer, plan: Plan, study: Path, tmp_path: Path, recorded: bool
) -> None:
    results = tmp_path / "results"
    record_sweep(plan, results)
    path = results / "sweeps" / "parts-ck48-small.json"
    if not recorded:
        path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "given"}))
    set_up_side(results, plan, len(plan.everything))
    called = fer("status", "--results", results)
    command = ["fer", "report", "--study", str(study)] if recorded else ["fer", "runs", "--study", "parts"]
    assert shlex.split(called.err)[1:] == [*command, "--results", str(results)], called.err


def test_the_latest_command_is_the_first_of_the_status(plan: Plan, tmp_path: Path) -> None:
    other = replace(plan, study=plan.study.model_copy(update={"name": "other"}))
    for place, command in enumerate((plan, other, plan)):
        record_sweep(command, tmp_path)
        for path in tmp_path.glob("sweeps/*.json"):  # a minute passes
            os.utime(path, (path.stat().st_mtime - 60,) * 2)
        assert [one.study for one in read_sweeps(tmp_path)] == [["parts"], ["other", "parts"], ["parts", "other"]][place]


def test_status_does_without_the_record_of_the_plan(fer: Fer, finished: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(finished[1], tmp_path / "results", ignore=shutil.ignore_patterns("sweeps", "mlflow*", "mlartifacts"))
    called = fer("status", "--results", tmp_path / "results")
    assert called.out.splitlines()[1].split("\t")[:3] == ["tiny on ck48 (small)", "12", "12"]


def test_cancel_ends_a_command_and_asks_those_on_other_machines(fer: Fer, plan: Plan, tmp_path: Path) -> None:
    calls = tmp_path / "results" / "sweeps" / "calls"
    code = "import time\ntry:\n time.sleep(300)\nexcept BaseException: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as running:
        from fer_cli.claims import process_started

        here = this_process("here").model_copy(update={"pid": running.pid, "started": process_started(running.pid)})
        gone = here.model_copy(update={"pid": running.pid, "started": "1", "token": "gone"})
        there = here.model_copy(update={"host": "elsewhere", "boot": "other", "token": "there"})
        twin = there.model_copy(update={"pid": os.getpid(), "token": "twin"})  # pids are equal on two machines by chance
        for owner in (here, gone, there, twin):
            record = {"owner": owner.model_dump(), "study": "parts", "title": "parts", "version": "1", "command": "fer"}
            write_text(calls / f"{owner.token}.json", json.dumps(record))
        unknown = fer("cancel", "--study", "part", "--results", tmp_path / "results")
        assert unknown.code == 2 and "--study part: no sweep of it" in unknown.err and "did you mean parts?" in unknown.err
        called = fer("cancel", "--study", "./parts.yaml", "--results", tmp_path / "results")
        assert called.code == 0, called.err
        assert running.wait(30) == -signal.SIGTERM
    left = ["here.json", "there.cancel", "there.json", "twin.cancel", "twin.json"]
    assert sorted(path.name for path in calls.iterdir()) == left
    assert "on elsewhere ends within" in called.err


def test_a_command_ends_when_it_is_asked_to(
    study: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_cli import sweeps

    monkeypatch.setattr(sweeps, "LOOK_S", 0.05)
    plan = make_plan(str(study), Choice(), Compute(data_root=data_root, results=tmp_path))
    before = signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))
    try:
        with pytest.raises(SystemExit), sweeps.call_under_way(tmp_path, plan):
            (record,) = sweeps.read_calls(tmp_path)
            record.with_suffix(".cancel").touch()
            time.sleep(20)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not list((tmp_path / "sweeps" / "calls").iterdir())


def test_other_versions_on_other_hosts_are_refused(fer: Fer, study: Path, data_root: Path, tmp_path: Path) -> None:
    owner = this_process("there").model_copy(update={"host": "elsewhere", "boot": "other"})
    record = {
        "owner": owner.model_dump(),
        "study": "parts",
        "title": "parts on ck48 (small)",
        "version": "fer 9.9",
        "command": "",
    }
    write_text(tmp_path / "results/sweeps/calls/there.json", json.dumps(record))
    called = fer("ablate", "--study", study, *where(data_root, tmp_path / "results"))
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert "elsewhere trains it with fer 9.9, this host has fer 0" in called.err
    assert not list(tmp_path.glob("results/runs/*/result.json"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--jobs", "0"], "--jobs 0: give a number from 1, or auto"),
        (["--jobs", "two"], "--jobs two"),
        (["--gpus", "0,0"], "each once"),
        (["--gpus", "0,,1"], "separated by commas"),
        (["--gpus", "0;rm"], "--gpus 0;rm"),
        (["--per-gpu", "2"], "--per-gpu: needs --executor processes"),
        (["--gpus", "0", "--jobs", "2"], "--jobs 2: follows from --gpus"),
        (["--gpus", "0", "--device", "cpu"], "cannot be combined with --device cpu"),
        (["--gpus", "99"], "CUDA GPUs"),
        (["--partition", "gpu"], "--partition: needs --executor slurm"),
        (["--address", "auto", "--executor", "slurm"], "--address: needs --executor ray"),
        (["--executor", "slurm", "--time", "soon"], "--time soon: give minutes"),
        (["--executor", "slurm", "--gpus-per-task", "0.5"], "Slurm gives whole GPUs"),
        (["--executor", "slurm", "--sbatch", "/none"], "--sbatch /none"),
        (["--executor", "slurm", "--jobs", "auto"], "--jobs auto: counts the cores"),
        (["--executor", "serial", "--jobs", "2"], "one run at a time"),
        (["--executor", "prnt"], "did you mean print"),
        (["--shard", "3/2"], "--shard 3/2"),
        (["--run", "zz", "--seeds", "2"], "parts.yaml --seeds 2 --results"),
        (["--run", "zz", "--jobs", "2"], " --plan --jobs 2 --no-track --precision fp32 lists all; nearest"),
        (["--run", "0", "--shard", "1/2"], "cannot be combined with --shard"),
    ],
    ids=lambda value: "-".join(value).replace("/", "_") if isinstance(value, list) else "",
)
def test_wrong_options_are_one_line(
    fer: Fer, study: Path, data_root: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    called = fer("ablate", "--study", study, *options, *where(data_root, tmp_path / "results"))
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert words in called.err
    assert not (tmp_path / "results" / "runs").exists()


def test_the_command_after_a_plan_keeps_what_holds_for_one_call(
    fer: Fer, study: Path, data_root: Path, tmp_path: Path
) -> None:
    once = ["--retry-failed", "--no-wait"]
    called = fer("ablate", "--study", study, "--seeds", "1", "--plan", *once, *where(data_root, tmp_path / "results"))
    assert set(once) < set(shlex.split(called.err.splitlines()[-1]))


def test_jobs_auto_counts_cores_and_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plan: Plan) -> None:
    from fer_cli.executors import capacity

    monkeypatch.setattr(capacity, "count_cores", lambda: 8)
    monkeypatch.setattr(capacity, "available_memory", lambda: 5 * 2**30)
    assert capacity.suggest_jobs(tmp_path) == 4  # 80 % of 5 GiB, a GiB each
    cost = {"seconds": {"total": 1.0}, "memory": 2 * 2**30}
    set_up_side(tmp_path, plan, 3, cost=cost)
    assert capacity.suggest_jobs(tmp_path) == 2
    monkeypatch.undo()
    assert 1 <= capacity.count_cores() <= (os.cpu_count() or 1)
    assert capacity.available_memory() > 2**20
