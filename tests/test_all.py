"""``fer ablate --all``: every shipped study in one table, and one after another."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli import study as studies
from fer_cli.learning import choices, timing
from fer_cli.study import study_names
from tests.conftest import Called

Fer = Callable[..., Called]


def test_all_plans_are_one_table_with_times(fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is timed, on less than usual, as how well is not looked at, and kept apart."""
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(choices, "ROUNDS", 1)
    monkeypatch.setattr(choices, "PIXELS", 2**12)
    monkeypatch.setattr(timing, "IMAGES", 4)
    where = ["--data-root", tmp_path / "data", "--results", tmp_path / "results", "--profile", "smoke"]
    called = fer("ablate", "--all", "--plan", *where)
    assert called.code == 0, called.err
    head, *rows = (line.split("\t") for line in called.out.splitlines())
    assert head == ["study", "data", "seeds", "runs", "done", "most steps", "estimate"]
    assert [row[0] for row in rows] == study_names()
    for row in rows:
        if row[1] == "-":
            assert "ck48" in row[-1] and "fer data build ck48" in row[-1], "real sets are not rendered"
        else:
            assert re.fullmatch(r"\d.* (s|min|h|min)", row[-1]), row
            assert int(row[3]) > 0 and row[4] == "0"
    assert re.search(r"\d+ different runs to train; time: \d", called.err)
    assert "synth-basic is not built" in called.err
    assert not (tmp_path / "data").exists() and not (tmp_path / "results" / "runs").exists()
    assert called.err.splitlines()[-1].startswith("next: fer ablate --all --profile smoke")


@pytest.mark.parametrize("options", [["--only", "CNN"], ["--budget", "5"], ["--smoke"], ["--study", "scn-cs"]])
def test_options_of_one_study_are_refused(fer: Fer, options: list[str]) -> None:
    called = fer("ablate", "--all", *options)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert f"cannot be combined with {options[0]}" in called.err


def test_neither_study_nor_all_and_a_set_that_no_study_can_use(fer: Fer, tmp_path: Path) -> None:
    called = fer("ablate")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "--study NAME, or --all; fer studies lists" in called.err
    called = fer("ablate", "--all", "--plan", "--data", "nope", "--data-root", tmp_path)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "nope" in called.err


def test_all_trains_each_study_that_can_run(
    fer: Fer, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_root: Path
) -> None:
    text = study_file.read_text()
    folder = tmp_path / "experiments"
    folder.mkdir()
    for name, data in (("one", "ck48"), ("two", "ck48"), ("absent", "jaffe")):
        changed = re.sub(r"^name: .*$", f"name: {name}", text, flags=re.M)
        (folder / f"{name}.yaml").write_text(changed.replace("ck48", data))
    (folder / "equal.yaml").write_text(
        text.replace("name: tiny", "name: equal")
        .replace("data.label_noise", "data.max_images")
        .replace("0.0, 0.3", "8000, 9000")
    )
    monkeypatch.setattr(studies, "shipped_folder", lambda _: folder)
    where = ["--data-root", data_root, "--results", tmp_path / "results", "--seeds", "1", "--no-track"]
    rows = [line.split("\t") for line in fer("ablate", "--all", "--plan", *where).out.splitlines()]
    assert {row[0]: row[1] for row in rows[1:]} == {"one": "ck48", "two": "ck48", "absent": "-", "equal": "-"}
    called = fer("ablate", "--all", *where)
    assert called.code == 0, called.err
    assert "equal is left out: ck48: data.max_images: 8000 and 9000 give the same" in called.err
    assert shlex.split(called.err.splitlines()[-1]) == ["next:", "fer", "report", "--all", *map(str, where[2:4] + where[:2])]
    assert "absent is left out: data set 'jaffe' is not built" in called.err
    done = re.findall(r"(\d+) done, 0 failed, (\d+) skipped", called.err)
    assert len(done) == 2 and int(done[0][0]) > 0, "the second study's runs are those of the first"
    assert done[1] == ("0", done[0][0])
