"""Every number of a report is recomputed to its last digit from ``predictions.parquet``, by other libraries.

The study has names that each format must escape, two arms that tie, and a run that is missing.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from scipy import stats
from scipy.special import gamma
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from statsmodels.stats.multitest import multipletests

from fer_cli.blocks import Number, Table, cell_text, is_bold
from fer_cli.config import Compute
from fer_cli.plan import Item, Plan, make_plan
from fer_cli.report import Written, make_report
from fer_cli.results import Cost, Seconds
from fer_cli.study import Choice
from tests.fakes import CLASSES, fake_result

TIED, TWIN, LOST = "50 % & [a_b] *x*", '| "q" #', "lost"
SKILLS = {"base": 0.6, TIED: 0.75, TWIN: 0.75, LOST: 0.7}
SEEDS, IMAGES = 5, 60
STUDY = f"""
name: printed
question: {json.dumps("50 % of _what_ & [who]" + chr(10) + "| second line *?*")}
base:
  data: {{name: ck48, image_size: 24, folds: 5, val_fraction: 0.25}}
  train: {{epochs: 2, batch_size: 32}}
seeds: [0, 1, 2, 3, 4]
arms:
  base: {{}}
  {json.dumps(TIED)}: {{train.weight_decay: 0.15}}
  {json.dumps(TWIN)}: {{train.weight_decay: 0.2}}
  lost: {{train.weight_decay: 0.3}}
claims:
  - {{text: "a tied arm wins", arm: {json.dumps(TIED)}, over: base, source: ours}}
