"""Runs on simulated sequences: real images through a real recogniser, arms that share them, and simulations without any."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from fer_cli.ablate import run_plan
from fer_cli.analysis import ANALYSES
from fer_cli.blocks import Figure, Note, Table, cell_text
from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig, SequencesConfig
from fer_cli.interaction import decoding
from fer_cli.interaction.baum_welch import Fit
from fer_cli.interaction.states import VALENCE
from fer_cli.learning.sequences import read_predictions, smoke_simulation
from fer_cli.plan import Plan, make_plan
from fer_cli.report import make_report
from fer_cli.results import SIMULATED
from fer_cli.study import Choice, load_study, study_names
from fer_cli.tasks.sequences import describe_sequences
from tests.conftest import Called
from tests.studies import where

Fer = Callable[..., Called]
NOTHING = Compute(data_root=Path("none"), results=Path("none"))
"""Analyses of simulations open neither data nor networks."""

STUDY = """
name: talk
question: Does a chain of emotions help?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25, split: subject}
  model: {backbone: cnn3}
  train: {epochs: 12, batch_size: 32, weight_average: 0.5}
  sequences: {simulation: emotions, sequences: 4, steps: 8}
seeds: [0, 1]
arms:
  frames: {sequences.decode: frame}
  smoothed: {sequences.decode: smoother}
  learned: {sequences.learn: true, sequences.fit_sequences: 20, sequences.incentive: true, sequences.fading: true}
  upper bound: {sequences.perfect: true}
  driven: {sequences.factors: 3}
  strongly driven: {sequences.factors: 3, sequences.tau: 2.0}
  disturbed: {sequences.factors: -3}
grid: {sequences.generator: [chain, dwell]}
report: {columns: sequences.generator, metrics: [accuracy], against: frames, analyses: [decoding, incentives]}
"""


@pytest.mark.parametrize(("classes", "start"), [([], "contempt"), (["happy", "sad"], "sad")], ids=["all", "some"])
def test_a_simulation_is_tried_with_the_classes_of_its_set(classes: list[str], start: str, compute: Compute) -> None:
    """Contempt is a class of the set, but none that an octant shows."""
    data, sequences = {"name": "ck48", "classes": classes}, {"simulation": "emotions", "start": start}
    smoke_simulation(RunConfig.model_validate({"data": data, "sequences": sequences}), compute)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> tuple[Plan, str]:
    """The study above, run, and its report."""
    folder = tmp_path_factory.mktemp("talk")
    path = folder / "talk.yaml"
    path.write_text(STUDY)
    results = folder / "results"
    compute = Compute(data_root=data_root, results=results, device="cpu", precision="fp32", threads=1, track=False)
    plan = make_plan(str(path), Choice(), compute)
    assert run_plan(plan, compute).complete
    return plan, make_report(str(path), compute, figures=True).markdown


def cell(plan: Plan, arm: str, generator: str = "chain", seed: int = 0) -> Any:
    return next(
        item
        for item in plan.items
        if (item.run.arm, item.run.at, item.run.seed) == (arm, (("sequences.generator", generator),), seed)
    )


def test_one_recogniser_per_seed_serves_every_arm(done: tuple[Plan, str]) -> None:
    plan, _ = done
    assert len(plan.first) == 2
    assert {item.start.run_id for item in plan.items if item.start} == {item.run_id for item in plan.first}
    assert all(item.folder.status == "done" for item in plan.everything)


def test_arms_of_a_seed_decode_the_same_images_and_seeds_differ(done: tuple[Plan, str]) -> None:
    plan, _ = done
    hashes = {
        (arm, seed): cell(plan, arm, seed=seed).folder.result().data.test_hash
        for arm in ("frames", "smoothed", "learned", "upper bound")
        for seed in (0, 1)
    }
    assert len(set(hashes.values())) == 2
    first, second = (
        pd.read_parquet(cell(plan, arm).folder.file("trace.parquet"))[["sequence", "step", "image", "truth"]]
        for arm in ("frames", "learned")
    )
    pd.testing.assert_frame_equal(first, second)
    assert first["image"].is_unique, "images are drawn without replacement"


def test_frames_are_the_recognisers_answers_and_the_bound_is_above(done: tuple[Plan, str]) -> None:
    plan, _ = done
    item = cell(plan, "frames")
    trace, test = pd.read_parquet(item.folder.file("trace.parquet")), read_predictions(item.start.folder, "test")
    answers = np.array(test.classes)[test.probabilities[trace["image"]].argmax(axis=1)]
    assert trace["predicted"].tolist() == answers.tolist()
    assert trace["truth"].tolist() == [test.labels[place] for place in trace["image"]]
    result = item.folder.result()
    assert result.metrics["test"]["accuracy"] == pytest.approx((trace["truth"] == answers).mean())
    assert result.metrics["test"].n == len(trace) == result.data.test
    for seed in (0, 1):
        assert cell(plan, "upper bound", seed=seed).folder.result().metrics["test"]["accuracy"] == 1.0


def test_no_test_image_fits_the_model(done: tuple[Plan, str], monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = done
    item = cell(plan, "learned")
    seen: list[np.ndarray] = []
    fit = decoding.fit

    def spy(initial: np.ndarray, transition: np.ndarray, emission: np.ndarray, observed: np.ndarray, **rest: Any) -> Fit:
        seen.append(observed.reshape(-1, observed.shape[-1]))
        return fit(initial, transition, emission, observed, **rest)

    monkeypatch.setattr(decoding, "fit", spy)
    validation, test = (read_predictions(item.start.folder, part) for part in ("val", "test"))
    decoding.simulate_and_decode(item.run.config.sequences, validation, test, 0)
    rows = {row.tobytes() for row in np.concatenate(seen)}
    assert rows <= {row.tobytes() for row in validation.probabilities}
    assert not rows & {row.tobytes() for row in test.probabilities}
    spoiled = decoding.Predictions(np.roll(test.probabilities, 1, axis=1), test.labels, test.classes)
    one, other = (
        decoding.simulate_and_decode(item.run.config.sequences, validation, part, 0).model for part in (test, spoiled)
    )
    assert (one.emission == other.emission).all() and (one.transition == other.transition).all()


def test_the_report_names_the_recogniser_and_calls_it_a_simulation(done: tuple[Plan, str]) -> None:
    _, report = done
    for words in (
        "SIMULATION: sequences of emotions",
        "which recognises the images of sequences, trained on the training part of each split",
        "sequences `dwell`: gamma-distributed",
        "Decoded steps, and what ECEM advises",
        "drawn again every 50 steps; in other arms, number of factors that act all the time: 3, −3 (negative: disturbances)",
        "split `subject`",
    ):
        assert words in report, words


def look(name: str, plan: Plan, folder: Path) -> tuple[dict[str, list[str]], list[Path]]:
    """The cells of an analysis's first table by row, and its figures."""
    found = ANALYSES[name](plan, NOTHING, folder)
    cells = {label: [cell_text(cell) for cell in row] for label, row in next(b for b in found if isinstance(b, Table)).rows}
    return cells, [block.path for block in found if isinstance(block, Figure)]


