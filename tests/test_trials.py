"""Searches that are run: what trials read, what they choose, and what ``fer ablate --recipe`` makes of it."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_cli.ablate import Silent, run_plan
from fer_cli.config import BACKBONES, Compute, DataConfig, RunConfig
from fer_cli.config.networks import Backbone
from fer_cli.data import datamodule
from fer_cli.data.block import Block
from fer_cli.data.manifest import MANIFEST
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError, ResultsError
from fer_cli.learning.train import load_data
from fer_cli.plan import Item, describe_other_builds, make_plan
from fer_cli.recipes import Recipe, read_recipe, recipe_path, write_recipe
from fer_cli.results import Result
from fer_cli.runs import RunFolder
from fer_cli.study import Choice, load_study
from fer_cli.trials import SearchPlan, conclude, plan_search
from tests.conftest import Called
from tests.sets import rewrite

Fer = Callable[..., Called]

STUDY = """
name: tried
question: q?
base:
  data: {name: ck48, classes: [happy, surprise], image_size: 24, folds: 3, val_fraction: 0.4}
  model: {backbone: linear}
  train: {epochs: 4, batch_size: 8, lr: 3e-2, weight_average: 0.0}
seeds: [0, 1]
arms:
  plain: {}
  slow: {train.lr: 3e-4, learning.label_smoothing: 0.1}
report: {against: plain}
search:
  rates: 7
  knobs: {slow: {learning.label_smoothing: [0.1, 0.2]}}
"""
LITTLE = STUDY.replace("rates: 7", "rates: 3").replace("epochs: 4", "epochs: 1")


@pytest.fixture(scope="module", autouse=True)
def linear() -> Iterator[None]:
    """Register a network that learns in milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "linear", Backbone("tests.toys:Linear"))
        yield


def machine(data_root: Path, results: Path) -> Compute:
    return Compute(data_root=data_root, results=results, device="cpu", precision="fp32", threads=1, track=False)


def write(folder: Path, text: str = STUDY) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tried.yaml").write_text(text)
    return str(folder / "tried.yaml")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> tuple[Path, SearchPlan, Recipe]:
    """A folder with a study and its results, the finished trials, and their recipe."""
    home = tmp_path_factory.mktemp("searched")
    compute = machine(data_root, home / "results")
    plan = plan_search(write(home), Choice(), compute)
    assert run_plan(plan, compute, chosen=False).complete
    return home, plan, conclude(plan)


@pytest.fixture
def home(searched: tuple[Path, SearchPlan, Recipe], tmp_path: Path) -> Path:
    """A copy of the study, its trials and its recipe."""
    shutil.copytree(searched[0] / "results", tmp_path / "home" / "results")
    name = write(tmp_path / "home")
    write_recipe(recipe_path(name, load_study(name), Choice()), searched[2])
    return tmp_path / "home"


def test_a_planted_rate_is_replaced(searched: tuple[Path, SearchPlan, Recipe]) -> None:
    _, plan, recipe = searched
    slow = recipe.arms["slow"]
    assert slow.own == {"train.lr": 3e-4, "learning.label_smoothing": 0.1}
    assert slow.chosen["train.lr"] >= 9 * 3e-4
    assert slow.tried[0].settings == {}
    scores = {tuple(one.settings.items()): one.score or 0.0 for one in slow.tried}
    assert scores[tuple(slow.chosen.items())] == max(scores.values()) > scores[()]
    assert {len(tuned.tried) for tuned in recipe.arms.values()} == {8}
    assert not (plan.items[0].folder.results / "studies").exists()  # fer report keeps its defaults


