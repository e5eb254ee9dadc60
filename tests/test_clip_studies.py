"""Runs on clips from the command line to the tables: training, label correction with its review, analyses and pictures."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fer_cli.analysis import ANALYSES
from fer_cli.blocks import Note, Number, Table
from fer_cli.config import Compute
from fer_cli.plan import make_plan
from fer_cli.results import read_result
from fer_cli.stats import paired_difference
from fer_cli.study import Choice
from tests.conftest import STUDY as TINY
from tests.conftest import Called
from tests.fakes import fake_result, leave
from tests.studies import run_fer

Fer = Callable[..., Called]

STUDY = """
name: clips
question: Does a study on clips run?
base:
  data: {name: synth-lecture, image_size: 32, frames: 4, folds: 2, val_fraction: 0.25, label_noise: 0.2}
  model: {backbone: teacher-expression}
  train: {epochs: 2, batch_size: 8}
  learning: {method: scn, rank_form: gamma, relabel_from: 0.0, relabel_margin: 0.0}
seeds: [0]
arms:
  full: {}
  shuffled: {data.frame_order: shuffled, model.regions: important}
  mean: {model.temporal: mean, model.convlstm: false, model.regions: none, data.landmarks: fallback}
  middle: {data.frames: 1, model.temporal: last, model.convlstm: false}
  action: {model.backbone: teacher-action, model.cells: 2, learning.method: ce, learning.rank_form: sum}