report: {{against: base}}
"""


@dataclass(frozen=True)
class Made:
    """A report, and the predictions of the test part by arm and seed."""

    plan: Plan
    written: Written
    frames: dict[str, list[pd.DataFrame]]

    def table(self, title: str) -> Table:
        """Return the table whose title begins so."""
        return next(table for table in self.written.report.shown("html") if table.title.startswith(title))

    def rows(self, title: str) -> dict[str, list[str]]:
        """Return the cells of a table as text, by label."""
        return {label: [cell_text(cell) for cell in cells] for label, cells in self.table(title).rows}


def predict(item: Item) -> pd.DataFrame:
    """Return made-up predictions of a run, with probabilities; tied arms have the same."""
    random = np.random.default_rng([item.run.seed, round(100 * SKILLS[item.run.arm])])
    truth = np.arange(IMAGES) % len(CLASSES)
    right = random.random(IMAGES) < SKILLS[item.run.arm]
    answers = np.where(right, truth, (truth + random.integers(1, 3, IMAGES)) % len(CLASSES))
    shares = random.dirichlet(np.ones(len(CLASSES)), IMAGES)
    best = shares.argmax(1)
    rows = np.arange(IMAGES)
    shares[rows, best], shares[rows, answers] = shares[rows, answers].copy(), shares[rows, best].copy()
    frame = pd.DataFrame({"part": "test", "sample": [f"{i:03d}" for i in rows]})
    frame["label"], frame["predicted"] = (np.array(CLASSES)[codes] for codes in (truth, answers))
    return frame.assign(**{f"p_{name}": shares[:, code].astype(np.float32) for code, name in enumerate(CLASSES)})


def make(tmp_path: Path, compute: Compute, study: str = STUDY) -> Made:
    """Leave predictions and results of every run but one, and write the report."""
    path = tmp_path / "printed.yaml"
    path.write_text(study)
    plan = make_plan(str(path), Choice(), compute)
    frames: dict[str, list[pd.DataFrame]] = {arm: [] for arm in SKILLS}
    for item in plan.items:
        frame = predict(item)
        counts = pd.crosstab(frame["label"], frame["predicted"]).reindex(index=CLASSES, columns=CLASSES, fill_value=0)
        one_part = item.run.config.data.split == "official"
        data = {"train": 180, "val": 60, "test": IMAGES, "split_hash": "s" if one_part else f"s{item.run.seed}"}
        data["test_hash"] = data["split_hash"]
        cost = Cost(parameters=1000, multiply_adds=70, seconds=Seconds(total=9.0, training=4.0 + item.run.seed))
        made = fake_result(
            item.run_id,
            item.run.config,
            {"test": counts.to_numpy().tolist()},
            fingerprint=item.fingerprint,
            data=data,
            cost=cost,
        )
        item.folder.path.mkdir(parents=True)
        frame.to_parquet(item.folder.file(made.predictions))
        item.folder.write_result(made)
        frames[item.run.arm].append(frame)
    shutil.rmtree(next(item for item in plan.items if (item.run.arm, item.run.seed) == (LOST, 3)).folder.path)
    return Made(plan, make_report(str(path), compute), frames)


@pytest.fixture
def made(tmp_path: Path, compute: Compute) -> Made:
    return make(tmp_path, compute)


def scores(frames: list[pd.DataFrame], name: str) -> np.ndarray:
    """Return a metric by seed, by scikit-learn."""
    score = {
        "accuracy": lambda frame: accuracy_score(frame["label"], frame["predicted"]),
        "macro-F1": lambda frame: f1_score(frame["label"], frame["predicted"], average="macro"),
    }[name]
    return np.array([score(frame) for frame in frames])


def spread(values: np.ndarray) -> str:
    return f"{100 * values.mean():.2f} ± {100 * values.std(ddof=1):.2f}"


def signed(value: float) -> str:
    return f"{100 * value:+.2f}".replace("-", "−")


def calibrate(frame: pd.DataFrame) -> float:
    """Return the expected calibration error, bin by bin."""
    highest = frame[[f"p_{name}" for name in CLASSES]].max(axis=1).astype(float)
    right = (frame["label"] == frame["predicted"]).astype(float)
    error = 0.0
    for low in np.arange(15) / 15:
        inside = (highest >= low) & (highest < low + 1 / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - highest[inside].mean())
    return error


def test_scores_classes_calibration_and_costs(made: Made) -> None:
    for name in ("accuracy", "macro-F1"):
        for arm, (text,) in made.rows(f"{name} in %: mean ± sd, n = 5").items():
            assert text == ("– n = 4/5" if arm == LOST else spread(scores(made.frames[arm], name)))
    for place, title in enumerate(("precision", "recall", "F1")):
        for arm, texts in made.rows(f"{title} by class").items():
            frames = [frame for seed, frame in enumerate(made.frames[arm]) if arm != LOST or seed != 3]
            by_class = [
                precision_recall_fscore_support(frame["label"], frame["predicted"], labels=CLASSES)[place]
                for frame in frames
            ]
            ends = " n = 4/5" if arm == LOST else ""
            assert texts == [spread(np.array(values)) + ends for values in zip(*by_class, strict=True)]
    for arm, (text,) in made.rows("Calibration error").items():
        if arm != LOST:
            assert text == spread(np.array([calibrate(frame) for frame in made.frames[arm]]))
    assert made.rows("Model complexity")["base"] == ["1,000", "70", "6.0 [4.0, 8.0]", "5"]
    assert "majority-class baseline: 33.33" in made.table("accuracy in %").notes


def test_differences_p_and_detectable_differences(made: Made) -> None:
    """Corrected resampled t-test: variance times 1/5 + 60/240."""
    table = made.rows("accuracy, difference to base in points")
    base = scores(made.frames["base"], "accuracy")
    ps, texts = [], []
    for arm in (TIED, TWIN):
        deltas = scores(made.frames[arm], "accuracy") - base
        error = deltas.std(ddof=1) * np.sqrt(1 / 5 + 60 / 240)
        low, high = stats.t.interval(0.95, 4, deltas.mean(), error)
        ps.append(2 * stats.t.sf(abs(deltas.mean()) / error, 4))
        g = deltas.mean() / deltas.std(ddof=1) * gamma(2.0) / gamma(1.5) / np.sqrt(2.0)
        texts.append((f"{signed(deltas.mean())} [{signed(low)}, {signed(high)}]", f"{g:.2f}", error))
    adjusted = multipletests(ps, method="holm")[1]
    for arm, p, holm, (difference, g, error) in zip((TIED, TWIN), ps, adjusted, texts, strict=True):
        assert table[arm][:4] == [difference, f"{p:.4f}", f"{holm:.4f}", g]
        limit = stats.t.isf(0.025 / 2, 4)
        assert stats.nct.sf(limit, 4, float(table[arm][4]) / 100 / error) == pytest.approx(0.8, abs=0.002)
    assert table[LOST] == ["–"] * 5
    (claim,) = made.rows("Claims").values()
    assert claim[1:4] == [texts[0][0], "5", f"{ps[0]:.4f}"]
    assert made.table("accuracy, difference").title.endswith("in points, n = 5")
    answer = made.written.report.head[1]
    assert answer.startswith("The claim “a tied arm wins” is ") and texts[0][0] in answer and f"p = {ps[0]:.4f}" in answer
    f1 = scores(made.frames[TIED], "macro-F1") - scores(made.frames["base"], "macro-F1")
    low, high = stats.t.interval(0.95, 4, f1.mean(), f1.std(ddof=1) * np.sqrt(1 / 5 + 60 / 240))
    shown = made.rows("macro-F1, difference to base in points [95 % interval], not tested, n = 5")[TIED]
    assert shown == [f"{signed(f1.mean())} [{signed(low)}, {signed(high)}]"]


def test_differences_on_one_published_part_count_images_too(tmp_path: Path, compute: Compute) -> None:
    """The variance is that of seeds plus that of images, with Satterthwaite's degrees of freedom."""
    found = make(tmp_path, compute, STUDY.replace("folds: 5", "split: official"))
    right = {
        arm: np.array([frame["label"] == frame["predicted"] for frame in frames], float)
        for arm, frames in found.frames.items()
    }
    deltas = right[TIED] - right["base"]
    of_seeds, of_images = deltas.mean(1).var(ddof=1) / SEEDS, deltas.mean(0).var(ddof=1) / IMAGES
    freedom = (of_seeds + of_images) ** 2 / (of_seeds**2 / (SEEDS - 1) + of_images**2 / (IMAGES - 1))
    error = np.sqrt(of_seeds + of_images)
    low, high = stats.t.interval(0.95, freedom, deltas.mean(), error)
    p = 2 * stats.t.sf(abs(deltas.mean()) / error, freedom)
    row = found.rows("accuracy, difference to base in points")[TIED]
    assert row[:2] == [f"{signed(deltas.mean())} [{signed(low)}, {signed(high)}]", f"{p:.4f}"]
    assert "t-test over seeds and images" in found.table("accuracy, difference").notes[0]
    assert "the signed-rank test holds for these images alone" in found.table("accuracy in % by seed").notes[0]


