"""``fer doctor``: a healthy machine, and each thing that can be broken is named with its fix."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli import doctor
from fer_cli.config import Compute
from tests.conftest import Called

Fer = Callable[..., Called]


def by_name(called: Called) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(called.out)["checks"]}


def test_a_healthy_machine(fer: Fer, compute: Compute) -> None:
    where = ["--data-root", compute.data_root, "--results", compute.results]
    called = fer("doctor", "--json", *where)
    assert called.code == 0, called.out
    found = by_name(called)
    assert json.loads(called.out)["ok"]
    assert found["ck48"]["found"].startswith("incomplete") or "fingerprint" in found["ck48"]["found"]
    assert {"Python", "PyTorch", "results", "data root", "embedded people", "MLflow", "slurm"} <= found.keys()
    assert all(check["state"] != "broken" for check in found.values())
    plain = fer("doctor", *where)
    rows = [line.split("\t") for line in plain.out.splitlines()]
    assert rows[0] == ["part", "check", "state", "found", "fix"]
    assert [row[1] for row in rows[1:]] == list(found)
    assert not compute.results.exists()  # a diagnosis leaves nothing behind


def test_what_is_broken_is_named_with_its_fix(fer: Fer, tmp_path: Path) -> None:
    (tmp_path / "data" / "odd").mkdir(parents=True)
    (tmp_path / "data" / "odd" / "set.json").write_text("{")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mlflow.db").write_text("not a database, and longer than a header of one is" * 10)
    called = fer("doctor", "--json", "--data-root", tmp_path / "data", "--results", tmp_path / "results")
    assert called.code == 1
    found = by_name(called)
    assert found["odd"]["state"] == found["store"]["state"] == "broken"
    assert "fer data build odd" in found["odd"]["fix"]
    assert "fer track sync" in found["store"]["fix"]
    assert "first fix: odd" in called.err


def test_a_results_path_that_is_a_file(fer: Fer, tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "results").write_text("")
    called = fer("doctor", "--json", "--data-root", data_root, "--results", tmp_path / "results")
    assert called.code == 1
    assert by_name(called)["results"]["state"] == "broken"


def test_missing_and_old_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"rich": "1.0", "torch": "99.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise doctor.metadata.PackageNotFoundError(name)
        return versions[name]

    needed = ["rich>=13.9", "torch>=2.6", "typer>=0.29", "submitit>=1.5; extra == 'slurm'", "gone; python_version < '3'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: needed)
    monkeypatch.setattr(doctor.metadata, "version", version)
    assert dict(doctor.requirements("")) == {"rich": "is 1.0, needs >=13.9", "torch": None, "typer": "is not installed"}
    assert dict(doctor.requirements("slurm")) == {"submitit": "is not installed"}


def test_little_space_is_told_and_too_little_is_broken(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((100e9, "ok"), (2e9, "missing"), (0.1e9, "broken")):
        usage = shutil_usage(int(free))
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, usage=usage: usage)
        assert {line[1] for line in doctor.check_folders(compute)} == {state}


class shutil_usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_check_that_fails_does_not_stop_the_others(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Compute) -> object:
        raise RuntimeError("torch is damaged")

    monkeypatch.setattr(doctor, "CHECKS", {"computing": fail, "extras": doctor.check_extras})
    checks = doctor.diagnose(compute)
    assert (checks[0].state, checks[0].found) == ("broken", "RuntimeError: torch is damaged")
    assert len(checks) > 1