def test_scores_are_those_of_the_selected_checkpoint_on_validation_images(
    searched: tuple[Path, SearchPlan, Recipe],
) -> None:
    for item in searched[1].items:
        result = item.folder.result()
        assert set(result.metrics) == {"val"}
        assert set(pd.read_parquet(item.folder.file("predictions.parquet"))["part"]) == {"val"}
        assert result.selection.value == pytest.approx(result.metrics["val"]["macro_f1"], abs=1e-6)
        assert (result.data.test, result.data.test_hash, result.data.val) == (0, None, result.metrics["val"].n)


def test_a_trial_reads_no_test_image(data_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken: list[np.ndarray] = []
    original = Block.select

    def select(self: Block, index: slice | np.ndarray) -> Block:
        if isinstance(index, np.ndarray):
            taken.append(self.rows[index].ravel())
        return original(self, index)

    monkeypatch.setattr(Block, "select", select)
    plan = plan_search(write(tmp_path, LITTLE), Choice(), machine(data_root, tmp_path / "results"))
    trial = plan.items[0].run.config
    manifest = pd.read_parquet(data_root / "ck48" / MANIFEST)
    rows = np.flatnonzero(manifest["label"].isin(trial.data.classes).to_numpy())
    split = make_split(manifest.iloc[rows].reset_index(drop=True), trial.data)
    for config in (trial, trial.model_copy(update={"trial": False})):
        taken.clear()
        data, _ = load_data(config, machine(data_root, tmp_path))
        parts = np.concatenate(taken[-len(data.parts) :])
        assert {*rows[split.train], *rows[split.val]} <= set(parts.tolist())
        assert config.trial != bool(set(rows[split.test]) & set(parts.tolist()))
    with pytest.raises(DataError, match="reads no test image"):
        _ = load_data(trial, machine(data_root, tmp_path))[0].test


def test_a_trial_does_not_open_the_set_it_would_be_tested_on(data_root: Path, tmp_path: Path) -> None:
    data = DataConfig(name="ck48", test="absent", classes=["happy", "surprise"], image_size=24)
    trial, compute = RunConfig(data=data, trial=True), machine(data_root, tmp_path)
    loaded, fingerprint = load_data(trial, compute)
    assert (set(loaded.parts), loaded.dropped, "+" in fingerprint) == ({"train", "val"}, {}, False)
    with pytest.raises(DataError, match="absent"):
        load_data(trial.model_copy(update={"trial": False}), compute)


@pytest.mark.slow
def test_permuted_labels_of_the_test_part_change_no_recipe(data_root: Path, tmp_path: Path) -> None:
    recipes = []
    for name in ("given", "permuted"):
        root = tmp_path / name
        shutil.copytree(data_root / "ck48", root / "ck48", ignore=shutil.ignore_patterns(".verified.json"))
        manifest = pd.read_parquet(root / "ck48" / MANIFEST)
        tested = manifest["subject"].isin(sorted(manifest["subject"].unique())[-4:]).to_numpy()
        manifest["split"] = np.where(tested, "test", "train")
        if name == "permuted":
            before = manifest.loc[tested, "label"].to_numpy()
            manifest.loc[tested, "label"] = np.random.default_rng(0).permutation(before)
            assert (manifest.loc[tested, "label"].to_numpy() != before).mean() > 0.5
        rewrite(root / "ck48", manifest, fingerprint=f"{name:x<16}")
        text = LITTLE.replace("folds: 3", "split: official").replace("classes: [happy, surprise], ", "")
        compute = machine(root, tmp_path / f"results-{name}")
        plan = plan_search(write(tmp_path / f"study-{name}", text), Choice(), compute)
        assert run_plan(plan, compute, chosen=False).complete
        recipes.append(conclude(plan))
    assert recipes[0].fingerprint != recipes[1].fingerprint  # the sets do differ
    assert recipes[0].arms == recipes[1].arms


@pytest.mark.slow
def test_an_interrupted_search_is_resumed(data_root: Path, tmp_path: Path) -> None:
    class Interrupting(Silent):
        left = 4

        def done(self, item: Item, status: str) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    name, again = write(tmp_path, LITTLE), machine(data_root, tmp_path / "again")
    plan = plan_search(name, Choice(), again)
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, again, observer=Interrupting(), chosen=False)
    with pytest.raises(ResultsError, match="its state is new; run the same command again"):
        conclude(plan)
    assert run_plan(plan, again, chosen=False).counts == {"skipped": 4, "done": len(plan.items) - 4}
    whole = machine(data_root, tmp_path / "whole")
    other = plan_search(name, Choice(), whole)
    run_plan(other, whole, chosen=False)
    assert conclude(plan) == conclude(other)


