"""Figures of a study: the numbers behind them by hand, what they say of missing seeds, and that nothing is cut off."""

import csv
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from fer_cli.config import Compute
from fer_cli.drawing import (
    COLUMN,
    DPI,
    PALETTE,
    band,
    format_seeds,
    key_columns,
    row_shares,
    share_text,
    split_evenly,
    wrap_text,
)
from fer_cli.learning.figures import confusion_figure, curves_figure, draw_run
from fer_cli.outputs import read_history
from fer_cli.plan import Plan, make_plan
from fer_cli.report.canvas import arm_styles, point_label
from fer_cli.report.collect import Cell, collect, history_file
from fer_cli.report.confusion import confusion_panels, count_recognised, select_cells, sum_confusion
from fer_cli.report.curves import curves_at, draw_curves, group_trainings, joint_figure, stability
from fer_cli.report.doubts import Doubts
from fer_cli.report.figures import draw_study
from fer_cli.report.levels import Level, draw_levels, group_arms, level_points, levels_figure, numeric_levels
from fer_cli.report.sides import Scales
from fer_cli.results import Scores
from fer_cli.study import Choice
from tests.conftest import STUDY
from tests.fakes import fake_result, leave
from tests.pictures import overlaps

CLASSES = ["angry", "happy", "contempt"]
FLAT = STUDY.replace("grid: {data.label_noise: [0.0, 0.3]}\n", "").replace("{columns: data.label_noise, ", "{")
Values = Callable[[str, float, int], float]


def steady(arm: str, level: float, seed: int) -> float:
    return 0.9 - level / 2 + 0.01 * seed - 0.1 * (arm != "CNN")


def scales_of(plan: Plan) -> Scales:
    """Return what weighs a plan's cells, without red flags or data sets."""
    results = plan.items[0].folder.results
    return Scales(plan, Doubts(), Compute(data_root=results / "none", results=results, threads=1))


def fake_runs(plan: Plan, value: Values = steady, lost: tuple[int, ...] = (), epochs: int = 4) -> None:
    """Write results and histories of all runs but the ``lost`` ones; accuracy rises by 0.1 an epoch to its last value."""
    for place, item in enumerate(plan.items):
        if place in lost:
            continue
        level = dict(item.run.at).get(plan.study.report.columns or "", 0.0) or 0.0
        score = value(item.run.arm, level if level < 1 else 0.0, item.run.seed)
        hits = round(100 * score)
        searched = item.run.config.learning.cs_threshold == "val_search"
        item.folder.path.mkdir(parents=True, exist_ok=True)
        for step, margin in enumerate((0.1, 0.2, 0.3) if searched else (None,)):
            name = "history.csv" if margin is None else f"history-margin-{margin}.csv"
            write_history(item.folder.file(name), score - step, epochs)
        made = fake_result(
            item.run_id,
            item.run.config,
            {"test": [[hits, 100 - hits, 0], [100 - hits, hits, 0], [0, 0, 0]]},
            trained_by=item.trained and item.trained.run_id,
            fingerprint=item.fingerprint,
            selection={"epoch": 2 + item.run.seed, "relabel_margin": 0.2},
            data={"classes": CLASSES},
        )
        leave(item.folder, made)


def write_history(path: Path, score: float, epochs: int) -> None:
    left = np.arange(epochs)[::-1]
    rows = {"epoch": np.arange(epochs) + 1, "train/accuracy": score - 0.1 * left - 0.2, "val/accuracy": score - 0.1 * left}
    pd.DataFrame(rows | {"train/loss": 1.0 + left, "val/loss": 0.5 + left}).to_csv(path, index=False)


@pytest.fixture
def planned(tmp_path: Path, compute: Compute) -> Callable[..., Plan]:
    """Return a function that plans a study given as YAML."""

    def plan(text: str = STUDY, **choice: tuple[int, ...]) -> Plan:
        path = tmp_path / "tiny.yaml"
        path.write_text(text)
        return make_plan(str(path), Choice(**choice), compute)

    return plan


def names(files: list[Path]) -> list[str]:
    return [path.name for path in files]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def stability_rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "curves.csv").read_text().splitlines()))


def test_band_by_hand_cut_to_the_shortest_seed() -> None:
    mean, sd = band([np.array([0.1, 0.3, 0.9]), np.array([0.3, 0.5])])
    assert mean.tolist() == pytest.approx([0.2, 0.4])
    assert sd is not None
    assert sd.tolist() == pytest.approx([0.02**0.5, 0.02**0.5])
    assert band([np.array([0.5, 0.6])])[1] is None


