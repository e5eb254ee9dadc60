"""Copies of studies to edit: each shipped one, what is left out, names, and refusals."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_cli.copies import copy_study, copy_text, split_blocks
from fer_cli.errors import StudyError
from fer_cli.escape import bad_name
from fer_cli.study import Study, load_study, study_names
from fer_cli.yamls import parse_yaml
from tests.conftest import Called

Fer = Callable[..., Called]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", study_names())
def test_every_study_can_be_copied_without_what_is_about_its_paper(name: str) -> None:
    path = copy_study("mine", name)
    copied, source = load_study(str(path)), load_study(name)
    assert copied == source.model_copy(update={"name": "mine", "paper": None, "claims": []})
    assert f"# A copy of the study {name} " in path.read_text()
    assert "# Rows of the table" in path.read_text()


def test_comments_are_kept(home: Path) -> None:
    text = copy_study("mine", "scn-cs").read_text()
    assert "# Trials of fer search: five settings per arm, a fifth of the study." in text
    assert "# Left out: paper and claims, which are about the arms and data of scn-cs." in text
    assert "fan-2025" not in text
    again = copy_study("mine2", "mine.yaml")  # a copy of a copy
    assert "Left out: paper" not in again.read_text().split("\n\n")[0]


def test_a_copy_runs(fer: Fer, home: Path, data_root: Path) -> None:
    called = fer("study", "new", "it's mine", "--from", "scn-cs")
    assert called.code == 0
    assert called.out == "it's mine.yaml\n"
    assert called.err.splitlines()[-1].startswith("next: edit it's mine.yaml, then fer ablate --study")
    study = home / "it's mine.yaml"
    study.write_text(study.read_text().replace("model.pretrain: synth-basic, ", ""))
    planned = fer("ablate", "--study", study.name, "--data", "ck48", "--data-root", data_root, "--seeds", "1", "--plan")
    assert planned.code == 0, planned.err
    assert "40 runs" in planned.err


REFUSED = {
    "scn-cs": "a shipped study has this name",
    "ancova": "a shipped study has this name",
    "a/b": "no path",
    ".hidden": "no path",
    "x.yaml": "give the name without .yaml",
    "": "a name needs at least one visible character",
    "a\nb": "control character",
    "taken": "already there",
}


@pytest.mark.parametrize(("name", "why"), REFUSED.items(), ids=repr)
def test_bad_names_are_refused(name: str, why: str, home: Path) -> None:
    (home / "taken.yaml").write_text("mine\n")
    with pytest.raises(StudyError, match=why):
        copy_study(name, "demo")
    assert (home / "taken.yaml").read_text() == "mine\n"
    assert [path.name for path in home.iterdir()] == ["taken.yaml"]


def test_an_unknown_source_is_one_line(fer: Fer) -> None:
    called = fer("study", "new", "mine", "--from", "scn-sc")
    assert (called.code, called.err) == (2, "error: no study named 'scn-sc'; did you mean scn-cs?\n")


def test_a_source_that_cannot_be_cut_into_parts_is_refused(home: Path) -> None:
    (home / "flow.yaml").write_text("{name: flow, question: q, arms: {A: {}}, seeds: [0], report: {against: A}}\n")
    with pytest.raises(StudyError, match="cannot be copied part by part"):
        copy_study("mine", "flow.yaml")
    anchored = "name: two\nquestion: q\npaper: {cite: &c x}\narms: {A: {}}\nreport: {against: A, columns: *c}\n"
    (home / "two.yaml").write_text(anchored)
    with pytest.raises(StudyError):
        copy_study("mine", "two.yaml")
    assert not (home / "mine.yaml").exists()


NAMES = st.text(
    st.characters(exclude_characters="/\\", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=30
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None, max_examples=60)
@given(NAMES.filter(lambda name: bad_name(name) is None))
def test_any_name_is_written_so_that_it_is_read_again(name: str) -> None:
    study = load_study("demo")
    text = Path(sys.modules["fer_cli"].__file__ or "").parents[1].joinpath("experiments/demo.yaml").read_text()
    copied = Study.model_validate(parse_yaml(copy_text(name, study, text), "copy", StudyError))
    assert copied == study.model_copy(update={"name": name})


def test_blocks_keep_every_line() -> None:
    text = "# top\nname: a\n\n# of base\nbase:\n  x: 1\n\n  # inside\n  y: 2\nseeds: [0]\n"
    assert split_blocks(text) == [
        ("name", "# top\n", "name: a\n\n"),
        ("base", "# of base\n", "base:\n  x: 1\n\n  # inside\n  y: 2\n"),
        ("seeds", "", "seeds: [0]\n"),
    ]


def test_studies_are_listed(fer: Fer) -> None:
    rows = [line.split("\t") for line in fer("studies").out.splitlines()]
    assert rows[0] == ["study", "question", "data", "runs"]
    assert [row[0] for row in rows[1:-1]] == study_names()
    found = {row[0]: row for row in rows}
    assert found["scn-cs"][2:] == ["synth-basic", str(8 * 5 * 5)]
    assert found["interaction-models"][2] == "simulation"
    assert found["ecem"][2] == "synth-student", "simulated sequences of real images"
