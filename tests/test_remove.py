"""``fer rm``: refuses what others need, moves by one rename, restores, survives a kill, touches nothing outside."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.claims import this_process
from fer_cli.config import RunConfig
from fer_cli.inventory.bin import list_bin
from fer_cli.inventory.find import close_over
from fer_cli.inventory.rows import list_rows
from fer_cli.places import PACKAGE
from fer_cli.runs import RunFolder
from tests.conftest import Called
from tests.fakes import fake_result, leave

Fer = Callable[..., Called]


def leave_run(results: Path, name: str, **changes: object) -> RunFolder:
    folder = RunFolder(results, name)
    leave(folder, fake_result(name, RunConfig(seed=len(list(results.glob("runs/*")))), **changes))  # type: ignore[arg-type]
    folder.write_config(folder.result().config)
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Runs a <- b <- c by their starts, and d alone."""
    folder = tmp_path / "results"
    leave_run(folder, "aaaa")
    leave_run(folder, "bbbb", pretrained_by="aaaa")
    leave_run(folder, "cccc", trained_by="bbbb")
    leave_run(folder, "dddd")
    return folder


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Return the content of every file and the target of every link below a folder."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or path.is_file()) and path.name not in {".lock", ".rows.json", ".checked.json"}
    }


def names(results: Path) -> set[str]:
    return {path.name for path in (results / "runs").iterdir() if path.is_dir()}


def test_a_run_is_moved_and_restored_whole(results: Path, fer: Fer) -> None:
    before = snapshot(results / "runs")
    called = fer("rm", "ddd", "--results", results)
    assert called.code == 0, called.err
    (entry,) = list_bin(results)
    assert called.out == f"{entry.path}\n" and entry.path.parent == results / "bin" and entry.run_id == "dddd"
    assert f"to undo: fer rm --restore dddd --results {results}" in called.err
    assert names(results) == {"aaaa", "bbbb", "cccc"}
    assert "dddd" not in {row.run_id for row in list_rows(results)}
    called = fer("rm", "--restore", "d", "--results", results)
    assert called.code == 0, called.err
    assert snapshot(results / "runs") == before and list_bin(results) == []


def test_runs_that_others_start_from_are_refused_and_named(results: Path, fer: Fer) -> None:
    before = snapshot(results / "runs")
    for wanted, named in (
        (["aaaa"], "bbbb starts from it"),
        (["bbbb"], "cccc starts from it"),
        (["dddd", "aaaa", "bbbb"], "cccc"),
    ):
        called = fer("rm", *wanted, "--results", results)
        assert called.code == 2 and named in called.err and "--with-dependents" in called.err and called.err.count("\n") == 1
    assert snapshot(results / "runs") == before and not (results / "bin").exists()
    assert fer("rm", "aaaa", "bbbb", "cccc", "--results", results).code == 0
    assert names(results) == {"dddd"}


def test_dependents_are_removed_first_on_demand(results: Path, fer: Fer) -> None:
    called = fer("rm", "aaaa", "--with-dependents", "--results", results)
    assert called.code == 0, called.err
    assert [line.rsplit("-", 1)[1] for line in called.out.splitlines()] == ["cccc", "bbbb", "aaaa"]
    assert names(results) == {"dddd"}
    assert close_over(["a"], {"a": ["b"], "b": ["a"]}) == ["b", "a"]  # of a circle each once


def test_a_running_run_is_refused_even_as_a_dependent(results: Path, fer: Fer) -> None:
    running = RunFolder(results, "eeee")
    running.path.mkdir()
    running.write_config(RunConfig())
    running.file("claim.json").write_text(this_process("token").model_dump_json())
    called = fer("rm", "dddd", "eeee", "--results", results)
    assert called.code == 2 and f"process {os.getpid()}" in called.err and called.err.count("\n") == 1
    assert names(results) == {"aaaa", "bbbb", "cccc", "dddd", "eeee"}
    running.file("claim.json").unlink()
    assert fer("rm", "eeee", "--results", results).code == 0


def test_a_run_that_begins_between_the_check_and_the_move_is_left(results: Path) -> None:
    from fer_cli.errors import ResultsError
    from fer_cli.inventory.bin import choose_runs, remove_runs

    chosen = choose_runs(results, ["dddd"], False)
    (results / "runs" / "dddd" / "result.json").unlink()
    with RunFolder(results, "dddd").claim() as mine, pytest.raises(ResultsError, match="began to train it"):
        assert mine
        list(remove_runs(results, chosen))
    assert "dddd" in names(results)