def test_stability_by_hand_is_of_the_last_half() -> None:
    calm, wild = np.array([0.0, 9.0, 0.5, 0.5]), np.array([0.0, 9.0, 0.4, 0.6])
    assert stability([calm, wild]) == pytest.approx((0.0 + 0.02**0.5) / 2)
    assert stability([np.array([0.1, 0.2, 0.4])]) == pytest.approx(0.02**0.5)
    assert stability([np.array([0.1, 0.2])]) is None


def test_a_searched_run_shows_the_history_of_its_chosen_margin(planned: Callable[..., Plan]) -> None:
    plan = planned(FLAT.replace("{learning.method: scn-cs}", "{learning.method: scn-cs, learning.cs_threshold: val_search}"))
    fake_runs(plan)
    found = {curve.arm: curve for curve in curves_at(plan, collect(plan), [()])}
    assert [values[-1] for values in found["SCN-CS"].values("val/accuracy")] == pytest.approx([-0.2, -0.19, -0.18])
    assert [values[-1] for values in found["CNN"].values("val/accuracy")] == pytest.approx([0.9, 0.91, 0.92])
    files = {item.run.arm: history_file(item, item.folder.result()).name for item in plan.items}
    assert files == {"CNN": "history.csv", "SCN-CS": "history-margin-0.2.csv"}


def test_curves_draw_mean_and_band_and_tell_training_from_validation(planned: Callable[..., Plan]) -> None:
    plan = planned(FLAT)
    fake_runs(plan, lost=(1,))
    figure = joint_figure(plan, [()], curves_at(plan, collect(plan), [()]), ["foot"])
    accuracy, loss = figure.axes
    training, validation, chosen = (line for line in accuracy.get_lines() if line.get_color() == PALETTE[0])
    assert np.asarray(validation.get_ydata()).tolist() == pytest.approx([61, 71, 81, 91])
    assert np.asarray(training.get_ydata()).tolist() == pytest.approx([41, 51, 61, 71])
    assert (validation.get_linestyle(), training.get_linestyle()) == ("-", "--")
    assert (np.asarray(chosen.get_xdata()).tolist(), np.asarray(chosen.get_ydata()).tolist()) == ([3], [81])
    heights = [area.get_paths()[0].vertices[:, 1] for area in accuracy.collections]
    assert {round(float(high.max()), 6) for high in heights} >= {72.0, 92.0}, "71 ± 1 and 91 ± 1"
    assert np.asarray(loss.get_lines()[1].get_ydata()).tolist() == [3.5, 2.5, 1.5, 0.5]
    for told in (
        "CNN, n = 3 seeds",
        "SCN-CS, n = 2 of 3 seeds",
        "validation (solid)",
        "training (dashed)",
        "chosen by highest validation macro-F1",
    ):
        assert told in words(figure), told


def test_one_seed_has_no_band(planned: Callable[..., Plan]) -> None:
    plan = planned(FLAT, seeds=(0,))
    fake_runs(plan)
    figure = joint_figure(plan, [()], curves_at(plan, collect(plan), [()]), [])
    assert not figure.axes[0].collections
    assert "CNN, n = 1 seed\n" in words(figure) + "\n"


def test_trainings_shared_by_levels_are_drawn_once(planned: Callable[..., Plan], tmp_path: Path) -> None:
    grid = "{corrupt.noise: [0.0, 0.1, 0.3], data.label_noise: [0.0, 0.2]}"
    plan = planned(STUDY.replace("{data.label_noise: [0.0, 0.3]}", grid))
    fake_runs(plan, lost=(0,))
    groups = group_trainings(plan)
    assert [[dict(at)["corrupt.noise"] for at in group] for group in groups] == [[0.0, 0.1, 0.3]] * 2
    assert names(draw_curves(plan, collect(plan), tmp_path)) == ["curves.png", "curves-2.png", "curves.csv"]
    rows = stability_rows(tmp_path)
    assert [(row["arm"], row["corrupt.noise"], row["data.label_noise"], row["n"]) for row in rows] == [
        ("CNN", "all", "0.0", "3"),
        ("SCN-CS", "all", "0.0", "3"),
        ("CNN", "all", "0.2", "3"),
        ("SCN-CS", "all", "0.2", "3"),
    ], "the seed lost at one level has the same training at another"
    assert {float(row["val_accuracy_sd"]) for row in rows} == {0.070711}
    assert {(row["epochs"], row["from_epoch"]) for row in rows} == {("4", "3")}