def test_incentives_are_timed_as_decoded_and_as_the_chain_predicts(done: tuple[Plan, str], tmp_path: Path) -> None:
    plan, report = done
    assert "Time to the target region" in report and "–: factors are redrawn" in report
    cells, figures = look("incentives", plan, tmp_path)
    assert [path.name for path in figures] == ["incentives.png", "expected-factors.png", "expected-disturbances.png"]
    arms = ("frames", "driven", "strongly driven", "disturbed")
    assert [cells[f"{arm}, generator chain"][1] for arm in arms] == ["–", "12", "3", "1"]
    end = {arm: float(cells[f"{arm}, generator chain"][2].replace("−", "-")) for arm in arms}
    assert end["disturbed"] < end["driven"] < end["strongly driven"]
    for arm, sign in (("strongly driven", 1), ("disturbed", -1)):
        seeds = []
        for seed in (0, 1):
            item = cell(plan, arm, seed=seed)
            trace = pd.read_parquet(item.folder.file("trace.parquet"))
            shares = {name: trace[f"gamma/{name}"] for name in read_predictions(item.start.folder, "val").classes}
            trace["valence"] = sum(share * VALENCE[name] for name, share in shares.items())
            means = trace.groupby("t_min")["valence"].mean()
            seeds.append(next((f"{minute:g}" for minute, value in means.items() if sign * value >= 0.4), "never"))
        assert cells[f"{arm}, generator chain"][0] == ", ".join(seeds)


