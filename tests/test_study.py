"""Study files: every shipped one expands; every mistake is one line that says where and how to mend it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.config import (
    ATTENTION,
    BACKBONES,
    Compute,
    CorruptConfig,
    DataConfig,
    RunConfig,
    TrainConfig,
)
from fer_cli.data.cards import load_card
from fer_cli.data.manifest import expected_info
from fer_cli.errors import StudyError
from fer_cli.expand import expand
from fer_cli.plan import Plan, make_plan
from fer_cli.report.collect import Cell, Point
from fer_cli.report.protocol import corrupt_lines, noise_lines, seed_line, split_lines
from fer_cli.results import Result
from fer_cli.study import Choice, load_study, study_names
from fer_cli.synthetic.recipe import recipe_fingerprint
from tests.conftest import STUDY, Called
from tests.fakes import fake_result


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
    assert len(runs) == 8 * 5 * 5
    assert all(run.config.data.fold == run.seed == run.config.seed for run in runs)
    later = {"learning.relabel_from": 0.75}
    assert {run.arm: dict(run.differs) for run in runs} == {
        "CNN": {},
        "SCN weighting alone": {"learning.method": "scn", "learning.relabel": False},
        "SCN": {"learning.method": "scn", **later},
        "CS": {"learning.method": "cs"},
        "SCN-CS": {"learning.method": "scn-cs", **later},
        "SCN-CS (inverted threshold)": {"learning.method": "scn-cs", "learning.cs_threshold": "inverted", **later},
        "SCN-CS+RR": {"learning.method": "scn-cs", "learning.cs_loss": "literal+rr", **later},
        "confident learning": {"learning.confident": "remove", "learning.confident_folds": 3},
    }
    noise = {dict(run.at)["noise"]: (run.config.data.noise_kind, run.config.data.label_noise) for run in runs}
    assert noise == {
        "none": ("symmetric", 0.0),
        "symmetric 20 %": ("symmetric", 0.2),
        "symmetric 40 %": ("symmetric", 0.4),
        "uncertain 20 %": ("uncertain", 0.2),
        "uncertain 40 %": ("uncertain", 0.4),
    }


@pytest.mark.parametrize("name", study_names())
def test_no_claim_of_a_difference_stands_on_fewer_than_three_seeds(name: str) -> None:
    study = load_study(name)
    assert len(study.seeds) >= 3 or not any(claim.over for claim in study.claims)


def test_every_rung_of_the_multi_scale_network_takes_two_thousand_steps() -> None:
    for name in ("sge-bsconv", "sge-bsconv-settings"):
        for run in expand(load_study(name), Choice()):
            images, batch = run.config.data.max_images or 0, run.config.train.batch_size
            assert run.config.train.epochs * -(-images // batch) >= 2000


def test_seeds_beyond_the_folds_start_another_partition() -> None:
    runs = expand(load_study("leakage"), Choice(seeds=(0, 4, 5, 11)))
    places = {run.seed: (run.config.data.fold, run.config.data.split_seed) for run in runs}
    assert places == {0: (0, 0), 4: (4, 0), 5: (0, 1), 11: (1, 2)}


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
    ("against: CNN", "against: CNN, pairs: [[SCN-CS, SNC]]", ["report.pairs: no arm 'SNC'"]),
    ("against: CNN", "against: CNN, pairs: [[SCN-CS, CNN]]", ["report.pairs", "already compared"]),
    ("against: CNN", "against: CNN, pairs: [[SCN-CS]]", ["report.pairs.0", "at least 2"]),
    ("columns: data.label_noise", "columns: data.noise", ["report.columns", "in neither grid nor levels"]),
    ("[0.0, 0.3]", "[0.0, 1.0]", ["data.label_noise", "less than 1"]),
    ("[0.0, 0.3]", "[0.0, -0.1]", ["data.label_noise", "greater than or equal to 0"]),
    ("[0.0, 0.3]", "[0.3, 0.3]", ["grid.data.label_noise", "no duplicates"]),
    ("{learning.method: scn-cs}", "{}", ["arm 'SCN-CS' changes nothing", "arm 'CNN'"]),
    ("{learning.method: scn-cs}", "{learning.method: ce}", ["arm 'SCN-CS' changes nothing"]),
    ("{learning.method: scn-cs}", "{learning.beta: 0.5}", ["learning.beta has no effect"]),
    ("{learning.method: scn-cs}", "{learning.method: cs, learning.relabel_margin: 0.3}", ["relabel_margin has no effect"]),
    ("{learning.method: scn-cs}", "{data.label_noise: 0.2}", ["data.label_noise", "set by grid"]),
    ("{learning.method: scn-cs}", "{seed: 3}", ["seed: is set by seeds"]),
    ("{learning.method: scn-cs}", "{learning: 3}", ["learning"]),
    ("name: ck48,", "name: ck48, name: x,", ["duplicate key 'name'", "line 5"]),
    ("seeds: [0, 1, 2]", "seeds: [0, 0]", ["without duplicates"]),
    ("seeds: [0, 1, 2]", "seeds: []", ["seeds", "at least 1"]),
    ("folds: 3", "folds: 13", ["12 subjects cannot fill 13 subject folds"]),
    ("CNN: {}", "CNN: {}\n  1: {}", ["key 1 is not a name"]),
    ("name: tiny", "name: other", ["must equal the file's name, 'tiny'"]),
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
        (["--study", study_file, "--seeds", "0"], "seed 0 alone is --seeds 0,"),
        (["--study", study_file, "--seeds", "3,3"], "a seed is given twice"),
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
    handed_on = {taken for entry in (*BACKBONES.values(), *ATTENTION.values()) for taken in entry.takes}
    assert readers or name in handed_on, f"{key} is read nowhere"


def test_unknown_profile_of_a_study_without_profiles() -> None:
    with pytest.raises(StudyError, match="no profile 'paper'"):
        expand(load_study("leakage"), Choice("paper"))


def places(tmp_path: Path, split: str, seeds: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    path = changed(tmp_path, "folds: 3", f"split: {split}")
    runs = expand(load_study(str(path)), Choice(seeds=seeds))
    assert all(run.config.seed == run.seed for run in runs)
    return {run.seed: (run.config.data.fold, run.config.data.split_seed) for run in runs}


def test_what_a_seed_means_for_each_split(tmp_path: Path) -> None:
    seeds = (0, 4, 11)
    assert places(tmp_path, "subject", seeds) == {0: (0, 0), 4: (4, 0), 11: (1, 2)}
    assert places(tmp_path, "sequence", seeds) == {0: (0, 0), 4: (4, 0), 11: (1, 2)}
    assert places(tmp_path, "loso", seeds) == {0: (0, 0), 4: (4, 0), 11: (11, 0)}
    assert places(tmp_path, "holdout", seeds) == {0: (0, 0), 4: (0, 4), 11: (0, 11)}
    assert places(tmp_path, "official", seeds) == {0: (0, 0), 4: (0, 0), 11: (0, 0)}


def test_loso_with_more_seeds_than_people_is_one_line(
    fer: Callable[..., Called], tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(tmp_path, "folds: 3", "split: loso")
    called = fer("ablate", "--study", path, "--data-root", data_root, "--results", tmp_path / "r", "--seeds", "0,12")
    assert called.code == 2
    assert called.err.count("\n") == 1, called.err
    assert "fold 12 does not exist" in called.err and "0 to 11" in called.err


def test_files_are_pinned_by_their_content(tmp_path: Path) -> None:
    table = tmp_path / "parts.csv"
    table.write_text("sample,part\n")
    path = changed(tmp_path, "folds: 3", f"split: list, split_file: {table}")
    before = expand(load_study(str(path)), Choice())
    assert {run.config.data.split_sha256 for run in before} == {hashlib.sha256(table.read_bytes()).hexdigest()}
    table.write_text("sample,part\nx,test\n")
    after = expand(load_study(str(path)), Choice())
    assert not {run.config.run_id("data") for run in before} & {run.config.run_id("data") for run in after}
    path = changed(tmp_path, "folds: 3", f"split: list, split_file: {table}, split_sha256: '{'0' * 64}'")
    with pytest.raises(StudyError, match="has different content, with SHA-256"):
        expand(load_study(str(path)), Choice())
    table.unlink()
    with pytest.raises(StudyError, match=r"data.split_file: .*cannot be read"):
        expand(load_study(str(path)), Choice())


def test_a_grid_of_amounts_may_begin_at_nothing(tmp_path: Path) -> None:
    kind = "val_fraction: 0.25, noise_kind: asymmetric}\n  corrupt: {parts: [train, test], occluder: mask}"
    path = changed(tmp_path, "val_fraction: 0.25}", kind)
    path.write_text(path.read_text().replace("[0.0, 0.3]}", "[0.0, 0.3], corrupt.occlusion: [0.0, 0.2]}"))
    runs = expand(load_study(str(path)), Choice())
    plain = next(run.config for run in runs if dict(run.at) == {"data.label_noise": 0.0, "corrupt.occlusion": 0.0})
    assert (plain.data.noise_kind, plain.corrupt) == ("symmetric", CorruptConfig())
    full = next(run.config for run in runs if dict(run.at) == {"data.label_noise": 0.3, "corrupt.occlusion": 0.2})
    assert (full.data.noise_kind, full.corrupt.occluder, full.corrupt.parts) == ("asymmetric", "mask", ["train", "test"])
    path = changed(tmp_path, "{learning.method: scn-cs}", "{corrupt.occluder: mask}")
    with pytest.raises(StudyError, match=r"arm SCN-CS: corrupt.occluder has no effect"):
        expand(load_study(str(path)), Choice())


def cells_of(plan: Plan, **counts: int) -> dict[tuple[str, Point], Cell]:
    """Return the cells of a plan whose runs all found these counts of shared people and sequences."""
    groups: dict[tuple[str, Point], dict[int, Result]] = {}
    for item in plan.items:
        result = fake_result(item.run_id, item.run.config, data=counts)
        groups.setdefault((item.run.arm, item.run.at), {})[item.run.seed] = result
    return {(arm, at): Cell(arm, at, sorted(results), results) for (arm, at), results in groups.items()}


def planned(tmp_path: Path, compute: Compute, settings: str) -> Plan:
    return make_plan(str(changed(tmp_path, "folds: 3", settings)), Choice(), compute)


@pytest.mark.parametrize(
    ("settings", "counts", "words"),
    [
        ("folds: 3", {}, ["split `subject`: 3 stratified folds"]),
        ("split: loso", {}, ["split `loso`: one subject left out at a time"]),
        ("split: random", {"shared_subjects": 2}, ["split `random` LEAKS", "(50% of test subjects were trained on)"]),
        ("split: random", {"test_subjects": 0}, ["split `random` MAY LEAK", "the set does not name them"]),
        ("split: random", {}, ["split `random`: 5 stratified folds over images"]),
        (
            "split: holdout, test_fraction: 0.3",
            {"shared_sequences": 3, "test_sequences": 4, "shared_subjects": 4},
            ["split `holdout` LEAKS: repeated random hold-out of 30%", "(100% of test subjects and 75% of test sequences"],
        ),
        ("split: sequence", {"shared_subjects": 1}, ["split `sequence` LEAKS", "25% of test subjects"]),
        ("split: official", {}, ["split `official`: as published"]),
        ("split: official, test_part: public", {}, ["split `official` LEAKS: tested on the public part", "is not used"]),
    ],
)
def test_header_names_each_split_and_its_leak(
    tmp_path: Path, compute: Compute, settings: str, counts: dict[str, int], words: list[str]
) -> None:
    plan = planned(tmp_path, compute, settings)
    (line,) = split_lines(plan, cells_of(plan, **counts))
    assert all(word in line for word in words), line
    assert ("LEAK" in line) == any("LEAK" in word for word in words), line


def test_header_without_results_warns_of_what_may_leak(tmp_path: Path, compute: Compute) -> None:
    assert "MAY LEAK" in split_lines(planned(tmp_path, compute, "split: holdout"), {})[0]
    assert "LEAK" not in split_lines(planned(tmp_path, compute, "split: official"), {})[0]


def test_header_says_what_a_seed_means(tmp_path: Path, compute: Compute) -> None:
    for settings, words in (
        ("folds: 3", "fold s mod 3"),
        ("folds: 2", "fold s mod 2 of partition s div 2"),
        ("split: loso", "subject s left out"),
        ("split: holdout", "the s-th draw of the test part"),
        ("split: official", "the published parts (the same for all seeds)"),
    ):
        assert seed_line(planned(tmp_path, compute, settings)) == words


def test_header_names_each_corruption(tmp_path: Path, compute: Compute) -> None:
    path = changed(tmp_path, "val_fraction: 0.25}", "val_fraction: 0.25}\n  corrupt: {noise: 0.1, jpeg: 30, occluder: hand}")
    path.write_text(path.read_text().replace("[0.0, 0.3]}", "[0.0, 0.3], corrupt.occlusion: [0.0, 0.2, 0.4]}"))
    plan = make_plan(str(path), Choice(), compute)
    assert corrupt_lines(plan) == [
        "corrupted test images (not validation), identical in every run (seed 0): " + step
        for step in (
            "a hand at a uniform place over 0.2 or 0.4 of the area",
            "Gaussian noise of 0.1 of the range",
            "JPEG of quality 30",
        )
    ]
    assert noise_lines(plan) == [
        "label noise `symmetric`, training labels only: 0.3 of them replaced by another class, drawn uniformly"
    ]
    clean = planned(tmp_path, compute, "folds: 2")
    assert corrupt_lines(clean) == []


def test_header_names_noise_of_pairs_and_of_a_file(tmp_path: Path, compute: Compute) -> None:
    (line,) = noise_lines(planned(tmp_path, compute, "noise_kind: asymmetric"))
    assert "`asymmetric`" in line and "fear–surprise" in line and "if the set has both" in line
    table = tmp_path / "labels.csv"
    table.write_text("sample,label\n")
    path = changed(tmp_path, "folds: 3", f"noise_kind: file, noise_file: {table}")
    path.write_text(
        path.read_text().replace("grid: {data.label_noise: [0.0, 0.3]}", "").replace("columns: data.label_noise, ", "")
    )
    (line,) = noise_lines(make_plan(str(path), Choice(), compute))
    assert str(table) in line and hashlib.sha256(table.read_bytes()).hexdigest()[:12] in line


def test_a_plan_draws_nothing_and_names_the_runs_that_drawing_then_gives(fer: Callable[..., Called], tmp_path: Path) -> None:
    card = load_card("synth-basic")
    assert card.embedded is not None
    places = ["--data-root", tmp_path / "data", "--results", tmp_path / "results"]
    planned = fer("ablate", "--study", "demo", "--plan", *places)
    assert planned.code == 0
    assert (
        f"synth-basic is not built under {tmp_path / 'data'}; of its {card.embedded.images:,} images, each run draws"
        in planned.err
    )
    assert not (tmp_path / "data").exists()
    first = expected_info(tmp_path / "data", "synth-basic")
    assert first.fingerprint == recipe_fingerprint(card.embedded, card.classes)
    study, choice = load_study("demo"), Choice()
    ids = {run.config.run_id(first.fingerprint) for run in expand(study, choice)}
    assert ids == {line.split("\t")[0] for line in planned.out.splitlines()[1:]}


def test_a_setting_of_learning_in_base_reaches_the_arms_that_use_it_and_must_reach_one(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    text = (
        "name: some\nquestion: Is it used?\nseeds: [0]\n"
        "base: {data.name: ck48, data.split: subject, learning.relabel_from: 0.25}\n"
        "arms: {CNN: {}, SCN: {learning.method: METHOD}}\nreport: {against: CNN}\n"
    )
    path.write_text(text.replace("METHOD", "scn"))
    runs = expand(load_study(str(path)), Choice())
    assert {run.arm: run.config.learning.relabel_from for run in runs} == {"CNN": 0.5, "SCN": 0.25}
    path.write_text(text.replace("METHOD", "cs"))
    with pytest.raises(StudyError, match=r"learning\.relabel_from has no effect: no arm uses it"):
        expand(load_study(str(path)), Choice())
