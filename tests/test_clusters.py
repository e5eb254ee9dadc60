"""Slurm and Ray with their own daemons: what the contract of executors leaves open. See ``tests/clusters.py``."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fer_cli.errors import FerError, StudyError
from fer_cli.executors import EXECUTORS, Job, Options, Outcome, agenda, queue
from fer_cli.executors.parcel import pack, unpack
from fer_cli.executors.queue import cancel_jobs, open_jobs, read_job
from fer_cli.inventory.cancel import cancel_sweeps
from fer_cli.inventory.progress import read_run
from fer_cli.runs import RunFolder
from fer_cli.sweeps import Sweep, SweepRun
from tests.clusters import printed, ray_cluster, slurm_cluster  # noqa: F401 (fixtures)
from tests.fakes import fake_result, leave
from tests.processes import wait_for
from tests.stories import Story, work

slurm = importlib.import_module("fer_cli.executors.slurm")  # the package's own name is the function


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda, "POLL_S", 0.05)
    monkeypatch.setattr(slurm, "LOOK_S", 0.3)
    monkeypatch.setattr(slurm, "QUEUE_S", 2.0)


def steps(job: Job) -> Outcome:
    """Fail, wait to be cancelled, or need two starts, as the title says; count the starts."""
    with job.folder.claim() as mine:
        if not mine:
            return Outcome(job.run_id, job.title, "elsewhere")
        with job.folder.file("starts.txt").open("a") as stream:
            stream.write(os.environ.get("SLURM_RESTART_COUNT", "0") + "\n")
            first = stream.tell() == 2
        if job.title == "cancelled" or (job.title == "requeued" and first):
            job.folder.write_progress(1, 2)
            time.sleep(300)
        if job.title == "failing":
            job.folder.write_error("Oops: no\n")
            return Outcome(job.run_id, job.title, "failed", "Oops: no")
        leave(job.folder, fake_result(job.run_id, job.config))
    return Outcome(job.run_id, job.title, "done")


@pytest.mark.exhaustive
@pytest.mark.usefixtures("slurm_cluster")
def test_an_array_of_six_with_one_failing_requeued_cancelled_and_dependent(tmp_path: Path) -> None:
    import threading

    needs = {"a": [], "b": [], "failing": [], "requeued": [], "cancelled": [], "on a": ["a"], "on failing": ["failing"]}
    story = Story(tmp_path / "results", needs)

    def disturb() -> None:
        for title, command in (("requeued", ["scontrol", "requeue"]), ("cancelled", ["scancel"])):
            folder = story.items[title].folder
            wait_for(folder.file("progress.txt").exists, 500)
            job = read_job(folder)
            assert job is not None
            subprocess.run([*command, job.job], check=True)

    other = threading.Thread(target=disturb)
    other.start()
    story.execute("slurm", run=steps)
    other.join()
    assert dict(story.ended) == {
        "a": "done", "b": "done", "failing": "failed", "requeued": "done", "cancelled": "lost", "on a": "done"
    }  # fmt: skip
    assert story.settled == {"on failing": "blocked"}
    assert len(story.ended) == 6
    assert story.items["requeued"].folder.file("starts.txt").read_text().splitlines()[-1] != "0"
    assert not list(tmp_path.glob("results/runs/*/claim.json"))
    jobs = {title: read_job(item.folder) for title, item in story.items.items()}
    arrays = {job.job.split("_")[0] for title, job in jobs.items() if job is not None and not title.startswith("on ")}
    assert len(arrays) == 1, "those that nothing precedes are one array"


@pytest.mark.exhaustive
@pytest.mark.usefixtures("slurm_cluster")
def test_ctrl_c_leaves_the_jobs_to_slurm_and_cancel_ends_them(tmp_path: Path) -> None:
    results = tmp_path / "results"
    code = (
        "import sys, pathlib\nfrom tests.stories import Story\n"
        "Story(pathlib.Path(sys.argv[1]), {'endless': [], 'next': ['endless']}).execute('slurm')\n"
    )
    command = ["env", "--default-signal=INT", sys.executable, "-c", code, str(results)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(results.glob("runs/*/progress.txt")), 300)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert "2 Slurm jobs go on without this command: fer status shows them, fer cancel ends them" in err
    story = Story(results, {"endless": [], "next": ["endless"]})
    runs = [SweepRun(run_id=item.run_id, title=title, arm="") for title, item in story.items.items()]
    states = [read_run(item.folder, run, {}).state for item, run in zip(story.items.values(), runs, strict=True)]
    assert states == ["running", "queued"]
    assert "Slurm job" in str(story.items["endless"].folder.owner())
    (results / "sweeps").mkdir()
    sweep = Sweep(study="x", title="x", stem="x", runs=tuple(runs))
    (results / "sweeps" / "x.json").write_text(sweep.model_dump_json())
    assert len(list(cancel_sweeps(results))) == 2
    wait_for(lambda: not printed("squeue", "--noheader"), 120)
    assert not list(results.glob("runs/*/claim.json")), "it ended in order"
    assert open_jobs() == set()


@pytest.mark.exhaustive
@pytest.mark.usefixtures("slurm_cluster")
def test_a_run_that_reaches_its_time_limit_is_requeued_and_goes_on(tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {"requeued": []})
    story.execute("slurm", run=steps, minutes=1)
    assert story.ended == [("requeued", "done")]
    assert story.items["requeued"].folder.file("starts.txt").read_text().splitlines()[1] == "1"


@pytest.mark.exhaustive
@pytest.mark.usefixtures("slurm_cluster")
def test_wrong_partitions_and_options_are_one_line(tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {"a": []})
    with pytest.raises(FerError, match="--partition mian: no such partition; did you mean main"):
        story.execute("slurm", partition="mian")
    with pytest.raises(FerError, match="Slurm refuses the jobs"):
        story.execute("slurm", sbatch=(("constraint", "a100"),))
    assert not list(tmp_path.glob("results/runs/*/queued.json"))


def test_without_slurm_and_ray_a_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in (("slurm", "submitit"), ("ray", "ray")):
        monkeypatch.setitem(sys.modules, module, None)
        story = Story(tmp_path / name, {"a": []})
        with pytest.raises(FerError, match=f"not installed; pip install 'fer-cli\\[{name}\\]'"):
            EXECUTORS[name](story.agenda(executor=name), work, story.done)


def test_a_ray_that_does_not_start_and_a_silent_slurm_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no free port")

    broken = type(sys)("ray")
    broken.is_initialized, broken.init = lambda: False, fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", broken)
    story = Story(tmp_path / "results", {"a": []})
    with pytest.raises(FerError, match=r"--executor ray: Ray does not start on this machine \(no free port\); try"):
        story.execute("ray")
    with (
        monkeypatch.context() as patch,
        pytest.raises(FerError, match="7 go on: scancel is not on this machine;"),
    ):
        patch.setenv("PATH", "")
        cancel_jobs(["7"])
    (tmp_path / "scancel").write_text("#!/bin/sh\nexec sleep 10\n")
    (tmp_path / "scancel").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(queue, "PATIENCE_S", 0.1)
    with pytest.raises(FerError, match=r"jobs 7 go on: scancel did not answer in 0\.1 seconds; cancel"):
        cancel_jobs(["7"])


@pytest.mark.exhaustive
def test_no_ray_at_the_address_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    story = Story(tmp_path / "results", {"a": []})
    addresses = ["127.0.0.1:1", "ray://127.0.0.1:1"]
    addresses += [] if ray.is_initialized() else ["auto"]  # the cluster of another test in this process
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for address in addresses:
        with pytest.raises(FerError, match=f"--address {address}: no Ray cluster there"):
            story.execute("ray", address=address)


@pytest.mark.exhaustive
@pytest.mark.parametrize("shared", [None, False], ids=["shared-disk", "no-shared-disk"])
def test_the_second_node_dies_and_all_results_are_there(ray_cluster: object, tmp_path: Path, shared: bool | None) -> None:  # noqa: F811
    import threading

    titles = [f"slow {number}" for number in range(8)]
    story = Story(tmp_path / "results", {title: [] for title in titles} | {"last": titles[:1]})
    node = ray_cluster.add_node(num_cpus=2, object_store_memory=10**8)  # type: ignore[attr-defined]

    def kill() -> None:
        wait_for(lambda: list(tmp_path.glob("results/runs/*/claim.json")), 300)
        time.sleep(0.3)
        ray_cluster.remove_node(node, allow_graceful=False)  # type: ignore[attr-defined]

    other = threading.Thread(target=kill)
    other.start()
    story.execute("ray", jobs=4, shared_disk=shared)
    other.join()
    assert dict(story.ended) == dict.fromkeys([*titles, "last"], "done")
    assert len(story.ended) == 9
    assert set(story.states().values()) == {"done"}
    assert not list(tmp_path.glob("results/runs/*/claim.json"))
    if shared is False:
        assert {json.loads(path.read_text())["place"] for path in tmp_path.glob("results/runs/*/times.json")} != {
            str(tmp_path / "results")
        }


@pytest.mark.exhaustive
@pytest.mark.usefixtures("ray_cluster")
def test_other_versions_on_a_node_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = importlib.import_module("fer_cli.executors.ray")
    monkeypatch.setattr(ray, "describe_version", lambda: "fer 9.9")
    story = Story(tmp_path / "results", {"a": []})
    with pytest.raises(FerError, match=r"has fer 0.* this one has fer 9.9; install the same version"):
        story.execute("ray")
    assert story.ended == []


def test_a_parcel_arrives_whole_or_not_at_all(tmp_path: Path) -> None:
    source, goal = RunFolder(tmp_path / "a", "abc"), RunFolder(tmp_path / "b", "abc")
    leave(source, fake_result("abc"))
    (source.path / "claim.json").write_text("{}")
    (source.path / "link").symlink_to("/etc/hostname")
    parcel = pack(source)
    assert sorted(parcel.files) == ["predictions.parquet", "result.json"]
    unpack(parcel, goal)
    assert goal.status == "done"
    assert not goal.file("claim.json").exists()
    from fer_cli.errors import ResultsError
    from fer_cli.executors.parcel import Parcel

    for files in ({"result.json": b"{}"}, {"../result.json": parcel.files["result.json"]}):
        wrong = Parcel("abc", files, dict.fromkeys(files, parcel.hashes["result.json"]))
        with pytest.raises(ResultsError, match="arrived with other content"):
            unpack(wrong, RunFolder(tmp_path / "c", "abc"))
    assert not list((tmp_path / "c").rglob("result.json"))


def test_the_parameters_for_slurm_follow_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", type(sys)("submitit"))
    monkeypatch.setattr(slurm.shutil, "which", lambda name: name)
    monkeypatch.setattr(slurm, "read_partitions", lambda: {"main": (True, 600), "gpu": (False, 99999)})
    plain = slurm.check_cluster(Options())
    assert (plain["time"], plain["partition"], plain["gpus_per_task"]) == (600, None, None)
    options = Options(
        partition="gpu", minutes=5, cpus=4, gpus_per_run=2, jobs=7, sbatch=(("account", "lab"), ("exclusive", ""))
    )
    full = slurm.check_cluster(options)
    assert (full["time"], full["cpus_per_task"], full["gpus_per_task"], full["array_parallelism"]) == (5, 4, 2, 7)
    assert full["additional_parameters"] == {
        "account": "lab", "exclusive": True, "kill-on-invalid-dep": "yes", "requeue": True
    }  # fmt: skip
    assert full["signal_delay_s"] == 90
    assert slurm.check_cluster(Options(minutes=1))["signal_delay_s"] == 20
    assert slurm.minutes_of("1-02:00:00") == 26 * 60
    assert slurm.minutes_of("infinite") == slurm.LONGEST_MINUTES


def test_times_and_sbatch_files_are_read_as_slurm_writes_them(tmp_path: Path) -> None:
    from fer_cli.cli.executing import parse_time, read_sbatch

    times = {"90": 90, "90:30": 90, "4:00:00": 240, "1-12": 2160, "1-12:30": 2190, "2-00:00:00": 2880}
    assert {text: parse_time(text) for text in times} == times
    file = tmp_path / "lines"
    file.write_text("# ours\n#SBATCH --account=lab42\n\n#SBATCH --exclusive\n#SBATCH --constraint a100\n")
    assert read_sbatch(file) == (("account", "lab42"), ("exclusive", ""), ("constraint", "a100"))
    for line in ("rm -rf /", "#SBATCH -A lab", "#SBATCH --array=1-9", "#SBATCH"):
        file.write_text(f"{line}\n")
        with pytest.raises(StudyError, match="line 1"):
            read_sbatch(file)
