"""The files of figures: formats, the same bytes each time, palettes, unknown formats; ranks drawn only where they hold."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from sklearn.metrics import confusion_matrix

from fer_cli.analysis.activity import Column
from fer_cli.analysis.figures import maps_figure
from fer_cli.config import Compute
from fer_cli.drawing import COLOURS, COLUMN, DPI, Words, copy_figure, page, reduce_colours, save
from fer_cli.errors import StudyError
from fer_cli.formats import figure_files, parse_formats, use_formats
from fer_cli.judge import Weighed
from fer_cli.plan import Plan, make_plan
from fer_cli.report.collect import collect
from fer_cli.report.compared import compare_arms
from fer_cli.report.differences import FEW, Panel, difference_panels, differences_figure, value_range
from fer_cli.report.doubts import Doubts, Place
from fer_cli.report.ranks import rank_study, ranks_figure
from fer_cli.stats import NotTestable, Ranks
from fer_cli.stats.scores import Spread
from fer_cli.study import Choice
from tests.conftest import STUDY, Called
from tests.fakes import fake_result
from tests.pictures import overlaps
from tests.test_figures import FLAT, fake_runs, scales_of


def drawn(title: str = "a $1 title") -> Figure:
    figure = page(COLUMN, 1.0, Words(title, ["note"], (), ["foot"]))
    figure.subplots().plot([1, 2, 3], [1, 3, 2], marker="o")
    return figure


def test_formats_in_use_are_written_and_have_the_same_bytes_each_time(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        with use_formats(("svg", "pdf", "png")):
            path = save(drawn(), tmp_path / f"{name}.png")
            assert figure_files(path) == [tmp_path / f"{name}.{one}" for one in ("png", "svg", "pdf")]
            contents.append([file.read_bytes() for file in figure_files(path)])
    assert contents[0] == contents[1]
    png, svg, pdf = contents[0]
    assert b"CreationDate" not in pdf and b"/Type3" not in pdf and pdf.startswith(b"%PDF")
    assert b"a $1 title</text>" in svg and b"<dc:date>" not in svg
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "P" and image.width == pytest.approx(COLUMN * DPI, abs=1)
        assert image.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    with use_formats(("svg",)):
        copy_figure(tmp_path / "a.png", tmp_path / "c.png")
    assert (tmp_path / "c.svg").read_bytes() == svg and not (tmp_path / "c.pdf").exists()
    save(drawn(), tmp_path / "d.png")
    assert sorted(path.name for path in tmp_path.glob("d.*")) == ["d.png"], "only while they are in use"


def test_few_colours_are_kept_exactly_and_many_come_close() -> None:
    few = np.random.default_rng(0).integers(0, 3, (40, 50, 3), dtype=np.uint8) * 100
    reduced = reduce_colours(Image.fromarray(few))
    assert reduced.mode == "P"
    np.testing.assert_array_equal(np.asarray(reduced.convert("RGB")), few)
    ramp = np.add.outer(np.arange(256), np.arange(256))[..., None] // np.array([2, 3, 4])
    many = Image.fromarray(ramp.astype(np.uint8))
    assert many.getcolors(COLOURS) is None
    assert np.abs(np.asarray(reduce_colours(many).convert("RGB"), int) - ramp).max() <= 16


def test_formats_by_name(fer: Callable[..., Called]) -> None:
    assert parse_formats("pdf, .SVG") == ("pdf", "svg")
    with pytest.raises(StudyError, match="unknown format pfd; did you mean pdf"):
        parse_formats("pfd")
    with pytest.raises(StudyError, match="at least one of png, pdf, svg"):
        parse_formats(" ,")


def test_colour_bars_and_names_of_maps_do_not_collide() -> None:
    faces = [np.full((12, 12), 90, np.uint8)] * 6
    labels = ["focused", "distracted", "curious", "confused", "tired", "happy"]
    maps = np.random.default_rng(0).random((6, 4, 4), dtype=np.float32)
    pairs = [Column(f"stage {s}\n{when}", maps, 0.0, 1.75, overlay=False) for s in (1, 2, 3, 4) for when in ("in", "out")]
    gates = [Column(f"stage {s}\n.025–.927", maps, 0.02, 0.93, overlay=True) for s in (1, 2, 3, 4)]
    for columns, bars in ((pairs, 4), (gates, 4)):
        figure = maps_figure(Words("resnet18-small, soft-threshold: attention maps", foot=["run a"]), faces, labels, columns)
        assert overlaps(figure) == []
        assert len(figure.axes) == 6 * (len(columns) + 1) + bars


@pytest.fixture
def planned(tmp_path: Path, compute: Compute) -> Callable[..., Plan]:
    def plan(text: str, seeds: tuple[int, ...]) -> Plan:
        path = tmp_path / "tiny.yaml"
        path.write_text(text)
        return make_plan(str(path), Choice(seeds=seeds), compute)

    return plan


def test_differences_are_those_of_the_tables_on_one_axis(planned: Callable[..., Plan]) -> None:
    text = STUDY.replace("against: CNN", "against: CNN, pairs: [[CNN, SCN-CS]]")
    plan = planned(text, (0, 1, 2))
    fake_runs(plan, lost=(0,))
    cells = collect(plan)
    panels = list(difference_panels(scales_of(plan), cells))
    assert [panel.title for panel in panels] == ["accuracy, difference to CNN", "accuracy, further differences"]
    assert [label for label, _ in panels[0].rows] == ["SCN-CS, label noise 0.3"], "incomplete cells have none"
    (found,) = (one.number for _, one in panels[0].rows)
    assert found.value == pytest.approx(-0.1)
    figure = differences_figure(plan, panels, value_range(panels), ["foot"])
    limits = {axes.get_xlim() for axes in figure.axes}
    assert len(limits) == 1
    assert overlaps(figure) == []
    drawn = replace(
        panels[0].rows[0][1], weighed=Weighed(Spread(0.01, 1e-4, 2.0, 3), "paired t-test", lambda n: (1.0, n - 1))
    )
    low, high = drawn.number.interval or (0.0, 0.0)
    wide = Panel("t", [("a", drawn)] * (FEW + 1))
    margin = 5 * (high - low)
    assert value_range([wide]) == pytest.approx((100 * low - margin, 100 * high + margin))


def test_differences_on_one_published_part_are_drawn_with_the_intervals_of_the_tables(planned: Callable[..., Plan]) -> None:
    """All seeds are tested on the same images, whose answers the interval comes from."""
    plan = planned(FLAT.replace("folds: 3", "split: official"), (0, 1, 2))
    classes, random = ["angry", "happy"], np.random.default_rng(0)
    labels = np.array(classes * 60)
    for item in plan.items:
        flip = random.random(120) < (0.2 if item.run.arm == "CNN" else 0.3)
        answers = np.where(flip, labels[::-1], labels)
        item.folder.path.mkdir(parents=True, exist_ok=True)
        rows = {"part": "test", "sample": [f"{n:03d}" for n in range(120)], "label": labels, "predicted": answers}
        pd.DataFrame(rows).to_parquet(item.folder.file("predictions.parquet"), index=False)
        sizes = {"classes": classes, "split_hash": "s", "test_hash": "t"}
        counts = {"test": confusion_matrix(labels, answers, labels=classes).tolist()}
        item.folder.write_result(fake_result(item.run_id, item.run.config, counts, fingerprint=item.fingerprint, data=sizes))
    cells, scales = collect(plan), scales_of(plan)
    drawn = {(panel.title, label): one.number for panel in difference_panels(scales, cells) for label, one in panel.rows}
    (table,) = (one.number for one in compare_arms(cells, scales, "accuracy", tested=True))
    assert drawn["accuracy, difference to CNN", "SCN-CS"] == table
    assert table.interval is not None and table.interval[0] < table.value < table.interval[1]


def test_differences_of_flagged_arms_are_marked(planned: Callable[..., Plan]) -> None:
    plan = planned(FLAT, (0, 1, 2))
    fake_runs(plan)
    scales = replace(scales_of(plan), doubts=Doubts(leaky={("SCN-CS", ()): "why"}))
    (label,) = {label for panel in difference_panels(scales, collect(plan)) for label, _ in panel.rows}
    assert label == "SCN-CS ‡"


THREE = FLAT.replace(
    "  SCN-CS: {learning.method: scn-cs}\n",
    "  SCN-CS: {learning.method: scn-cs}\n  A long name of it: {model.dropout: 0.1}\n",
)
SIMULATED = """
name: tiny
question: Which arm is best on simulated sequences?
base: {sequences: {simulation: interaction}}
seeds: [0, 1, 2]
arms:
  CNN: {sequences.model: knn}
  SCN-CS: {sequences.model: naive-bayes}
  A long name of it: {sequences.model: tree}