def test_links_are_neither_followed_nor_moved(results: Path, fer: Fer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("kept")
    leave_run(tmp_path / "other", "ffff")
    (results / "runs" / "ffff").symlink_to(tmp_path / "other" / "runs" / "ffff")
    (results / "runs" / "dddd" / "link").symlink_to(outside)
    before = snapshot(outside), snapshot(tmp_path / "other")
    called = fer("rm", "ffff", "--results", results)
    assert called.code == 2 and "a symbolic link" in called.err
    assert fer("rm", "dddd", "--results", results).code == 0
    (results / "bin" / "20260101T000000-gggg").symlink_to(outside)
    (results / "bin" / "notes").mkdir()
    assert fer("rm", "--empty-bin", "--yes", "--results", results).code == 0
    assert (snapshot(outside), snapshot(tmp_path / "other")) == before
    assert sorted(path.name for path in (results / "bin").iterdir()) == ["20260101T000000-gggg", "notes"]
    moved = tmp_path / "moved"
    (results / "runs").rename(moved)
    (results / "runs").symlink_to(moved)
    before_all = snapshot(moved)
    called = fer("rm", "cccc", "--results", results)
    assert called.code == 2 and "touches nothing outside" in called.err and snapshot(moved) == before_all


def test_the_bin_is_emptied_only_with_consent(results: Path, fer: Fer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no runs in it" in fer("rm", "--empty-bin", "--results", results).err
    fer("rm", "dddd", "--results", results)
    called = fer("rm", "--empty-bin", "--results", results)
    assert called.code == 2 and "add --yes" in called.err and len(list_bin(results)) == 1
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for said, left in ((False, 1), (True, 0)):
        monkeypatch.setattr("typer.confirm", lambda *_, said=said, **__: said)
        assert fer("rm", "--empty-bin", "--results", results).code == 0
        assert len(list_bin(results)) == left
    assert list((results / "bin").iterdir()) == []


def test_copies_of_a_run_are_kept_apart_and_the_last_is_restored(results: Path, fer: Fer) -> None:
    for number in range(3):
        if number:
            leave_run(results, "dddd")
        (results / "runs" / "dddd" / "number").write_text(str(number))
        assert fer("rm", "dddd", "--results", results).code == 0
    assert len(list_bin(results)) == 3
    called = fer("rm", "--restore", "dddd", "--results", results)
    assert "2 older copies" in called.err and (results / "runs" / "dddd" / "number").read_text() == "2"
    called = fer("rm", "--restore", "dddd", "--results", results)
    assert called.code == 2 and "there is a run with this id again" in called.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to remove"),
        (["dddd", "--empty-bin"], "cannot be combined"),
        (["--restore", "dddd"], "there is no run to restore"),
        (["zzzz"], "nearest:"),
    ],
)
def test_bad_input_is_one_line(results: Path, fer: Fer, arguments: list[str], words: str) -> None:
    called = fer("rm", *arguments, "--results", results)
    assert called.code == 2 and words in called.err and called.err.count("\n") == 1
    assert names(results) == {"aaaa", "bbbb", "cccc", "dddd"}


def test_an_unknown_run_of_the_bin_names_the_nearest(results: Path, fer: Fer) -> None:
    fer("rm", "dddd", "--results", results)
    called = fer("rm", "--restore", "xyz", "--results", results)
    assert called.code == 2 and "nearest: dddd" in called.err


KILLED = """
import os, signal, sys
from pathlib import Path
from fer_cli.inventory import bin as module
results, steps = Path(sys.argv[1]), int(sys.argv[2])
count = 0
def counted(original):
    def call(*arguments, **options):
        global count
        count += 1
        if count > steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    return call
Path.rename = counted(Path.rename)
module.shutil.rmtree = counted(module.shutil.rmtree)
if sys.argv[3] == "remove":
    list(module.remove_runs(results, module.choose_runs(results, ["aaaa"], True)))
else:
    list(module.empty_bin(results))
"""


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_kill_at_any_move_loses_nothing(results: Path, fer: Fer, steps: int) -> None:
    before = snapshot(results / "runs")
    command = [sys.executable, "-c", KILLED, str(results), str(steps), "remove"]
    done = subprocess.run(command, cwd=PACKAGE.parent, check=False)
    assert done.returncode == -signal.SIGKILL
    binned = {entry.run_id for entry in list_bin(results)}
    assert len(binned) == steps and binned | names(results) == {"aaaa", "bbbb", "cccc", "dddd"}
    assert not binned & names(results)
    for name in binned:
        assert fer("rm", "--restore", name, "--results", results).code == 0
    assert snapshot(results / "runs") == before


def test_a_bin_that_was_half_emptied_is_emptied_by_the_next_call(results: Path, fer: Fer) -> None:
    assert fer("rm", "aaaa", "--with-dependents", "--results", results).code == 0
    done = subprocess.run([sys.executable, "-c", KILLED, str(results), "3", "empty"], cwd=PACKAGE.parent, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list_bin(results)) == 1 and len(list((results / "bin").iterdir())) == 2
    assert fer("rm", "--empty-bin", "--yes", "--results", results).code == 0
    assert list((results / "bin").iterdir()) == [] and names(results) == {"dddd"}
