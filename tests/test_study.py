"""Study files: every shipped one expands; every mistake is one line that says where and how to mend it."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from fer_cli.config import METHODS, SCHEMA, DataConfig, LearningConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.errors import StudyError
from fer_cli.models.build import BACKBONES, build_model
from fer_cli.study import Choice, expand, load_study, study_names
from tests.conftest import STUDY, Called


@pytest.mark.parametrize("name", study_names())
def test_every_study_expands_in_every_profile(name: str) -> None:
    study = load_study(name)
    for profile in {*study.profiles, "small"}:
        runs = expand(study, Choice(profile))
        points = {run.at for run in runs}
        assert len(runs) == len(study.arms) * len(study.seeds) * len(points)
        assert len({run.config.run_id("data") for run in runs}) == len(runs)
        baseline = [run for run in runs if run.arm == study.report.against]
        assert all(not run.differs for run in baseline)


def test_scn_cs_is_the_grid_of_the_issue() -> None:
    runs = expand(load_study("scn-cs"), Choice())
    assert len(runs) == 5 * 3 * 5
    assert all(run.config.data.fold == run.seed == run.config.seed for run in runs)
    differs = {run.arm: dict(run.differs) for run in runs}
    assert differs == {
        "CNN": {},
        "SCN": {"learning.method": "scn"},
        "CS": {"learning.method": "cs"},
        "SCN-CS": {"learning.method": "scn-cs"},
        "SCN-CS+RR": {"learning.method": "scn-cs", "learning.cs_loss": "literal+rr"},
    }


def test_seeds_beyond_the_folds_start_another_partition() -> None:
    runs = expand(load_study("leakage"), Choice(seeds=(0, 4, 5, 11)))
    places = {run.seed: (run.config.data.fold, run.config.data.split_seed) for run in runs}
    assert places == {0: (0, 0), 4: (4, 0), 5: (0, 1), 11: (1, 2)}


def test_names_in_settings_are_the_names_in_the_code() -> None:
    assert set(get_args(ModelConfig.model_fields["backbone"].annotation)) == set(BACKBONES)
    assert set(get_args(LearningConfig.model_fields["method"].annotation)) == set(METHODS)


def changed(tmp_path: Path, old: str, new: str) -> Path:
    assert old in STUDY
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace(old, new))
    return path


MISTAKES = [
    ("learning.method: scn-cs", "learning.metod: scn-cs", ["learning.metod: unknown key", "did you mean learning.method"]),
    ("epochs: 2", "epoch: 2", ["train.epoch: unknown key", "did you mean train.epochs"]),
    ("epochs: 2", "epochs: two", ["train.epochs", "valid integer", "'two'"]),
    ("epochs: 2", 'epochs: "2"', ["train.epochs", "valid integer"]),
    ("question:", "questions:", ["questions: unknown key", "did you mean question"]),
    ("against: CNN", "against: CN", ["no arm 'CN'", "did you mean CNN"]),
    ("columns: data.label_noise", "columns: data.noise", ["report.columns", "not in grid"]),
    ("[0.0, 0.3]", "[0.0, 1.0]", ["data.label_noise", "less than 1"]),
    ("[0.0, 0.3]", "[0.0, -0.1]", ["data.label_noise", "greater than or equal to 0"]),
    ("[0.0, 0.3]", "[0.3, 0.3]", ["grid.data.label_noise", "none twice"]),
    ("{learning.method: scn-cs}", "{}", ["arm 'SCN-CS' changes nothing", "arm 'CNN'"]),
    ("{learning.method: scn-cs}", "{learning.method: ce}", ["arm 'SCN-CS' changes nothing"]),
    ("{learning.method: scn-cs}", "{learning.beta: 0.5}", ["learning.beta has no effect"]),
    ("{learning.method: scn-cs}", "{learning.method: cs, learning.relabel_margin: 0.3}", ["relabel_margin has no effect"]),
    ("{learning.method: scn-cs}", "{data.label_noise: 0.2}", ["data.label_noise", "set by grid"]),
    ("{learning.method: scn-cs}", "{seed: 3}", ["seed: follows from seeds"]),
    ("{learning.method: scn-cs}", "{learning: 3}", ["learning"]),
    ("name: ck48,", "name: ck48, name: x,", ["'name' stands twice", "line 5"]),
    ("seeds: [0, 1, 2]", "seeds: [0, 0]", ["none twice"]),
    ("seeds: [0, 1, 2]", "seeds: []", ["seeds", "at least 1"]),
    ("folds: 3", "folds: 13", ["12 subjects cannot fill 13 subject folds"]),
    ("CNN: {}", "CNN: {}\n  1: {}", ["key 1 is not a name"]),
    ("name: tiny", "name: other", ["must be the file's name, 'tiny'"]),
    ("grid: {data.label_noise: [0.0, 0.3]}", "grid: {data.label_noise: [0.0, 0.3]", ["not valid YAML"]),
]


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES)
def test_mistakes_are_one_line_with_place_and_cure(
    fer: Callable[..., Called], tmp_path: Path, data_root: Path, old: str, new: str, words: list[str]
) -> None:
    path = changed(tmp_path, old, new)
    results = tmp_path / "results"
    called = fer("ablate", "--study", path, "--data-root", data_root, "--results", results)
    assert called.code == 2
    assert called.err.count("\n") == 1, called.err
    assert all(word in called.err for word in words), called.err
    assert not results.exists()


def test_unknown_study_arm_profile_and_seeds(fer: Callable[..., Called], study_file: Path, data_root: Path) -> None:
    cases = [
        (["--study", "scn-sc"], "did you mean scn-cs"),
        (["--study", study_file, "--only", "SCNCS"], "did you mean SCN-CS"),
        (["--study", study_file, "--profile", "large"], "no profile 'large'"),
        (["--study", study_file, "--seeds", "many"], "--seeds many"),
        (["--study", study_file, "--seeds", "0"], "at least one seed"),
        (["--study", study_file, "--data", "nothing"], "data set 'nothing' is not built"),
        (["--study", study_file, "--precision", "fp8"], "--precision"),
        (["--study", study_file, "--device", "cuda"], "no CUDA GPU"),
    ]
    for arguments, words in cases:
        called = fer("ablate", *arguments, "--data-root", data_root)
        assert called.code == 2, arguments
        assert called.err.count("\n") == 1, called.err
        assert words in called.err


def test_exponents_are_numbers(tmp_path: Path) -> None:
    path = changed(tmp_path, "batch_size: 32", "batch_size: 32, lr: 1e-3")
    assert {run.config.train.lr for run in expand(load_study(str(path)), Choice())} == {1e-3}


def test_run_id_depends_on_settings_and_data_but_not_on_spelled_out_defaults() -> None:
    plain = RunConfig().run_id("abc")
    assert RunConfig(data=DataConfig(folds=5), seed=0).run_id("abc") == plain
    assert RunConfig().run_id("abd") != plain
    assert RunConfig(train=TrainConfig(epochs=31)).run_id("abc") != plain


@pytest.mark.parametrize("key", [key for key in RunConfig().flat() if key not in {"data.name", "seed"}])
def test_every_setting_is_read_by_some_code(key: str) -> None:
    from fer_cli.places import PACKAGE

    name = key.rsplit(".", 1)[-1]
    readers = [path for path in PACKAGE.rglob("*.py") if f".{name}" in path.read_text()]
    assert readers, f"{key} is read nowhere"


def test_unknown_profile_of_a_study_without_profiles() -> None:
    with pytest.raises(StudyError, match="no profile 'paper'"):
        expand(load_study("leakage"), Choice("paper"))


DEFAULTS = {2: "9be2a483ac34"}
"""SCHEMA -> hash of every default setting and of the small network's size."""


def test_changed_defaults_raise_the_schema() -> None:
    """A run's identity leaves defaults out: whoever changes one must raise SCHEMA, or old results would pass for new."""
    size = sum(p.numel() for p in build_model(ModelConfig(), 7, attention=False).parameters())
    content = f"{RunConfig().model_dump_json()} {size}"
    assert hashlib.sha256(content.encode()).hexdigest()[:12] == DEFAULTS[SCHEMA]