def test_a_diverged_trial_counts_as_tried_and_is_not_chosen(
    searched: tuple[Path, SearchPlan, Recipe], home: Path, data_root: Path, fer: Fer
) -> None:
    plan = plan_search(str(home / "tried.yaml"), Choice(), machine(data_root, home / "results"))
    best = next(t for t in plan.trials["slow"] if t.settings == searched[2].arms["slow"].chosen)
    folder = best.items[0].folder
    folder.file("result.json").unlink()
    folder.write_error("Traceback\nFloatingPointError: loss was not finite in epoch 1\n")
    recipe = conclude(plan)
    assert recipe.arms["slow"].chosen != best.settings
    assert {tuple(t.settings): t.score for t in recipe.arms["slow"].tried if t.score is None} == {("train.lr",): None}
    folder.write_error("Traceback\nMemoryError: no memory\n")
    called = search(fer, home, data_root)
    assert called.code == 1
    assert "--retry-failed" in called.err
    for trial in plan.trials["slow"]:
        trial.items[0].folder.file("result.json").unlink(missing_ok=True)
        trial.items[0].folder.write_error("FloatingPointError: loss\n")
    with pytest.raises(ResultsError, match="every trial of arm 'slow' diverged"):
        conclude(plan)


def options(home: Path, data_root: Path) -> list[str]:
    return ["--study", str(home / "tried.yaml"), "--results", str(home / "results"), "--data-root", str(data_root)]


def search(fer: Fer, home: Path, data_root: Path, *more: str) -> Called:
    return fer("search", *options(home, data_root), "--no-track", "--precision", "fp32", *more)


def test_fer_search_writes_what_it_chose_and_says_its_cost(
    searched: tuple[Path, SearchPlan, Recipe], home: Path, data_root: Path, fer: Fer
) -> None:
    written = home / "recipes" / "tried-ck48-small.yaml"
    written.unlink()
    called = search(fer, home, data_root, "--plan", "--retry-failed", "--no-wait")
    assert called.code == 0
    assert called.err.splitlines()[-1].endswith("--retry-failed --no-wait")
    assert "2 arms, 8 settings each, 1 seed, 1 x epochs" in called.err
    assert "% of the study's" in called.err
    assert "16 runs, 16 done, 0 to train" in called.err
    assert not written.exists()
    called = search(fer, home, data_root)
    assert called.code == 0, called.err
    assert f"written: {written}" in called.err
    assert "fer ablate" in called.err.splitlines()[-1]
    assert "--recipe" in called.err.splitlines()[-1]
    assert read_recipe(written).arms == searched[2].arms
    assert [line.split("\t")[:3] for line in called.out.splitlines()[1:]] == [
        [arm, "8", "val/macro_f1"] for arm in ("plain", "slow")
    ]