report: {against: CNN}
"""


def ranked(plan: Plan, **doubts: dict[Place, str]) -> tuple[list[str], Ranks | NotTestable]:
    return rank_study(replace(scales_of(plan), doubts=Doubts(**doubts)), collect(plan))  # type: ignore[arg-type]


def test_mean_ranks_are_drawn_where_blocks_are_independent(planned: Callable[..., Plan]) -> None:
    """Seeds that simulate anew are; folds are not, nor seeds on one published part. Upper bounds are left out."""
    seeds = tuple(range(8))
    one_part = THREE.replace("folds: 3", "split: official")
    for text, why in ((THREE, "overlap"), (one_part, "all seeds were tested on one part")):
        plan = planned(text, seeds)
        fake_runs(
            plan, value=lambda arm, _, seed: {"CNN": 0.9, "SCN-CS": 0.8}.get(arm, 0.7 + 0.03 * (seed % 2)) - 0.01 * seed
        )
        assert why in str(ranked(plan)[1])
    plan = planned(SIMULATED, seeds)
    fake_runs(plan, value=lambda arm, _, seed: {"CNN": 0.9, "SCN-CS": 0.8}.get(arm, 0.7) - 0.01 * seed)
    arms, found = ranked(plan)
    assert isinstance(found, Ranks)
    assert (arms, found.means, found.test.n) == (["CNN", "SCN-CS", "A long name of it"], (1.0, 2.0, 3.0), 8)
    figure = ranks_figure(plan, collect(plan), arms, found)
    told = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
    assert "n = 8 blocks (seeds)" in told and f"CD = {found.critical:.2f}" in told
    assert overlaps(figure) == []
    assert str(ranked(plan, leaky={("SCN-CS", ()): "why"})[1]) == "SCN-CS is leaky"
    bounded = planned(SIMULATED.replace("against: CNN", "against: CNN, bounds: [SCN-CS]"), seeds)
    assert ranked(bounded)[0] == ["CNN", "A long name of it"] and "2 arms" in str(ranked(bounded)[1])
    assert "n = 2 blocks" in str(ranked(planned(SIMULATED, (0, 1)))[1])