def test_ties_are_both_bold_and_names_stay_text(made: Made) -> None:
    cells = {label: cells[0] for label, cells in made.table("accuracy in %: mean").rows}
    assert not any(is_bold(cell) for cell in cells.values()), "a column with missing seeds has no best"
    shutil.rmtree(next(item for item in made.plan.items if item.run.arm == LOST).folder.path, ignore_errors=True)
    tables = MarkdownIt("commonmark").enable("table").render(made.written.markdown)
    assert "<td>50 % &amp; [a_b] *x*</td>" in tables and "<td>| &quot;q&quot; #</td>" in tables
    assert "<em>" not in tables and made.written.markdown.count("\n- 50 % of ") == 1
    latex = made.written.files[2].read_text()
    assert r"50 \% \& [a\_b] *x*" in latex
    for table in made.written.report.tables:
        for cell in (cell for _, row in table.rows for cell in row if isinstance(cell, Number)):
            assert cell.text.replace("‡", "") in made.written.markdown


def test_tied_arms_are_both_bold(tmp_path: Path, compute: Compute) -> None:
    make(tmp_path, compute)
    path = tmp_path / "complete" / "printed.yaml"
    path.parent.mkdir()
    path.write_text(STUDY.replace("  lost: {train.weight_decay: 0.3}\n", ""))
    written = make_report(str(path), compute)
    table = next(table for table in written.report.tables if table.title.startswith("accuracy in %"))
    assert [label for label, cells in table.rows if is_bold(cells[0])] == [TIED, TWIN]
