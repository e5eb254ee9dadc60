"""Who works on a run: other namespaces and boots, wrong clocks, claims that are lost, waiting, and folders that vanish."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fer_cli import claims, runs
from fer_cli.claims import SILENT_S, Owner, boot_time, is_alive, this_process
from fer_cli.errors import ClaimLostError, ResultsError
from fer_cli.executors import agenda
from fer_cli.places import write_text
from fer_cli.runs import RunFolder
from tests.conftest import Called
from tests.fakes import fake_result
from tests.processes import fork_fer, wait_for
from tests.studies import where

Fer = Callable[..., Called]

STUDY = """
name: one
question: Does one run wait for another process?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25}
  train: {epochs: 1, batch_size: 32}
seeds: [0]
arms: {CNN: {}}
report: {against: CNN}
"""
ELSEWHERE = Owner(pid=7, host="elsewhere", started="1", token="theirs")


def put_claim(folder: RunFolder, owner: Owner, age: float = 0.0) -> Path:
    write_text(folder.file("claim.json"), owner.model_dump_json())
    beat = time.time() - age
    os.utime(folder.file("claim.json"), (beat, beat))
    return folder.file("claim.json")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, "abc")


def test_a_claim_names_host_boot_namespace_process_and_token(folder: RunFolder) -> None:
    with folder.claim():
        first = json.loads(folder.file("claim.json").read_text())
        assert first == this_process(first["token"]).model_dump() | {"since": first["since"]}
        assert first["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert (first["pid"], first["namespace"]) == (os.getpid(), str(Path("/proc/self/ns/pid").readlink()))
        assert re.fullmatch("[0-9a-f]{32}", first["token"])
    with folder.claim():
        assert json.loads(folder.file("claim.json").read_text())["token"] != first["token"]


class Clock:
    """The reader's clock, which a test moves on; forgetting lets the next command begin."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(claims, "seconds_since_boot", lambda: self.now)
        monkeypatch.setattr(claims, "_sightings", {})

    def forget(self) -> None:
        claims._sightings.clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_process_of_another_pid_namespace_is_judged_by_its_heartbeat(folder: RunFolder, clock: Clock) -> None:
    """Its pid means another process here, or none: neither says anything of it."""
    theirs = this_process().model_copy(update={"namespace": "pid:[1]", "started": "1", "pid": 2**22})
    claim = put_claim(folder, theirs)
    assert folder.status == "running"
    same_number = this_process().model_copy(update={"namespace": "pid:[1]"})
    put_claim(folder, same_number)
    assert folder.status == "running"
    clock.now += SILENT_S + 1
    assert folder.status == "stale"
    assert not is_alive(same_number, claim)