def test_of_a_large_grid_the_first_point_is_drawn_and_all_are_listed(planned: Callable[..., Plan], tmp_path: Path) -> None:
    plan = planned(STUDY.replace("[0.0, 0.3]", "[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]"), seeds=(0, 1))
    fake_runs(plan)
    assert names(draw_curves(plan, collect(plan), tmp_path)) == ["curves.png", "curves.csv"]
    assert len(stability_rows(tmp_path)) == 2 * 7


def test_confusion_numbers_by_hand() -> None:
    counts = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    assert row_shares(counts)[:2].tolist() == [[0.8, 0.2, 0.0], [0.1, 0.9, 0.0]]
    assert np.isnan(row_shares(counts)[2]).all()
    assert (count_recognised(counts, 0.8), count_recognised(counts, 0.9)) == (2, 1)
    assert [share_text(x) for x in (0.0, 0.004, 0.126, 0.996, 1.0, float("nan"))] == ["", "<1", "13", ">99", "100", "–"]
    results = {seed: fake_result(counts={"test": [[seed, 1], [0, 2]]}) for seed in (3, 4)}
    assert sum_confusion(Cell("CNN", (), [3, 4, 5], results)).tolist() == [[7, 2], [0, 4]]


def test_a_matrix_says_what_it_rests_on(planned: Callable[..., Plan]) -> None:
    plan = planned(FLAT)
    fake_runs(plan, lambda arm, _, seed: [0.8, 0.9, 1.0][seed] if arm == "CNN" else 0.5, lost=(1, 3))
    figure = confusion_panels(plan, list(collect(plan).values()))
    ours, other = (axes for axes in figure.axes)
    assert ours.get_title() == "CNN\nn = 3 seeds, accuracy 90.00 ± 10.00 %\nrecall ≥ 80 % in 2, ≥ 90 % in 2 of 2 classes"
    assert other.get_title() == "SCN-CS\nn = 1 of 3 seeds, accuracy 50.00 %\nrecall ≥ 80 % in 0, ≥ 90 % in 0 of 2 classes"
    assert [text.get_text() for text in ours.texts] == ["90", "10", "", "10", "90", "", "–", "–", "–"]
    assert [label.get_text() for label in ours.get_yticklabels()] == CLASSES
    assert ours.images[0].get_array().tolist()[0] == pytest.approx([0.9, 0.1, 0.0])


def test_which_cells_get_a_matrix(planned: Callable[..., Plan]) -> None:
    plan = planned()
    fake_runs(plan, lost=(0, 4, 8))
    levels = select_cells(plan, collect(plan))
    assert [[(cell.arm, cell.at[0][1]) for cell in level] for level in levels] == [
        [("SCN-CS", 0.0)],
        [("CNN", 0.3), ("SCN-CS", 0.3)],
    ], "an arm without any result is left out"
    plan = planned(STUDY.replace("[0.0, 0.3]", "[0.0, 0.1, 0.2, 0.3]"))
    assert len(select_cells(plan, collect(plan))) == 1


def test_level_points_by_hand_and_hollow_where_seeds_are_missing(planned: Callable[..., Plan]) -> None:
    plan = planned(STUDY.replace("[0.0, 0.3]", "[0.3, 0.0, 0.2]"))
    fake_runs(plan, lost=(1,))
    cells = collect(plan)
    assert level_points(plan, cells, "CNN", (), "accuracy") == [
        Level(0.0, pytest.approx(0.91), pytest.approx(0.01), 3, 3),
        Level(0.2, pytest.approx(0.81), pytest.approx(0.01), 3, 3),
        Level(0.3, pytest.approx(0.76), pytest.approx(0.01), 3, 3),
    ]
    points = level_points(plan, cells, "SCN-CS", (), "macro_f1")
    assert points[2] == Level(0.3, pytest.approx(0.665), pytest.approx(0.01 * 2**-0.5), 2, 3)
    figure = levels_figure(
        plan, cells, {(): {arm: level_points(plan, cells, arm, (), "accuracy") for arm in plan.study.arms}}
    )
    for told in ("CNN, n = 3 seeds", "SCN-CS, n = 2–3 of 3 seeds", "hollow", "label noise (share of training labels)"):
        assert told in words(figure), told
    (axes,) = figure.axes
    marks = [line for line in axes.get_lines() if line.get_marker() == "s"]
    assert [line.get_markerfacecolor() for line in marks] == [PALETTE[1], PALETTE[1], "white"]
    assert axes.get_xticks().tolist() == [0.0, 0.2, 0.3]


