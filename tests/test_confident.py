"""Confident learning: out-of-fold predictions of the training part, what is removed or corrected, and the list of doubts."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from fer_cli.config import Compute, DataConfig, LearningConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from fer_cli.inventory.labels import Level, cut_ending
from fer_cli.learning.confident import clean_labels, describe_table, find_issues, predict_out_of_fold
from fer_cli.learning.train import train_run
from fer_cli.tasks import task_of
from tests.conftest import STUDY, Called
from tests.fakes import folder_at

Tiny = Callable[..., RunConfig]
DATA = DataConfig(name="ck48", image_size=24, folds=3, val_fraction=0.25, label_noise=0.2)


@pytest.fixture
def data(data_root: Path, tiny: Tiny) -> RunData:
    """Cartoons with a fifth of the training labels flipped, for confident learning of three folds."""
    return RunData(load_set(data_root, "ck48"), tiny(data=DATA, learning=chosen()))


def chosen(kind: str = "remove") -> LearningConfig:
    return LearningConfig.model_validate({"confident": kind, "confident_folds": 3})


def knowing(config: RunConfig, data: RunData, number: int) -> Callable[[RunData], np.ndarray]:
    """Return a predictor that gives the true class 0.9 and the others the rest."""

    def predict(other: RunData) -> np.ndarray:
        shares = np.full((len(other.train), 7), 0.1 / 6, np.float32)
        shares[np.arange(len(other.train)), other.true_labels] = 0.9
        return shares

    return predict


def test_each_image_is_predicted_by_the_fold_that_has_not_seen_its_person(data: RunData, tiny: Tiny) -> None:
    seen: dict[int, set[str]] = {}

    def fit(config: RunConfig, fold: RunData, number: int) -> Callable[[RunData], np.ndarray]:
        assert config.learning.confident == "none"
        seen[number] = set(fold.train.samples)
        people = set(fold.train_groups)

        def predict(other: RunData) -> np.ndarray:
            assert not seen[number] & set(other.train.samples)
            assert not people & set(other.train_groups)
            return np.eye(7)[np.full(len(other.train), number)]

        return predict

    config = data.config
    probabilities, folds = predict_out_of_fold(data, config, fit)
    assert np.array_equal(probabilities.argmax(1), folds)
    train = set(data.train.samples)
    for number, samples in seen.items():
        assert samples | set(data.train.samples[folds == number]) == train
        assert not samples & (set(data.val.samples) | set(data.test.samples))
    assert sorted(set(folds.tolist())) == [0, 1, 2]


def test_planted_flips_are_removed_or_put_right(data: RunData, tmp_path: Path) -> None:
    """Predictions that know the truth find all flips and nothing else, so what is left is right."""
    wrong = data.train.labels.numpy() != data.true_labels
    (tmp_path / "remove").mkdir(), (tmp_path / "correct").mkdir()
    kept, found = clean_labels(data.config, data, folder_at(tmp_path / "remove"), knowing)
    assert len(kept.train) == (~wrong).sum() and np.array_equal(kept.train.labels.numpy(), kept.true_labels)
    assert found == {
        "confident/suspect": pytest.approx(wrong.mean()),
        "confident/wrong_before": pytest.approx(wrong.mean()),
        "confident/recall": 1.0,
        "confident/precision": 1.0,
        "confident/auroc_wrong": 1.0,
        "confident/wrong_after": 0.0,
    }
    config = data.config.model_copy(update={"learning": chosen("correct")})
    right, _ = clean_labels(config, data, folder_at(tmp_path / "correct"), knowing)
    assert len(right.train) == len(data.train) and np.array_equal(right.train.labels.numpy(), data.true_labels)
    table = pd.read_parquet(tmp_path / "remove" / "confident.parquet")
    assert table["sample"].tolist() == data.train.samples.tolist()
    assert np.array_equal((table["label_given"] != table["label_true"]).to_numpy(), wrong)
    assert table["confidence"][wrong].max() == pytest.approx(0.1 / 6, abs=1e-6)

    def never(*_: object) -> Callable[[RunData], np.ndarray]:
        raise AssertionError("an interrupted run predicts its folds again")

    again, _ = clean_labels(data.config, data, folder_at(tmp_path / "remove"), never)
    assert again.train.samples.tolist() == kept.train.samples.tolist()


def test_a_class_without_any_trusted_label_is_one_line(
    data: RunData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_cli.learning.confident.find_issues", lambda labels, _: labels == 0)
    with pytest.raises(DataError, match="remove: all labels angry are suspect; use correct"):
        clean_labels(data.config, data, folder_at(tmp_path), knowing)


def test_issues_are_those_of_cleanlab_by_hand() -> None:
    """Class 0 is given to three clear images of class 1: with thresholds of the mean self-confidence they are the issues."""
    labels = np.array([0] * 20 + [1] * 20)
    shares = np.where(np.arange(40)[:, None] < 20, [0.9, 0.1], [0.1, 0.9])
    shares[:3] = [0.05, 0.95]
    assert np.flatnonzero(find_issues(labels, shares)).tolist() == [0, 1, 2]


def test_precision_and_recall_by_hand() -> None:
    table = pd.DataFrame(
        {
            "label_true": ["a", "a", "a", "b", "b"],
            "label_given": ["b", "b", "a", "b", "b"],
            "suspect": [True, False, True, False, False],
            "confidence": [0.1, 0.5, 0.2, 0.8, 0.9],
        }
    )
    found = describe_table(table)
    assert (found["confident/recall"], found["confident/precision"]) == (0.5, 0.5)
    assert found["confident/auroc_wrong"] == pytest.approx(5 / 6)
    level = Level("all", 1, table.assign(sample=list("vwxyz"), proposed=["a"] * 5))
    assert level.row() == ["all", "1", "5", "2", "2", "50.00", "50.00"]
    clean = Level("none", 1, level.judged.assign(label_given=level.judged["label_true"]))
    assert clean.row()[-2:] == ["–", "–"]


def test_doubts_are_ranked_by_share_of_runs_then_confidence() -> None:
    rows = [("x", True, 0.3), ("x", False, 0.5), ("y", True, 0.2), ("y", True, 0.4), ("z", True, 0.1), ("w", False, 0.0)]
    judged = pd.DataFrame(rows, columns=["sample", "suspect", "confidence"])
    judged = judged.assign(label_true="a", label_given="a", proposed="b")
    found = Level("none", 2, judged).suspects
    assert found[["sample", "suspect_in", "runs"]].to_numpy().tolist() == [["z", 1, 1], ["y", 2, 2], ["x", 1, 2]]
    assert found["confidence"].tolist() == [0.1, 0.3, 0.4]


@pytest.mark.parametrize(
    ("out", "stem"),
    [("a.csv", "a"), ("a.PNG", "a"), ("scn-0.2", "scn-0.2"), ("scn-0.2.csv", "scn-0.2"), ("v1.0/a", "v1.0/a")],
)
def test_only_the_ending_of_a_table_or_picture_is_cut(out: str, stem: str) -> None:
    assert cut_ending(Path(out)) == Path(stem)


def test_too_many_folds_and_idle_settings_are_one_line(data: RunData) -> None:
    many = data.config.model_copy(update={"learning": LearningConfig(confident="remove", confident_folds=40)})
    with pytest.raises(DataError, match=r"cannot fill 40 .*folds; lower learning.confident_folds"):
        predict_out_of_fold(data, many, knowing)
    with pytest.raises(ValidationError, match=r"learning\.confident_folds has no effect: confident is none"):
        RunConfig.model_validate({"learning": {"confident_folds": 3}})


def test_the_cost_counts_the_further_trainings(data: RunData) -> None:
    """Three folds train on two thirds each, so the arm takes as long as three trainings."""
    config = data.config
    plain = config.model_copy(update={"learning": LearningConfig()})
    assert task_of(config).cost(config) == 3 * task_of(plain).cost(plain)
    scn = {"method": "scn-cs", "cs_threshold": "val_search"}
    for further, trainings in (({}, 3), ({"confident": "remove", "confident_folds": 4}, 6)):  # of three margins
        searched = config.model_copy(update={"learning": LearningConfig.model_validate(scn | further)})
        assert task_of(searched).cost(searched) == trainings * task_of(plain).cost(plain)


@pytest.mark.parametrize("kind", ["remove", "correct"])
def test_doubts_of_a_relabelling_method_are_among_the_images_it_trained_on(
    kind: str, compute: Compute, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_cli.learning.confident.find_issues", lambda labels, _: np.arange(len(labels)) % 3 == 0)
    scn = {"method": "scn", "relabel_margin": 0.0, "relabel_from": 1.0}
    learning = LearningConfig.model_validate(scn | {"confident": kind, "confident_folds": 2})
    train = TrainConfig(epochs=1, batch_size=32, weight_average=0.5)
    folder, epochs = folder_at(tmp_path), list[int]()
    config = tiny(data=DATA, train=train, learning=learning, model=ModelConfig(backbone="cnn3"))
    train_run(config, compute, folder, lambda epoch, _: epochs.append(epoch))
    assert epochs == [1], "curves are those of the last training, not of the folds"
    judged, doubts = pd.read_parquet(folder.file("confident.parquet")), pd.read_csv(folder.file("suspects.csv"))
    kept = judged[~judged["suspect"] | (kind == "correct")].set_index("sample")
    labels = kept["proposed"].where(kept["suspect"], kept["label_given"])
    assert len(doubts) > 0
    assert doubts["given"].tolist() == labels[doubts["sample"]].tolist()


CLEANED = "  cleaned: {learning.confident: correct, learning.confident_folds: 2}"
ARM = STUDY.replace("  SCN-CS: {learning.method: scn-cs}", CLEANED)
ARM = ARM.replace("seeds: [0, 1, 2]", "seeds: [0]").replace("[0.0, 0.3]", "[0.3]").replace("columns: data.label_noise, ", "")


def test_without_cleanlab_the_extra_is_named(
    fer: Callable[..., Called], tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.yaml").write_text(ARM)
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "cleanlab" else there(name, *a))
    place = ["--study", tmp_path / "tiny.yaml", "--data-root", data_root, "--results", tmp_path / "results"]
    called = fer("ablate", *place)
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert "cleanlab is not installed; install it with: pip install 'fer-cli[cleanlab]'" in called.err


def test_a_study_is_trained_and_its_doubts_are_listed(fer: Callable[..., Called], tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(ARM)
    results = tmp_path / "results"
    place = ["--data-root", data_root, "--results", results]
    early = fer("data", "audit", "ck48", "--labels", tmp_path / "tiny.yaml", *place)
    assert (early.code, early.err.count("\n")) == (2, 1)
    assert "no finished run has out-of-fold predictions; first: fer ablate --study " in early.err
    assert early.err.rstrip().endswith("--data ck48 --only cleaned")
    called = fer("ablate", "--study", tmp_path / "tiny.yaml", *place, "--no-track", "--only", "cleaned")
    assert called.code == 0, called.err
    (table,) = results.glob("runs/*/confident.parquet")
    run = {path.name for path in table.parent.iterdir()}
    assert not [name for name in run if "-fold-" in name]
    judged = pd.read_parquet(table)
    assert judged["suspect"].any() and set(judged["fold"]) == {0, 1}
    listed = fer("data", "audit", "ck48", "--labels", tmp_path / "tiny.yaml", *place, "--out", tmp_path / "doubts.csv")
    assert listed.code == 0, listed.err
    wrong = int((judged["label_given"] != judged["label_true"]).sum())
    row = next(line for line in listed.out.splitlines() if "label_noise 0.3" in line).split("\t")
    assert row[1:5] == ["1", str(len(judged)), str(int(judged["suspect"].sum())), str(wrong)]
    doubts = pd.read_csv(tmp_path / "doubts.csv")
    assert len(doubts) == judged["suspect"].sum() and (doubts["given"] != "").all()
    assert not (tmp_path / "doubts.png").exists() and "no pictures" in listed.err
    odd = fer("data", "audit", "ck48", "--labels", tmp_path / "tiny.yaml", "--split", "random", *place)
    assert (odd.code, "--labels: cannot be combined" in odd.err) == (2, True)
    here = fer("data", "audit", "ck48", "--labels", tmp_path / "tiny.yaml", *place, "--out", ".")
    assert (here.code, "--out .: a folder; name a CSV to write" in here.err) == (2, True)
    lone = fer("data", "audit", "ck48", "--out", tmp_path / "x.csv", "--data-root", data_root)
    assert (lone.code, "--out: needs --labels STUDY" in lone.err) == (2, True)


def test_the_sheet_shows_the_most_suspect_images(drawn: Path, tmp_path: Path) -> None:
    from fer_cli.inventory.labels import draw_sheet

    faces = load_set(drawn, "synth-basic")
    samples = faces.manifest["sample"].tolist()[:3]
    suspects = pd.DataFrame({"sample": samples, "level": "noise none", "given": "happy", "proposed": "sad"})
    draw_sheet(faces, suspects.assign(confidence=0.1, suspect_in=1, runs=2), tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None and sheet.shape[0] > 96 and (sheet < 100).any()
