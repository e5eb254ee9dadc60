"""``--set``: one setting of all runs, typed as in a study, named in titles and files, not what the study compares."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_cli.choices import last_choice, remember
from fer_cli.config import Compute
from fer_cli.errors import StudyError
from fer_cli.expand import expand
from fer_cli.overrides import name_settings, parse_settings, settings_of
from fer_cli.plan import make_plan
from fer_cli.study import Choice, load_study
from tests.conftest import Called

Fer = Callable[..., Called]
STUDY = """
name: tiny
question: q
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25}
  train: {epochs: 1, batch_size: 32}
seeds: [0]
grid: {data.label_noise: [0.0, 0.2]}
arms:
  CNN: {model.backbone: cnn3}
  SCN: {model.backbone: cnn3, learning.method: scn}
profiles: {paper: {train.lr: 1e-3}}
report: {metrics: [accuracy], against: CNN, columns: data.label_noise}
"""


@pytest.fixture
def study(tmp_path: Path) -> str:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    return str(tmp_path / "tiny.yaml")


def choose(*texts: str, **more: Any) -> Choice:
    return Choice(settings=parse_settings(texts), **more)


LETTERS = st.characters(exclude_categories=("Cc", "Cs", "Cn"))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(LETTERS),
)


@given(st.one_of(SCALARS, st.lists(SCALARS, max_size=3)))
def test_a_value_written_as_json_is_read_as_it_is(value: Any) -> None:
    parsed = parse_settings([f"train.lr={json.dumps(value, ensure_ascii=False)}"])
    assert settings_of(parsed) == {"train.lr": value}
    assert parse_settings(parsed) == parsed


def test_values_are_typed_as_in_yaml() -> None:
    given = parse_settings(["b=1e-3", "a=true", "c=[1, x]", "d=text", "e=", "f='3'"])
    assert settings_of(given) == {"a": True, "b": 0.001, "c": [1, "x"], "d": "text", "e": None, "f": "3"}
    assert given == ("a=true", "b=0.001", 'c=[1,"x"]', "d=text", "e=null", 'f="3"')
    assert parse_settings(None) is None
    assert parse_settings(["none"]) == ()


@pytest.mark.parametrize("text", ["train.lr", "=3", "a={b: 1}", "a=1\nb: 2", "a=[1"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(StudyError, match="--set"):
        parse_settings([text])


def test_files_are_named_by_short_settings_and_hashes_of_long_ones() -> None:
    assert name_settings(None) is None
    assert name_settings(()) is None
    assert name_settings(("train.lr=0.001", "train.epochs=3")) == "set-train.lr=0.001+train.epochs=3"
    hashed = name_settings(("model.weights=../a b.pt",))
    assert hashed is not None
    assert len(hashed) == len("set-") + 8


def test_all_runs_get_the_setting(study: str) -> None:
    runs = expand(load_study(study), choose("train.lr=0.003", "model.dropout=0.5"))
    assert {(run.config.train.lr, run.config.model.dropout) for run in runs} == {(0.003, 0.5)}
    over_profile = expand(load_study(study), choose("train.lr=0.003", profile="paper"))
    assert {run.config.train.lr for run in over_profile} == {0.003}
    scn = expand(load_study(study), choose("learning.beta=0.5"))
    assert [run.config.learning.beta for run in scn if run.arm == "SCN"] == [0.5, 0.5]


REFUSED = {
    "train.lrr=1": "--set train.lrr: no such setting; did you mean train.lr",
    "model.backbone=cnn6": "--set model.backbone: arm 'CNN' of tiny sets it: the study compares it",
    "data.label_noise=0.1": "--set data.label_noise: the grid of tiny sets it",
    "train.batch_size=32": "--set train.batch_size=32: tiny has this value already",
    "model.dropout=0": "has this value already",
    "seed=1": "use --seeds",
    "data.name=fer2013": "use --data",
    "data.split=loso": "use --split",
    "train.lr=-1": "--set: arm CNN: train.lr: Input should be greater than 0",
    "train.lr=fast": "--set: arm CNN: train.lr: Input should be a valid number",
    "model.groups=4": "has no effect",
}


@pytest.mark.parametrize(("text", "why"), REFUSED.items(), ids=REFUSED)
def test_settings_that_cannot_be_set_are_one_line(text: str, why: str, study: str) -> None:
    with pytest.raises(StudyError) as error:
        expand(load_study(study), choose(text))
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_the_options_of_the_last_run_are_kept(study: str, compute: Compute) -> None:
    plan = make_plan(study, choose("train.lr=0.003"), compute)
    assert plan.title == "tiny on ck48 (small, train.lr=0.003)"
    assert plan.stem == "tiny-ck48-small-set-train.lr=0.003"
    remember(plan, compute.results)
    assert last_choice(load_study(study), compute.results) == plan.choice
    own = make_plan(study, Choice(), compute)
    assert not {item.run_id for item in plan.items} & {item.run_id for item in own.items}


def test_tables_of_a_variant_are_not_those_of_the_study(fer: Fer, study: str, data_root: Path, tmp_path: Path) -> None:
    where = ["--study", study, "--data-root", data_root, "--results", tmp_path / "results"]
    trained = fer("ablate", *where, "--no-track", "--set", "train.lr=3e-3", "--set", "data.image_size=16")
    assert trained.code == 0, trained.err
    assert "--set data.image_size=16 --set train.lr=0.003" in trained.err.splitlines()[-1]
    table = fer("report", *where)  # the settings of the last run
    assert table.out.startswith("# tiny on ck48 (small, data.image_size=16, train.lr=0.003)\n")
    assert "set for all runs, instead of what the study says: data.image_size=16, train.lr=0.003" in table.out
    own = fer("report", *where, "--set", "none")
    assert own.code == 2
    assert "no run of tiny on ck48 (small) is done" in own.err
    tables = {path.name for path in (tmp_path / "results" / "tables").glob("*.csv")}
    assert tables == {"tiny-ck48-small-set-data.image_size=16+train.lr=0.003.csv"}
    from fer_cli.report.overview import SET, read_tables

    (written,) = read_tables(tmp_path / "results")
    assert SET.search(written.path.stem)
    assert written.compare_configs(load_study(study)) == ""
    assert fer("report", *where, "--claims", "--set", "train.lr=1e-3").code == 2
    assert "--set" in fer("ablate", "--all", "--set", "train.lr=1e-3", "--plan").err


def test_a_recipe_and_set_exclude_each_other(fer: Fer, study: str, data_root: Path) -> None:
    called = fer("ablate", "--study", study, "--data-root", data_root, "--set", "train.lr=1e-3", "--recipe", "--plan")
    assert called.code == 2