def test_every_panel_of_arms_shows_the_baseline() -> None:
    assert group_arms(list("abcde"), "c") == [list("abcde")]
    assert group_arms(list("abcdef"), "c") == [list("abcd"), list("cef")]
    assert group_arms(list("abcdef"), "f") == [list("abcf"), list("def")]
    assert group_arms(list("abcdef"), "not drawn") == [list("abc"), list("def")]


def test_levels_need_three_numbers(planned: Callable[..., Plan], tmp_path: Path) -> None:
    for grid, column, numbers in (
        ("data.label_noise: [0.0, 0.3]", "data.label_noise", [0.0, 0.3]),
        ("corrupt.jpeg: [null, 90, 10, 40]", "corrupt.jpeg", [10, 40, 90]),
        ("model.dropout: [0.0, 0.1, 0.2]", None, []),
    ):
        text = STUDY.replace("data.label_noise: [0.0, 0.3]", grid)
        plan = planned(text.replace("columns: data.label_noise, ", f"columns: {column}, " if column else ""), seeds=(0,))
        assert numeric_levels(plan) == numbers
        fake_runs(plan)
        assert names(draw_levels(plan, collect(plan), tmp_path)) == (["levels.png"] if len(numbers) > 2 else [])


def test_panels_of_further_factors_share_a_scale_that_shows_all(planned: Callable[..., Plan]) -> None:
    grid = "{corrupt.noise: [0.0, 0.1, 0.3], data.label_noise: [0.0, 0.2, 0.4, 0.6]}"
    plan = planned(
        STUDY.replace("{data.label_noise: [0.0, 0.3]}", grid).replace("columns: data.label_noise", "columns: corrupt.noise")
    )
    fake_runs(plan)
    for item in plan.items:  # the further factor lowers the scores, panel by panel
        result = item.folder.result()
        hits = round(100 * (result.metrics["test"]["accuracy"] - float(dict(item.run.at)["data.label_noise"])))
        counts = [[hits, 100 - hits, 0], [100 - hits, hits, 0], [0, 0, 0]]
        scores = Scores.of(np.array(counts), CLASSES)
        leave(item.folder, result.model_copy(update={"metrics": {"test": scores}}))
    cells = collect(plan)
    others = [(("data.label_noise", value),) for value in (0.0, 0.2, 0.4, 0.6)]
    panels = {other: {arm: level_points(plan, cells, arm, other, "accuracy") for arm in plan.study.arms} for other in others}
    figure = levels_figure(plan, cells, panels)
    for axes, other in zip(figure.axes, others, strict=True):
        assert axes.get_title(loc="left") == f"label noise {other[0][1]}"
        low, high = axes.get_ylim()
        drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()])
        assert low <= drawn.min() and drawn.max() <= high <= 101


def test_a_study_is_drawn_in_order_as_images_and_old_figures_go(planned: Callable[..., Plan], tmp_path: Path) -> None:
    plan, folder = planned(STUDY.replace("[0.0, 0.3]", "[0.0, 0.2, 0.3]")), tmp_path / "figures"
    assert draw_study(scales_of(plan), collect(plan), folder) == []
    fake_runs(plan)
    folder.mkdir()
    for name in ("confusion-7.png", "curves-9.png", "mine.png"):
        (folder / name).write_bytes(b"old")
    files = draw_study(scales_of(plan), collect(plan), folder)
    drawn = ["curves.png", "curves-2.png", "curves-3.png", "curves.csv", "confusion.png", "confusion-2.png", "levels.png"]
    drawn.append("differences.png")
    assert names(files) == drawn
    assert {path.name for path in folder.iterdir()} == {*drawn, "mine.png"}
    for path in files:
        if path.suffix == ".png":
            image = matplotlib.image.imread(path)
            assert 400 < image.shape[0] < 1700 and image.shape[1] == pytest.approx(COLUMN * DPI, abs=1)
            assert 0.5 < image[..., :3].mean() < 0.99, "mostly paper, yet something is on it"


def test_colours_stay_with_their_arms_when_others_have_no_result(planned: Callable[..., Plan]) -> None:
    plan = planned(FLAT)
    fake_runs(plan, lost=(0, 2, 4))
    (curve,) = curves_at(plan, collect(plan), [()])
    figure = joint_figure(plan, [()], [curve], [])
    assert curve.arm == "SCN-CS"
    assert {line.get_color() for line in figure.axes[0].get_lines()} == {arm_styles(plan)["SCN-CS"][0]} == {PALETTE[1]}