def test_a_real_process_of_another_pid_namespace_keeps_its_claim(folder: RunFolder) -> None:
    code = (
        "import sys, time, pathlib; from fer_cli.runs import RunFolder\n"
        "with RunFolder(pathlib.Path(sys.argv[1]), 'abc').claim() as mine: print(mine, flush=True); time.sleep(60)"
    )
    inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make a PID namespace")
    command = [*inside, sys.executable, "-c", code, str(folder.path.parent.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        owner = folder.owner()
        assert owner is not None
        assert claims.process_started(owner.pid) != owner.started, "the pid is another process's here"
        assert folder.status == "running"
        with folder.claim() as mine:
            assert mine is False
        other.kill()


def test_a_claim_of_an_earlier_boot_is_dead_and_of_a_machine_of_the_same_name_is_not(
    folder: RunFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "machine_id", lambda: "this machine")
    before = this_process().model_copy(update={"boot": "another"})
    put_claim(folder, before, age=10)
    monkeypatch.setattr(claims, "boot_time", lambda: time.time() - 5)
    assert folder.status == "stale"
    monkeypatch.setattr(claims, "boot_time", lambda: time.time() - 50)
    assert folder.status == "running"
    monkeypatch.setattr(claims, "boot_time", lambda: time.time() + 1e6)
    for machine in ("another machine", ""):
        put_claim(folder, before.model_copy(update={"machine": machine}), age=10)
        assert folder.status == "running"
    assert boot_time() < time.time()


@pytest.mark.parametrize("age", [0.0, 1e9, -1e9], ids=["now", "long-ago", "in-the-future"])
def test_a_clock_that_is_wrong_or_jumps_takes_no_run_from_a_living_process(
    folder: RunFolder, clock: Clock, age: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = put_claim(folder, ELSEWHERE, age)
    assert folder.status == "running"
    monkeypatch.setattr(time, "time", lambda: 9e9)
    for count in range(20):  # an hour of heartbeats, whatever both clocks say
        clock.now += SILENT_S - 1
        assert folder.status == "running"
        write_text(folder.file("heartbeat.txt"), str(count))
        os.utime(claim, (1, 1))
        assert folder.status == "running"
    clock.now += SILENT_S + 1
    assert folder.status == "stale"
    with folder.claim() as mine:
        assert mine


def test_a_heartbeat_of_an_earlier_version_counts_by_its_changes(folder: RunFolder, clock: Clock) -> None:
    old = Owner(pid=7, host="elsewhere", started="1")
    for age in (100.0, 80.0, 85.0):
        put_claim(folder, old, age)
        assert folder.status == "running"
        clock.now += SILENT_S - 1
    assert folder.status == "running"
    clock.now += 2
    assert folder.status == "stale"


def test_the_next_command_knows_what_an_earlier_one_saw(folder: RunFolder, clock: Clock) -> None:
    put_claim(folder, ELSEWHERE)
    assert folder.status == "running"
    clock.now += SILENT_S + 1
    clock.forget()
    assert folder.status == "stale"
    write_text(folder.file("heartbeat.txt"), "1")
    clock.forget()
    assert folder.status == "running"
    clock.now = 10.0  # another boot, by which nothing was seen yet
    clock.forget()
    assert folder.status == "running"


def test_what_a_reader_saw_is_noted_once_in_a_while_and_never_in_a_removed_folder(folder: RunFolder, clock: Clock) -> None:
    claim = put_claim(folder, ELSEWHERE)
    for _ in range(50):
        assert folder.status == "running"
        clock.now += 1
    assert [path.name[:6] for path in folder.path.glob(".*")] == [".seen-"]
    first = next(folder.path.glob(".seen-*")).read_text()
    assert first.endswith(" 1000.0")
    owner = folder.owner()
    assert owner is not None
    sign = claims.sign_of_life(owner, claim)
    shutil.rmtree(folder.path)
    claims.note_sighting(claim, sign, 1.0)
    assert not folder.path.exists()


def test_a_process_that_lost_its_claim_neither_writes_a_result_nor_removes_the_others_claim(folder: RunFolder) -> None:
    with folder.claim() as mine:
        assert mine
        put_claim(folder, ELSEWHERE)
        with pytest.raises(ClaimLostError, match="process 7 on elsewhere has taken it over"):
            folder.write_result(fake_result())
        assert not folder.file("result.json").exists()
    assert folder.owner() == ELSEWHERE


def test_a_folder_that_is_removed_stays_away(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_cli.learning.record import write_tensors

    monkeypatch.setattr(runs, "HEARTBEAT_S", 0.01)
    with folder.claim() as mine:
        assert mine
        shutil.rmtree(folder.path)
        time.sleep(0.1)  # the heartbeat ends quietly: an error in its thread would fail this test
        with pytest.raises(ResultsError, match="removed or moved"):
            folder.check_claim()
        for write in (
            lambda: folder.write_error("x"),
            lambda: write_tensors(folder.file("best.pt"), {}),
            lambda: folder.write_result(fake_result()),
        ):
            with pytest.raises((OSError, ResultsError)):
                write()
    assert not folder.path.exists()
    shutil.rmtree(folder.path.parent.parent)
    with pytest.raises(ResultsError, match="the results folder is gone"), folder.claim():
        pass
    assert not folder.path.parent.parent.exists()


def test_a_heartbeat_moves_its_own_claim_and_no_other(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "HEARTBEAT_S", 0.01)
    with folder.claim():
        claim = folder.file("claim.json")
        os.utime(claim, (1, 1))
        wait_for(lambda: claim.stat().st_mtime > 1, 10)
        wait_for(lambda: int(folder.file("heartbeat.txt").read_text()) > 2, 10)
        put_claim(folder, ELSEWHERE, age=100)
        before = claim.stat().st_mtime_ns
        time.sleep(0.1)
        assert claim.stat().st_mtime_ns == before
        claim.unlink()
        time.sleep(0.1)
        assert not claim.exists()


def test_drafts_of_a_killed_process_go_when_its_run_is_taken(folder: RunFolder) -> None:
    code = (
        "import os, sys, pathlib; from fer_cli.places import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as draft: draft.write_text('half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder.file("best.pt"))], check=False)
    assert [path.suffix for path in folder.path.iterdir()] == [".tmp"]
    with folder.claim():
        assert not list(folder.path.glob(".*.tmp"))


def test_a_claim_that_cannot_be_read_is_damage_until_it_is_retried(folder: RunFolder) -> None:
    for text in ("", "{", "[]", '{"pid": "x"}', '{"pid": 0, "host": "h", "started": "1"}'):
        write_text(folder.file("claim.json"), text)
        assert folder.status == "damaged"
        assert str(folder.damage).startswith(f"{folder.file('claim.json')}: ")
    folder.file("claim.json").unlink()
    os.mkfifo(folder.file("claim.json"))
    assert folder.status == "damaged"
    with folder.claim() as mine:
        assert mine
        assert folder.status == "running"


@pytest.fixture
def planned(tmp_path: Path, data_root: Path) -> tuple[list[object], RunFolder]:
    """The options of a study of one run, and the run's folder."""
    from fer_cli.config import Compute
    from fer_cli.plan import make_plan
    from fer_cli.study import Choice

    (tmp_path / "one.yaml").write_text(STUDY)
    results = tmp_path / "results"
    plan = make_plan(str(tmp_path / "one.yaml"), Choice(), Compute(data_root=data_root, results=results))
    return ["--study", tmp_path / "one.yaml", "--no-track", *where(data_root, results)], plan.items[0].folder


def test_no_wait_leaves_a_run_to_its_process_with_code_3(fer: Fer, planned: tuple[list[object], RunFolder]) -> None:
    options, folder = planned
    put_claim(folder, ELSEWHERE)
    called = fer("ablate", *options, "--no-wait")
    assert called.code == 3, called.err
    assert "0 done, 0 failed, 0 skipped, 1 left to another process" in called.err
    assert called.err.splitlines()[-1].endswith(" (waits for them)")
    assert folder.owner() == ELSEWHERE


@pytest.mark.parametrize("age", [0.0, -86400], ids=["goes-silent", "in-the-future"])
def test_waiting_ends_when_the_claim_goes_stale(
    fer: Fer, planned: tuple[list[object], RunFolder], monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    options, folder = planned
    monkeypatch.setattr(agenda, "POLL_S", 0.1)
    put_claim(folder, ELSEWHERE, age)
    monkeypatch.setattr(claims, "SILENT_S", 1.0)
    called = fer("ablate", *options)
    assert called.code == 0, called.err
    assert "waiting for CNN · seed 0: process 7 on elsewhere trains it" in called.err
    assert "1 done, 0 failed, 0 skipped" in called.err
    assert not folder.file("claim.json").exists()


def test_waiting_ends_when_the_other_process_is_done(
    fer: Fer, planned: tuple[list[object], RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands at once train the run once, and both end well."""
    options, folder = planned
    monkeypatch.setattr(agenda, "POLL_S", 0.1)
    other = fork_fer(tmp_path / "said", "ablate", *options)
    wait_for(lambda: folder.status in {"running", "done"})
    called = fer("ablate", *options)
    code, _, err = other.finish()
    assert (called.code, code) == (0, 0), called.err + err
    assert "0 done, 0 failed, 1 skipped" in called.err
    assert "1 done, 0 failed, 0 skipped" in err


def test_a_run_that_another_process_takes_over_is_left_to_it(
    fer: Fer, planned: tuple[list[object], RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_cli.learning import train

    options, folder = planned
    original = train.predict

    def taken(*arguments: object) -> object:
        put_claim(folder, ELSEWHERE)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "predict", taken)
    called = fer("ablate", *options, "--no-wait")
    assert called.code == 3, called.err
    assert "warning: CNN · seed 0: " in called.err
    assert "process 7 on elsewhere has taken it over" in called.err
    assert folder.owner() == ELSEWHERE
    assert not folder.file("result.json").exists()
    assert not folder.file("error.txt").exists()


@pytest.mark.parametrize("how", ["moved", "deleted"])
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_results_that_vanish_end_the_command_with_one_line(
    fer: Fer, tmp_path: Path, data_root: Path, how: str, jobs: str
) -> None:
    (tmp_path / "one.yaml").write_text(STUDY.replace("epochs: 1", "epochs: 2000").replace("[0]", "[0, 1, 2]"))
    results = tmp_path / "results"

    def vanish() -> None:
        wait_for(lambda: list(results.glob("runs/*/history.csv")))
        results.rename(tmp_path / "moved")
        if how == "deleted":
            shutil.rmtree(tmp_path / "moved")

    with ThreadPoolExecutor(1) as elsewhere:
        vanished = elsewhere.submit(vanish)
        options = ["--study", tmp_path / "one.yaml", "--no-track", "--jobs", jobs]
        called = fer("ablate", *options, *where(data_root, results))
        vanished.result()
    assert called.code == 2, called.err
    assert len([line for line in called.err.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in called.err
    assert re.search(r"error: .*(removed or moved while the run was training|results folder is gone)", called.err)
    assert not results.exists()


def test_hosts_are_told_apart(folder: RunFolder) -> None:
    put_claim(folder, this_process().model_copy(update={"host": f"{socket.gethostname()}-2", "pid": 2**22}))
    assert folder.status == "running"


def test_what_was_seen_of_a_claim_is_noted_to_the_last_digit(tmp_path: Path) -> None:
    """Rounded up by a twentieth of a second, a claim that one process holds for dead lived on in the next."""
    claim = tmp_path / "claim.json"
    claims.note_sighting(claim, "a sign 7 1", 12.3456789)
    assert claims.read_sighting(claim, "a sign 7 1", 20.0) == 12.3456789
    assert claims.read_sighting(claim, "another sign", 20.0) == 20.0