def test_ablate_applies_a_recipe_on_request_and_reports_it(home: Path, data_root: Path, fer: Fer) -> None:
    compute = machine(data_root, home / "results")
    own, tuned = (make_plan(str(home / "tried.yaml"), Choice(recipe=asked), compute) for asked in (False, True))
    recipe = read_recipe(home / "recipes" / "tried-ck48-small.yaml")
    for before, after in zip(own.items, tuned.items, strict=True):
        flat = before.run.config.flat() | recipe.arms[before.run.arm].chosen
        assert after.run.config.flat() == flat
        assert not after.run.config.trial
    assert tuned.stem == f"{own.stem}-recipe"
    called = fer("ablate", *options(home, data_root), "--plan")
    assert "not applied:" in called.err
    called = fer("ablate", *options(home, data_root), "--precision", "fp32", "--no-track", "--recipe")
    assert called.code == 0, called.err
    assert "settings chosen by fer search (recipe tried-ck48-small" in called.err
    called = fer("report", *options(home, data_root))  # by default of the runs of the last fer ablate
    assert called.code == 0, called.err
    assert "8 settings tried per arm, each with 1 seed (0)" in called.out
    assert "the search saw no test image of seed 0" in called.out
    assert f"slow: train.lr {recipe.arms['slow'].chosen['train.lr']} (own train.lr 0.0003)" in called.out
    assert (home / "results" / "tables" / "tried-ck48-small-recipe.md").is_file()
    called = fer("report", *options(home, data_root), "--no-recipe")
    left = sum(bool(recipe.arms[item.run.arm].chosen) for item in own.items)
    assert "settings chosen by fer search" not in called.out
    assert f"{left} of 4 runs are not done" in called.err  # trials never count as runs of the study


def test_a_recipe_with_less_effort_for_an_arm_is_flagged(home: Path, data_root: Path, fer: Fer) -> None:
    path = home / "recipes" / "tried-ck48-small.yaml"
    recipe = read_recipe(path)
    plain = recipe.arms["plain"]
    fewer = [one for one in plain.tried if one.settings == plain.chosen]
    write_recipe(
        path, recipe.model_copy(update={"arms": recipe.arms | {"plain": plain.model_copy(update={"tried": fewer})}})
    )
    called = fer("ablate", *options(home, data_root), "--plan", "--recipe")
    assert called.code == 0
    assert "UNEQUAL EFFORT: plain was tried with 1 settings, others with 8" in called.err


WRONG = {
    ('study: "tried"', 'study: "other"'): "made for study 'other', not 'tried'",
    ('data: "ck48"', 'data: "kdef"'): "made for data 'kdef', not 'ck48'",
    ('profile: "small"', 'profile: "paper"'): "made for profile 'paper', not 'small'",
    ('  "slow":', '  "slower":'): "arm 'slow' is missing",
    ("version: 1", "version: 2"): "version",
    ('made_for: "', 'made_for: "x'): "made_for",
    ("    chosen: {", '    chosen: {"train.lr": 0.7, "a": 1, "b": {}} #'): "chosen: not the best of the tried settings",
    ("at: {}", 'at: {"data.label_noise": 0.3}'): "no grid point at data.label_noise 0.3",
    ("arms:", "arms: 3"): "tried-ck48-small.yaml",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change[1][:20])
def test_a_recipe_of_something_else_is_refused_in_one_line(
    change: tuple[str, str], searched: tuple[Path, SearchPlan, Recipe], data_root: Path, tmp_path: Path, fer: Fer
) -> None:
    name = write(tmp_path)
    path = recipe_path(name, load_study(name), Choice())
    write_recipe(path, searched[2])
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change, 1))
    called = fer("ablate", *options(tmp_path, data_root), "--recipe", "--plan")
    assert (called.code, called.out) == (2, "")
    assert WRONG[change] in called.err
    assert called.err.count("\n") == 1


@pytest.mark.parametrize(
    "change", [("epochs: 4", "epochs: 5"), ("lr: 3e-4", "lr: 2e-4"), ("arms:\n", "arms:\n  new: {train.epochs: 7}\n")]
)
def test_a_recipe_of_other_settings_is_refused(
    change: tuple[str, str], searched: tuple[Path, SearchPlan, Recipe], data_root: Path, tmp_path: Path, fer: Fer
) -> None:
    name = write(tmp_path, STUDY.replace(*change))
    write_recipe(recipe_path(name, load_study(name), Choice()), searched[2])
    called = fer("ablate", *options(tmp_path, data_root), "--recipe", "--plan")
    assert called.code == 2
    assert "made for other settings of arm" in called.err or "arm 'new' is missing" in called.err
    assert "search again with: fer search" in called.err