def test_no_text_is_cut_off_or_overlaps_another(
    planned: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of figure is a column wide, with letters of at least 7 points and at most five lines in a panel."""
    many = "arms:\n" + "".join(
        f"  {name}: {{model.dropout: 0.{place}}}\n"
        for place, name in enumerate(("CNN", "An arm with a long name (re-implemented by others)", "C", "D $x_1$", "E", "F"))
    )
    text = STUDY.replace("arms:\n  CNN: {}\n  SCN-CS: {learning.method: scn-cs}\n", many).replace("0.3]", "0.2, 0.3]")
    plan = planned(text.replace("model.dropout: 0.0", ""), seeds=(0, 1))
    fake_runs(plan)
    figures: dict[str, Figure] = {}
    for module in ("curves", "confusion", "levels", "differences"):
        monkeypatch.setattr(
            f"fer_cli.report.{module}.save", lambda figure, path: figures.setdefault(path.name, figure) and path
        )
    draw_study(scales_of(plan), collect(plan), tmp_path)
    assert len(figures) == 6 + 6 + 1 + 1
    for name in ("curves.png", "confusion.png", "levels.png", "differences.png"):
        figure = figures[name]
        assert figure.get_figwidth() == pytest.approx(COLUMN)
        told = " ".join(text.get_text() for text in sorted(figure.texts, key=lambda text: -text.get_position()[1]))
        assert f"{plan.title}; data set ck48, fingerprint {plan.items[0].fingerprint}; seeds 0, 1" in told
        found = overlaps(figure)
        assert name == "confusion.png" or not found
        assert all(map(is_tick, found))
        lines = [len([line for line in axes.get_lines() if len(np.asarray(line.get_xdata())) > 2]) for axes in figure.axes]
        assert max(lines) <= 5


def is_tick(pair: tuple[str, str]) -> bool:
    """Return whether two texts are names of classes, which are slanted: their boxes overlap, their letters do not."""
    return set(pair) <= set(CLASSES)


def test_small_words() -> None:
    assert (format_seeds([0, 1, 2]), format_seeds([0, 2]), format_seeds([4])) == ("seeds 0–2", "seeds 0, 2", "seed 4")
    assert point_label((("corrupt.noise", 0.1), ("model.dropout", 0.2))) == "image noise 0.1, dropout 0.2"
    assert split_evenly(list(range(7)), 6) == [[0, 1, 2, 3], [4, 5, 6]]
    assert split_evenly([], 6) == []
    assert wrap_text("", 1, 9) == [] and wrap_text("cross-entropy", 9, 9) == ["cross-entropy"]
    assert key_columns(["a", "b", "c", "d"], 100) == 4
    assert key_columns(["a" * 50, "b" * 50], 5) == 1


# figures of a run


def test_pictures_of_a_run_show_its_numbers(tmp_path: Path) -> None:
    result = fake_result(counts={"test": [[3, 1, 0], [0, 5, 0], [0, 0, 0]]}, selection={"epoch": 3})
    figure = confusion_figure(result)
    (counts,) = figure.axes
    texts = {text.get_position(): text.get_text() for text in counts.texts if text.get_text()}
    assert texts == {(0, 0): "75", (1, 0): "25", (1, 1): "100", (0, 2): "–", (1, 2): "–", (2, 2): "–"}
    assert [label.get_text() for label in counts.get_yticklabels()] == result.data.classes
    assert "accuracy 88.89 %" in figure.texts[0].get_text()
    write_history(tmp_path / "history.csv", 0.9, 4)
    history = read_history(tmp_path / "history.csv")
    accuracy, loss = curves_figure(result, [history]).axes
    for axes, quantity, scale in ((accuracy, "accuracy", 100), (loss, "loss", 1)):
        train, val, chosen = (np.asarray(line.get_xydata()) for line in axes.lines)
        for part, line in (("train", train), ("val", val)):
            np.testing.assert_allclose(line, [[row["epoch"], scale * row[f"{part}/{quantity}"]] for row in history])
        assert set(chosen[:, 0]) == {3}


def test_a_run_that_was_not_trained_by_epochs_has_no_curves(tmp_path: Path) -> None:
    result = fake_result()
    draw_run(tmp_path, result)
    assert names(list(tmp_path.iterdir())) == ["confusion.png"]
    write_history(tmp_path / "history.csv", 0.9, 4)
    draw_run(tmp_path, result)
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".png"}
    assert (tmp_path / "curves.png").stat().st_size > 1000