@pytest.mark.parametrize("name", ["decoding", "incentives"])
def test_a_second_look_reads_no_trace(
    name: str, done: tuple[Plan, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, figures = look(name, done[0], tmp_path / "first")
    monkeypatch.delattr(pd, "read_parquet")
    second, again = look(name, done[0], tmp_path / "second")
    assert first == second
    assert [path.read_bytes() for path in figures] == [path.read_bytes() for path in again]


@pytest.mark.parametrize("name", [name for name in ANALYSES if name not in {"decoding", "incentives"}])
def test_an_analysis_of_other_runs_says_which_it_needs(name: str, done: tuple[Plan, str], tmp_path: Path) -> None:
    needed = {"intensity": "simulates tags", "categories": "simulates interaction"}.get(name, "trains a network on images")
    assert ANALYSES[name](done[0], NOTHING, tmp_path) == [Note(f"{name}: no finished run {needed}")]


def test_a_simulation_has_neither_data_nor_network(fer: Fer, tmp_path: Path) -> None:
    """It runs without any data root, draws nothing, and its table says what it is."""
    options = ["--study", "interaction-models", "--seeds", "1", "--results", str(tmp_path / "r")]
    ran = fer("ablate", *options, "--data-root", str(tmp_path / "none"), "--no-track")
    assert ran.code == 0, ran.err
    assert not (tmp_path / "none").exists()
    report = fer("report", *options, "--data-root", str(tmp_path / "none"), "--figures", "--formats", "png")
    assert report.code == 0, report.err
    assert "# interaction-models on simulation (small)" in report.out
    assert "SIMULATION: windows of emotions" in report.out and "guessing gives 0.071; published: values " in report.out
    assert "split `" not in report.out and "epochs" not in report.out
    frame = pd.read_csv(tmp_path / "r" / "tables" / "interaction-models-simulation-small.csv")
    assert set(frame["data"]) == set(frame["fingerprint"]) == {SIMULATED}
    assert "mean probability of the true tag".casefold() in report.out.casefold()
    lost = fer("ablate", *options, "--data", "ck48", "--plan")
    assert (lost.code, lost.err.count("\n")) == (2, 1)
    assert "data.name has no effect: a simulation of tags has no images and no network" in lost.err


def test_a_simulation_is_trained_again_with_the_same_bits(fer: Fer, compute: Compute, tmp_path: Path) -> None:
    study = {
        "name": "drawn",
        "question": "q?",
        "base": {"sequences.simulation": "interaction"},
        "arms": {"naive Bayes": {"sequences.model": "naive-bayes"}},
        "seeds": [0],
        "report": {"against": "naive Bayes"},
    }
    (tmp_path / "drawn.yaml").write_text(json.dumps(study))
    plan = make_plan(str(tmp_path / "drawn.yaml"), Choice(), compute)
    assert run_plan(plan, compute).complete
    again = fer("rerun", plan.items[0].run_id, "--results", compute.results, "--data-root", tmp_path / "none")
    assert again.code == 0, again.err
    assert "bit-equal: all " in again.err and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([None, None], "factors are a subset of the four, drawn again every 50 steps"),
        ([3], "number of factors that act all the time: 3"),
        ([0, 1, -1], "number of factors that act all the time: 0, 1, −1 (negative: disturbances)"),
        ([None, 4], "drawn again every 50 steps; in other arms, number of factors that act all the time: 4"),
    ],
)
def test_factors_are_described_as_they_act(counts: list[int | None], words: str) -> None:
    runs = [RunConfig(sequences=SequencesConfig(simulation="emotions", factors=count)) for count in counts]
    line = describe_sequences(runs)[-1]
    assert line.endswith(words) and ("again" in line) == (None in counts)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"decode": "frame", "simulation": "emotions", "learn": True}, "sequences.learn has no effect: frames"),
        ({"decode": "filter"}, "sequences.decode has no effect: sequences.simulation is not set"),
        ({"simulation": "tags", "decode": "filter"}, "sequences.decode has no effect: sequences.simulation is tags"),
        ({"simulation": "tag"}, "unknown name 'tag'; did you mean tags"),
        ({"simulation": "interaction", "model": "knm"}, "unknown name 'knm'; did you mean knn"),
        ({"simulation": "emotions", "factors": 5}, "less than or equal to 4"),
        ({"simulation": "emotions", "window": 30}, "sequences.window has no effect: sequences.simulation is emotions"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RunConfig.model_validate({"sequences": settings})
    assert words in str(caught.value)


def test_sequences_need_a_network_on_stills() -> None:
    sequences = SequencesConfig(simulation="emotions")
    with pytest.raises(ValidationError, match="requires a network on still images"):
        RunConfig(sequences=sequences, model=ModelConfig(backbone="teacher-action"))


def test_an_unknown_first_emotion_is_one_line(fer: Fer, tmp_path: Path, data_root: Path) -> None:
    path = tmp_path / "talk.yaml"
    path.write_text(STUDY.replace("steps: 8}", "steps: 8, start: hapy}"))
    called = fer("ablate", "--study", str(path), *where(data_root, tmp_path / "results"))
    assert (called.code, called.err.strip().count("\n")) == (2, 0)
    assert "no state 'hapy' to start from; did you mean happy" in called.err


def test_published_values_of_the_studies_are_those_of_the_paper() -> None:
    tables = load_study("interaction-models").paper.tables  # type: ignore[union-attr]
    averages = {
        arm: np.mean([row[arm] for name, row in tables["Table 3"].items() if name != "Average"]) for arm in ("KNN", "ECEM")
    }
    assert averages == pytest.approx({"KNN": 0.0631, "ECEM": 0.0735}, abs=5e-5)
    assert "ecem" in study_names() and DataConfig().name == "synth-basic"