def test_bad_calls_are_one_line(tmp_path: Path, data_root: Path, fer: Fer) -> None:
    write(tmp_path)
    called = fer("ablate", *options(tmp_path, data_root), "--recipe", "--plan")
    assert (called.code, "make one with: fer search" in called.err) == (2, True)
    called = fer("ablate", *options(tmp_path, data_root), "--split", "holdout", "--recipe", "--plan")
    assert called.err.strip().endswith("--data ck48 --split holdout")
    assert fer("search", "--study", "feature-fusion", "--data-root", data_root).code == 2
    assert fer("search", *options(tmp_path, data_root), "--profile", "papr", "--plan").code == 2
    write(tmp_path, STUDY.replace("[0.1, 0.2]", "[0.1, 1.2]"))
    called = fer("search", *options(tmp_path, data_root), "--plan")
    assert called.code == 2
    assert "search.knobs.slow: learning.label_smoothing" in called.err
    assert called.err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_found_before_training(tmp_path: Path, data_root: Path, fer: Fer) -> None:
    write(tmp_path)
    (tmp_path / "recipes").write_text("a file")
    called = search(fer, tmp_path, data_root)
    assert called.code == 2
    assert "cannot write results there" in called.err
    assert "copy the study's YAML to a folder of yours" in called.err
    assert not (tmp_path / "results").exists()


def test_trials_stay_apart_from_runs(home: Path, data_root: Path, fer: Fer) -> None:
    compute = machine(data_root, home / "results")
    plan = plan_search(str(home / "tried.yaml"), Choice(), compute)
    item = plan.items[0]
    assert isinstance(item.folder.find_result(), Result)
    results = ["--results", str(home / "results")]
    row = fer("runs", *results, "--study", "tried", "--csv").out.splitlines()
    assert len(row) == 1 + len(plan.items)
    assert all(line.split(",")[5:8] == ["", "", ""] for line in row[1:])  # no test scores
    shown = fer("show", item.run_id, *results)
    assert shown.code == 0
    assert "Confusion on the validation part" in shown.out
    compared = fer("diff", item.run_id, plan.items[1].run_id, *results)
    assert compared.code == 0
    assert "a trial of fer search is not tested" in compared.out
    used = fer("predict", item.run_id, home / "tried.yaml", *results)
    assert (used.code, "a trial of fer search, which is not tested" in used.err) == (2, True)
    again = fer("rerun", item.run_id, *results, "--data-root", data_root)
    assert (again.code, "bit-equal" in again.err) == (0, True)
    rebuilt = replace(plan, items=[replace(one, fingerprint="other") for one in plan.items])
    assert describe_other_builds(rebuilt, home / "results") == ""


def test_a_damaged_trial_is_not_a_result(home: Path, data_root: Path) -> None:
    compute = machine(data_root, home / "results")
    plan = plan_search(str(home / "tried.yaml"), Choice(), compute)
    folder: RunFolder = plan.items[0].folder
    text = folder.file("result.json").read_text()
    folder.file("result.json").write_text(text.replace('"val": {', '"test": {'))
    assert folder.status == "damaged"
    with pytest.raises(ResultsError, match="its state is damaged"):
        conclude(plan)


def test_parts_of_a_run_are_named(data_root: Path, tmp_path: Path) -> None:
    data = DataConfig(name="ck48", classes=["happy", "surprise"], image_size=24)
    loaded = load_data(RunConfig(data=data), machine(data_root, tmp_path))[0]
    assert isinstance(loaded, datamodule.RunData)
    assert list(loaded.parts) == list(loaded.samples) == ["train", "val", "test"]