report: {against: full, analyses: [attention]}
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with 56 clips of six frames, of eight people."""
    from fer_cli.synthetic.build import build_embedded

    root = tmp_path_factory.mktemp("clips")
    build_embedded("synth-lecture", root, {"images": 56, "subjects": 8, "size": 32, "frames": [6, 6]})
    return root


def where(root: Path, results: Path) -> list[Any]:
    return ["--data-root", root, "--results", results, "--no-track", "--precision", "fp32"]


@pytest.fixture(scope="module")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The study, trained: its YAML and its results."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "clips.yaml").write_text(STUDY)
    run_fer("ablate", "--study", folder / "clips.yaml", *where(clips, folder))
    return folder / "clips.yaml", folder


def results_of(folder: Path) -> dict[tuple[str, str], Any]:
    """Return the results by backbone and what sets their arm apart."""
    found = [read_result(path.parent) for path in folder.glob("runs/*/result.json")]
    return {(one.config.model.backbone, f"{one.config.data.frame_order} {one.config.model.temporal}"): one for one in found}


def test_every_arm_trains_and_counts_clips(trained: tuple[Path, Path]) -> None:
    found = results_of(trained[1])
    assert len(found) == 5
    assert all(result.kind == "clips" for result in found.values())
    full = found["teacher-expression", "given attention"]
    assert full.data.train + full.data.val + full.data.test == 56  # not 336 frames
    assert full.data.shared_subjects == 0
    assert full.data.flipped == round(0.2 * full.data.train)
    assert full.cost.multiply_adds > found["teacher-expression", "given mean"].cost.multiply_adds


def test_suspects_are_the_labels_that_the_network_doubts_and_can_be_given_back(
    trained: tuple[Path, Path], clips: Path, fer: Fer, tmp_path: Path
) -> None:
    full = results_of(trained[1])["teacher-expression", "given attention"]
    folder = trained[1] / "runs" / full.run_id
    suspects, labels = pd.read_csv(folder / "suspects.csv"), pd.read_parquet(folder / "labels.parquet").set_index("sample")
    assert list(suspects) == ["sample", "given", "proposed", "label", "alpha", "gap", "thumbnail"]
    assert len(suspects) > 0
    assert (suspects["given"] != suspects["proposed"]).all()
    assert (suspects["given"].to_numpy() == labels.loc[suspects["sample"], "label_given"].to_numpy()).all()
    assert suspects["gap"].is_monotonic_decreasing
    assert (suspects["gap"] > 0).all()
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in suspects["thumbnail"])

    kept = suspects.head(2)
    kept.to_csv(tmp_path / "reviewed.csv", index=False)
    text = STUDY.replace("label_noise: 0.2", f"noise_kind: file, noise_file: {tmp_path / 'reviewed.csv'}")
    (tmp_path / "clips.yaml").write_text(text)
    called = fer("ablate", "--study", tmp_path / "clips.yaml", "--only", "full", *where(clips, tmp_path / "again"))
    assert called.code == 0, called.err
    again = results_of(tmp_path / "again")["teacher-expression", "given attention"]
    corrected = pd.read_parquet(tmp_path / "again" / "runs" / again.run_id / "labels.parquet").set_index("sample")
    assert corrected.loc[kept["sample"], "label_given"].tolist() == kept["label"].tolist()
    others = corrected.drop(kept["sample"])
    assert (others["label_given"] == others["label_true"]).all()


def test_correction_is_scored_and_touches_training_labels_alone(trained: tuple[Path, Path]) -> None:
    full = results_of(trained[1])["teacher-expression", "given attention"]
    folder = trained[1] / "runs" / full.run_id
    labels, predictions = pd.read_parquet(folder / "labels.parquet"), pd.read_parquet(folder / "predictions.parquet")
    changed = labels["label_current"] != labels["label_given"]
    right = labels["label_current"] == labels["label_true"]
    clean = labels["label_given"] == labels["label_true"]
    scores = full.relabelled
    assert scores.changed == changed.sum() > 0
    assert scores.precision == pytest.approx(right[changed].mean())
    assert scores.recall == pytest.approx(right[~clean].mean())
    assert scores.broken == (clean & ~right).sum()
    assert not set(labels["sample"]) & set(predictions["sample"])


def test_the_report_names_frames_landmarks_and_attention(trained: tuple[Path, Path], clips: Path, fer: Fer) -> None:
    study, folder = trained
    called = fer("report", "--study", study, "--figures", "--formats", "png", "--data-root", clips, "--results", folder)
    assert called.code == 0, called.err
    text = next(folder.glob("tables/clips*.md")).read_text()
    for words in ("4 frames, evenly spaced", "its middle frame", "drawn once per clip", "landmarks `truth`", "broken"):
        assert words in text, words
    assert "Attention on the apex" in text
    assert "Region weights, boxes `au`" in text
    drawn = {path.name.split("-")[1] for path in folder.glob("figures/*/attention-*.png")}
    assert {"regions", "frames", "corrected"} <= drawn


def test_attention_without_training_lies_evenly_over_frames_of_equal_means() -> None:
    from fer_cli.analysis.strips import pick_frames

    assert pick_frames(4).tolist() == [0, 1, 2, 3]
    assert pick_frames(32).tolist() == [0, 4, 9, 13, 18, 22, 27, 31]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("data: {name: synth-lecture, frames: 8}", "data.frames has no effect: backbone resnet18-small takes still images"),
        ("model: {backbone: teacher-action}\n  data: {landmarks: dlib}", "data.landmarks has no effect"),
        ("model: {backbone: teacher-action, motion: true}\n  data: {frames: 1}", "nothing moves in a single frame"),
        (
            "model: {backbone: teacher-expression}\n  data: {frames: 1, frame_order: shuffled}",
            "data.frame_order has no effect",
        ),
        (
            "model: {backbone: teacher-action}\n  features: {blocks: [hog]}",
            "features.blocks: cannot be combined with a network",
        ),
        (
            "model: {backbone: teacher-action, adapt: batch-norm}\n  data: {test: ck48}",
            "model.adapt: cannot be combined with a",
        ),
    ],
)
def test_settings_of_clips_without_effect_are_one_line(settings: str, words: str, fer: Fer, tmp_path: Path) -> None:
    study = f"name: idle\nquestion: q?\nbase:\n  {settings}\narms: {{a: {{}}}}\nreport: {{against: a}}\n"
    (tmp_path / "idle.yaml").write_text(study)
    called = fer("ablate", "--study", tmp_path / "idle.yaml", "--plan", "--results", tmp_path)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert words in called.err


@pytest.mark.parametrize("name", ["efficiency", "embedding"])
def test_analyses_of_stills_leave_networks_on_clips_out(name: str, tmp_path: Path, compute: Compute) -> None:
    (tmp_path / "clips.yaml").write_text(STUDY)
    plan = make_plan(str(tmp_path / "clips.yaml"), Choice(), compute)
    for item in plan.items:
        leave(item.folder, fake_result(item.run_id, item.run.config, fingerprint=item.fingerprint))
    words = f"{name}, omitted because the network takes clips: full; shuffled; mean; middle; action"
    assert ANALYSES[name](plan, compute, tmp_path) == [Note(words)]


def test_pairs_are_judged_within_themselves(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from fer_cli.analysis.pairs import within_pairs

    classes = ["happy-quick", "happy-slow", "surprise-quick", "surprise-slow"]
    chances = np.array([[0.1, 0.2, 0.7, 0.0], [0.4, 0.3, 0.2, 0.1], [0.9, 0.0, 0.05, 0.04], [0.9, 0.0, 0.04, 0.05]])
    labels = ["happy-slow", "happy-slow", "surprise-quick", "surprise-quick"]
    table = pd.DataFrame({"part": "test", "label": labels} | {f"p_{name}": chances[:, k] for k, name in enumerate(classes)})
    table.to_parquet(tmp_path / "predictions.parquet")
    item = SimpleNamespace(folder=SimpleNamespace(file=lambda name: tmp_path / name))
    assert within_pairs(item) == {"happy": 0.5, "surprise": 0.5}  # type: ignore[arg-type]


def test_differences_of_pairs_have_the_interval_of_folds_and_no_value_without_all_seeds(
    tmp_path: Path, compute: Compute
) -> None:
    from fer_cli.analysis.pairs import pairs_analysis

    study = tmp_path / "tiny.yaml"
    study.write_text(TINY.replace("grid: {data.label_noise: [0.0, 0.3]}\n", "").replace("columns: data.label_noise, ", ""))
    plan = make_plan(str(study), Choice(), compute)
    classes, right = ["happy-quick", "happy-slow"], {"CNN": (5, 6, 4), "SCN-CS": (8, 7, 9)}
    labels = [name for name in classes for _ in range(5)]
    for item in plan.items:
        sizes = {"classes": classes, "split_hash": f"s{item.run.seed}", "train": 30, "val": 10, "test": 10}
        counts = {"test": [[5, 0], [0, 5]]}
        leave(item.folder, fake_result(item.run_id, item.run.config, counts, fingerprint=item.fingerprint, data=sizes))
        hits = np.arange(10) < right[item.run.arm][item.run.seed]
        share = np.where(hits == (np.array(labels) == classes[0]), 0.9, 0.1)
        shares = {f"p_{classes[0]}": share, f"p_{classes[1]}": 1 - share}
        frame = pd.DataFrame({"part": "test", "label": labels, "predicted": labels, "sample": range(10)} | shares)
        frame.to_parquet(item.folder.file("predictions.parquet"))
    (table,) = pairs_analysis(plan, compute, tmp_path)
    assert isinstance(table, Table)
    number = table.rows[1][1][-1]
    wanted = paired_difference([0.8, 0.7, 0.9], [0.5, 0.6, 0.4], 10 / 40)
    assert isinstance(number, Number) and number.interval == pytest.approx((wanted.low, wanted.high))
    assert table.notes[-1] == "intervals of differences: corrected resampled paired t-test; not tested"
    shutil.rmtree(next(item for item in plan.items if item.run.arm == "CNN").folder.path)
    (table,) = pairs_analysis(plan, compute, tmp_path)
    assert isinstance(table, Table) and table.rows[1][1][-1] == Number(None, unit="points")
    assert "CNN: 2 of 3 seeds are done" in table.notes[-1]


def test_the_cost_of_all_pairs_grows_faster_than_that_of_averages_unless_factored() -> None:
    from fer_cli.analysis.mixing import measure_costs

    found = measure_costs(1)
    adds, seconds = ({mode: [one[place] for one in costs] for mode, costs in found.items()} for place in (0, 1))
    assert adds["all_pairs_naive"][1] == 16 * adds["all_pairs_naive"][0]  # four times the frames
    assert adds["all_pairs"][1] < adds["avg_tanh"][1] < adds["all_pairs_naive"][1]
    assert seconds["all_pairs_naive"][1] > 3 * seconds["all_pairs"][1] > 0
