"""Figures of the emotion model: of a column's width, with every state and curve."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fer_cli.analysis import emotion_figures, incentives
from fer_cli.analysis.decoding import show_transitions
from fer_cli.analysis.emotion_figures import draw_emotion_cube, draw_recoveries, draw_transitions
from fer_cli.analysis.incentives import answer_incentives, expect_curves
from fer_cli.analysis.outcome import Group
from fer_cli.blocks import cell_text
from fer_cli.config.emotion import DecodeSettings, Region
from fer_cli.drawing import DPI, save
from fer_cli.errors import FerError
from fer_cli.interaction.decoding import build_space, predict_time
from fer_cli.interaction.ecem import recover
from fer_cli.interaction.incentives import FACTORS, incentive_transition
from fer_cli.interaction.states import BASIC7, octants

SPACE = octants()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, so that their content can be read."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path) -> Path:
        figures.append(figure)
        return save(figure, path)

    monkeypatch.setattr(emotion_figures, "save", keep)
    return figures


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def width(path: Path) -> float:
    """In mm."""
    with Image.open(path) as image:
        return image.width / DPI * 25.4


def test_cube_shows_each_state_at_its_corner(tmp_path: Path, drawn: list[Figure]) -> None:
    assert SPACE.pad is not None
    path = draw_emotion_cube(SPACE.names, SPACE.pad, SPACE.sign, SPACE.valence, tmp_path / "cube.png")
    assert width(path) == pytest.approx(84, abs=0.5)
    shown = texts(drawn[0])
    assert all(name in shown for name in (*SPACE.names, "pleasure", "arousal", "dominance", "(−0.6)"))
    points = [tuple(np.round(line.get_xydata()[0], 6)) for line in drawn[0].axes[0].lines if line.get_marker() in {"o", "s"}]
    assert len(set(points)) == 8


def test_transitions_share_one_scale(tmp_path: Path, drawn: list[Figure]) -> None:
    matrices = {"A": SPACE.transition, "A_k": incentive_transition(SPACE, np.ones(4))}
    path = draw_transitions(SPACE.names, matrices, tmp_path / "transitions.png")
    assert width(path) == pytest.approx(84, abs=0.5)
    images = [axes.images[0] for axes in drawn[0].axes[:2]]
    assert [np.asarray(image.get_array()).tolist() for image in images] == [matrix.tolist() for matrix in matrices.values()]
    assert images[0].get_clim() == images[1].get_clim() == (0, matrices["A_k"].max())
    assert draw_transitions(SPACE.names, {"A": SPACE.transition}, tmp_path / "one.png").exists()


def test_recoveries_mark_when_the_region_is_reached(tmp_path: Path, drawn: list[Figure]) -> None:
    region = Region()
    curves = recover(SPACE, np.eye(8)[SPACE.index("depression")], region)
    path = draw_recoveries(curves, region.low, region.high, "depression", tmp_path / "recovery.png")
    assert width(path) == pytest.approx(84, abs=0.5)
    upper, lower = drawn[0].axes
    crosses = [line for line in upper.lines if line.get_marker() == "x"]
    assert [float(line.get_xdata()[0]) for line in crosses] == pytest.approx([25.4, 13.2, 10.2])
    assert [float(line.get_ydata()[0]) for line in crosses] == pytest.approx([0.4] * 3, abs=0.01)
    assert len(lower.lines) == 4
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["1 factor: never", "2 factors: 25.4 min", "3 factors: 13.2 min", "4 factors: 10.2 min"]


WEAK = {factor: {"depression": 0.2} for factor in FACTORS}
"""Students in a depression hardly respond."""


@pytest.mark.parametrize(
    "settings",
    [{}, {"tau": 3.0}, {"efficacy": WEAK}, {"generator_fading": False}, {"psi": 0.5}, {"minutes": 0.5}],
    ids=lambda settings: next(iter(settings), "default"),
)
def test_expected_curves_reach_the_region_when_the_table_says(settings: dict[str, object]) -> None:
    shared = {"states": "octants", "stay": 0.4, "generator_fading": True} | settings
    for sign, start in ((1, "depression"), (-1, "happiness")):
        one = DecodeSettings(**shared, start=start)  # type: ignore[arg-type]
        curves = expect_curves(one, build_space(one, BASIC7), sign)
        counts = [one.model_copy(update={"factors": sign * count}) for count in range(1, 5)]
        wanted = [predict_time(each, BASIC7, one.region.low) for each in counts]
        assert [curve.reached for curve in curves] == wanted
        assert wanted[3] is not None


def test_factors_that_are_redrawn_predict_no_time() -> None:
    with pytest.raises(FerError, match=r"redrawn: set sequences\.factors"):
        predict_time(DecodeSettings(), BASIC7, 0.4)
    run = SimpleNamespace(config=SimpleNamespace(sequences=DecodeSettings()))
    assert cell_text(incentives.predict_time(SimpleNamespace(run=run, start=None))) == "–"  # type: ignore[arg-type]


def test_transitions_are_drawn_with_the_efficacy_of_the_simulation() -> None:
    settings = DecodeSettings(states="octants", efficacy=WEAK, tau=2.0)
    _, driven = show_transitions(settings, build_space(settings, BASIC7)).values()
    positive = driven[:, :4].sum(axis=1)
    assert positive[SPACE.index("depression")] < 0.2 < 0.7 < positive[SPACE.index("anger")]


def test_the_answer_tells_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the study's first start; the first minute within the region, by arm, with seeds that never are."""
    up, down = [0.0, 0.2, 0.5], [0.0, -0.5, -0.5]
    curves = {"up": up, "flat": [0.0, 0.1, 0.1], "late": [0.1, 0.3, 0.4], "down": down}

    def group(arm: str, factors: int | None, start: str, *runs: str) -> Group:
        settings = SimpleNamespace(factors=factors, region=SimpleNamespace(low=0.4), simulation="emotions")
        config = SimpleNamespace(sequences=settings)
        items = [SimpleNamespace(name=name, run=SimpleNamespace(config=config, at=(("start", start),))) for name in runs]
        return Group(arm, arm, items, items)  # type: ignore[arg-type]

    groups = [
        group("none", None, "any", "flat", "flat"),
        group("two", 2, "any", "up", "flat"),
        group("four", 4, "any", "up", "late"),
        group("four", 4, "sad", "flat", "flat"),
        group("bad", -1, "any", "down"),
    ]
    monkeypatch.setattr(incentives, "groups_on", lambda *_: groups)
    found = lambda item: {"minutes": [0.0, 1.0, 2.5], "valence": curves[item.name]}  # noqa: E731
    monkeypatch.setattr(incentives, "read_curves", found)
    assert answer_incentives(None, None) == (  # type: ignore[arg-type]
        "Simulated, start any: minutes until the mean valence is at least 0.4: none never in these sequences (n = 2); "
        "two 2.5 (1 of 2 seeds, else never); four 2.5 (n = 2). "
        "Simulated, start any: minutes until the mean valence is at most −0.4: bad 1 (n = 1)."
    )
    groups.clear()
    assert answer_incentives(None, None) == ""  # type: ignore[arg-type]
