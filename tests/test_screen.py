"""Where output goes and where paths lead: pipes that close, full disks, ``~`` in every path."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from fer_cli.cli import app, fault_line
from fer_cli.cli.options import expand_folder, expand_path
from fer_cli.config import default_data_root
from fer_cli.places import read_text, user_path, whole_file
from fer_cli.study import load_study
from tests.conftest import Called
from tests.studies import FER

Fer = Callable[..., Called]


def shell(line: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FER": FER, **more}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize("command", ["data list", "data list --data-root $ROOT", "ablate -s one.yaml --plan", "--help"])
def test_a_reader_that_goes_away_ends_a_command_quietly_and_loses_no_talk(
    command: str, tmp_path: Path, data_root: Path
) -> None:
    (tmp_path / "one.yaml").write_text(
        "{name: one, question: Which, base: {data: {name: ck48}}, arms: {A: {}}, report: {against: A}}"
    )
    done = shell(
        f"cd {tmp_path} && exec 3>&1 && {{ $FER {command}; echo $? >&3; }} | true",
        FER_DATA=str(data_root),
        ROOT=str(data_root),
    )
    assert int(done.stdout.strip().splitlines()[-1]) == 141
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr
    if command != "--help":
        assert "next: fer" in done.stderr


def test_head_gets_its_lines(data_root: Path) -> None:
    done = shell("$FER data list | head -1", FER_DATA=str(data_root))
    assert done.returncode in {0, 141}  # 0 where all was written before head went
    assert done.stdout.startswith("name\tkind")
    assert f"data root: {data_root}" in done.stderr


def test_nobody_listening_to_the_talk_stops_nothing(data_root: Path) -> None:
    done = shell("$FER data list 2>&1 >/dev/null | true", FER_DATA=str(data_root))
    assert done.returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        "audit-paper sun-2024",
        "audit-paper sun-2024 --csv",
        "runs --csv",
        "runs",
        "report -s {study}",
        "show {run}",
        "status",
    ],
)
def test_a_closed_output_or_talk_is_ignored(
    fer: Fer, finished: tuple[Path, Path], data_root: Path, monkeypatch: pytest.MonkeyPatch, command: str, tmp_path: Path
) -> None:
    study, results = finished[0], tmp_path / "results"
    shutil.copytree(finished[1], results, ignore=shutil.ignore_patterns("mlflow*", "mlartifacts"))
    monkeypatch.setenv("FER_RESULTS", str(results))
    monkeypatch.setenv("FER_DATA", str(data_root))
    words = command.format(study=study, run=next((results / "runs").glob("*/result.json")).parent.name).split()
    whole = fer(*words)
    assert whole.code == 0 and whole.out and whole.err, whole.err
    for closed in ("stdout", "stderr"):
        with monkeypatch.context() as patch:
            patch.setattr(sys, closed, None)
            called = fer(*words)
        assert called.code == 0
        assert bool(called.out) == (closed == "stderr") and bool(called.err) == (closed == "stdout")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_one_line(data_root: Path) -> None:
    done = shell("$FER data list > /dev/full", FER_DATA=str(data_root))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: standard output: no space left on the disk")


@pytest.mark.parametrize("name", [".", "", "/"])
def test_an_output_without_a_name_is_one_line(name: str) -> None:
    with pytest.raises(IsADirectoryError) as met, whole_file(Path(name)):
        pass
    assert fault_line(met.value).startswith(f"{Path(name)}: expected a file, found a folder")


def test_a_full_disk_names_file_and_file_system_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as met, whole_file(tmp_path / "a" / "best.pt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as ``write`` has it: without a name
    line = fault_line(met.value)
    mount = next(place for place in tmp_path.parents if place.is_mount())
    assert line.startswith(f"{tmp_path / 'a' / 'best.pt'}: no space left on the disk (file system of {mount})")
    assert "free some space" in line
    assert not list((tmp_path / "a").iterdir())
    for code in (errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EISDIR):
        assert str(tmp_path) in fault_line(OSError(code, os.strerror(code), str(tmp_path)))


def test_a_folder_where_a_file_is_to_be_is_one_line(fer: Fer, tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "peek.png").mkdir()
    called = fer("data", "peek", "ck48", "--out", tmp_path / "peek.png", "--data-root", data_root)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert called.err.startswith(f"error: {tmp_path / 'peek.png'}: expected a file, found a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["peek.png"]


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "missing"):
        with pytest.raises(OSError, match=r"."):
            read_text(tmp_path / name)


def path_parameters() -> dict[str, str]:
    """Return what every parameter of every command that is a path is passed through."""
    found = {}
    todo: list[tuple[str, Any]] = [("fer", typer.main.get_command(app))]
    while todo:
        name, command = todo.pop()
        todo += [(f"{name} {sub}", one) for sub, one in getattr(command, "commands", {}).items()]
        paths = (one for one in command.params if getattr(one, "type_descriptor", one).annotation is Path)
        found |= {f"{name} {one.name}": getattr(one.callback, "__name__", "nothing") for one in paths}
    return found


def test_every_path_of_every_command_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = path_parameters()
    assert {"fer ablate results", "fer data build source", "fer weights verify file"} <= set(found)
    assert len(found) > 15
    folders = {name: by for name, by in found.items() if name.split()[-1] in {"results", "data_root"}}
    assert set(folders.values()) == {"expand_folder"}, folders
    assert {by for name, by in found.items() if name not in folders} == {"expand_path"}, found
    assert expand_path(Path("~/x")) == expand_folder(Path("~/x")) == tmp_path / "x"


def test_home_is_expanded_in_variables_and_studies(fer: Fer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FER_DATA", "~/data")
    assert default_data_root() == tmp_path / "data"
    assert user_path("~") == tmp_path
    assert user_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
    (tmp_path / "one.yaml").write_text("{name: one, question: Which, arms: {A: {}}, report: {against: A}}")
    assert load_study("~/one.yaml").name == "one"
    monkeypatch.setenv("FER_RESULTS", "~/results")
    called = fer("report", "--study", "~/one.yaml")
    assert called.code == 2
    monkeypatch.delenv("FER_RESULTS")
    wrong = fer("data", "list", "--data-root", "~nobody-of-this-name/x")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "no user '~nobody-of-this-name'" in wrong.err
