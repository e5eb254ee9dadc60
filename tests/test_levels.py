"""Levels: named sets of settings that every arm is crossed with, where a grid of single values cannot say it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.config import Compute
from fer_cli.errors import StudyError
from fer_cli.expand import expand
from fer_cli.plan import make_plan
from fer_cli.study import Choice, load_study
from tests.conftest import Called
from tests.reports import fake_results

STUDY = """
name: levelled
question: What are conditions worth?
base:
  data: {name: ck48, image_size: 24, split: subject, folds: 3, val_fraction: 0.25}
  train: {epochs: 2}
seeds: [0, 1]
arms:
  CNN: {}
  SCN: {learning.method: scn}
grid: {data.label_noise: [0.0, 0.3]}
levels:
  condition:
    clean: {}
    dark and blurred:
      corrupt: {light: 0.5, blur: 1.0}
report: {columns: condition, against: CNN}
"""


def written(tmp_path: Path, old: str = "", new: str = "") -> str:
    assert old in STUDY
    path = tmp_path / "levelled.yaml"
    path.write_text(STUDY.replace(old, new) if old else STUDY)
    return str(path)


def test_arms_are_crossed_with_levels_and_grid(tmp_path: Path) -> None:
    runs = expand(load_study(written(tmp_path)), Choice())
    assert len(runs) == 2 * 2 * 2 * 2
    assert {run.at for run in runs} == {
        (("data.label_noise", noise), ("condition", level))
        for noise in (0.0, 0.3)
        for level in ("clean", "dark and blurred")
    }
    for run in runs:
        dark = dict(run.at)["condition"] != "clean"
        assert (run.config.corrupt.light, run.config.corrupt.blur) == ((0.5, 1.0) if dark else (1.0, 0.0))
    one = load_study(written(tmp_path, "levels:", "profiles: {small: {}}\nlevels:"))
    assert [run.config for run in expand(one, Choice())] == [run.config for run in runs]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("condition:\n    clean", "data.label_noise:\n    clean", "levels.data.label_noise: is also in grid"),
        ("clean: {}", "clean: {data.label_noise: 0.1}", "levels.condition: data.label_noise is also set by grid"),
        ("scn}", "scn, corrupt.blur: 2.0}", "arms.SCN: corrupt.blur is also set by levels.condition"),
        (
            "grid:",
            "profile_arms: {small: {SCN: {corrupt.blur: 2.0}}}\ngrid:",
            "profile_arms.small.SCN: corrupt.blur is also set by levels.condition",
        ),
        ("    clean: {}\n", "", "levels.condition: needs at least two levels"),
        ("columns: condition", "columns: conditoin", "is in neither grid nor levels; did you mean condition?"),
        ("light: 0.5", "lihgt: 0.5", "corrupt.lihgt: unknown key; did you mean corrupt.light"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(StudyError) as error:
        expand(load_study(written(tmp_path, old, new)), Choice())
    assert words in str(error.value) and "\n" not in str(error.value)


def test_levels_are_columns_of_the_table(fer: Callable[..., Called], tmp_path: Path, compute: Compute) -> None:
    study = written(tmp_path)
    scores = {(arm, noise): [0.5, 0.6] for arm in ("CNN", "SCN") for noise in (0.0, 0.3)}
    fake_results(make_plan(study, Choice(), compute), scores)
    report = fer("report", "--study", study, "--data-root", compute.data_root, "--results", compute.results)
    assert report.code == 0, report.err
    head = next(line for line in report.out.splitlines() if line.startswith("|"))
    assert "condition clean" in head and "condition dark and blurred" in head
    refused = fer("ablate", "--study", study, "--split", "random", "--plan", "--data-root", compute.data_root)
    assert refused.code == 0, refused.err
