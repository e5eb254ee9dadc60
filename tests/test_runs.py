"""Run folders, claims and atomic files; what a study's execution leaves behind."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fer_cli import claims
from fer_cli.claims import SILENT_S, process_started
from fer_cli.config import RunConfig
from fer_cli.errors import ResultsError
from fer_cli.places import whole_file, write_text
from fer_cli.runs import RunFolder
from tests.fakes import fake_result, leave


def test_states_follow_from_files(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "abc")
    assert folder.status == "new"
    with folder.claim() as mine:
        assert mine
        assert folder.status == "running"
        (folder.path / "last.ckpt").write_bytes(b"x")
    assert folder.status == "stale"
    folder.write_error("Traceback\nOops: no\n")
    assert folder.status == "failed"
    with folder.claim() as mine:
        assert mine
        assert not folder.file("error.txt").exists(), "an interrupted retry must not read as failed"
        leave(folder, fake_result(fingerprint="a"))
    assert folder.status == "done"
    assert folder.result().fingerprint == "a"
    assert not folder.file("last.ckpt").exists()


def test_one_claim_at_a_time_and_none_on_a_finished_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "abc")
    with folder.claim() as first, folder.claim() as second:
        assert (first, second) == (True, False)
    leave(folder, fake_result())
    with folder.claim() as third:
        assert third is False


def test_claim_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "abc")
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = {"pid": sleeper.pid, "host": socket.gethostname(), "started": process_started(sleeper.pid)}
    write_text(folder.file("claim.json"), json.dumps(owner))
    assert folder.status == "running"
    sleeper.kill()
    sleeper.wait()
    assert folder.status == "stale"
    with folder.claim() as mine:
        assert mine


def test_a_pid_used_again_is_not_the_old_process(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "abc")
    write_text(folder.file("claim.json"), json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": "1"}))
    assert folder.status == "stale"


def test_claim_of_another_machine_lives_by_its_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path, "abc")
    write_text(folder.file("claim.json"), json.dumps({"pid": 1, "host": "elsewhere", "started": "1"}))
    assert folder.status == "running"
    after = claims.seconds_since_boot() + SILENT_S + 1
    monkeypatch.setattr(claims, "seconds_since_boot", lambda: after)
    assert folder.status == "stale"


def test_files_are_whole_or_absent(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a.txt") as draft:
        draft.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_config_is_written_with_every_default(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "abc")
    folder.write_config(RunConfig(seed=3))
    assert RunConfig.model_validate_json(folder.file("config.json").read_text()) == RunConfig(seed=3)
    assert '"weight_decay"' in folder.file("config.json").read_text()


def test_unreadable_result_is_a_clear_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "abc")
    write_text(folder.file("result.json"), "{half")
    with pytest.raises(ResultsError, match=r"result\.json"):
        folder.result()
