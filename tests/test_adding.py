"""What CONTRIBUTING says of adding a thing is all it takes: its one entry, then train, report and figures with it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.analysis import blocks
from fer_cli.config import ATTENTION, BACKBONES, CLASSIFIERS, METRICS, default_data_root
from fer_cli.config.features import Classifier
from fer_cli.config.networks import AttentionBlock, Backbone
from fer_cli.config.scores import Metric
from fer_cli.executors import EXECUTORS
from tests.conftest import Called
from tests.sets import rewrite
from tests.toys import last_first

STUDY = """
name: added
question: Does what was added take part?
base:
  data: {name: synth-basic, image_size: 24, folds: 3, val_fraction: 0.25}
  train: {epochs: 1, batch_size: 32}
seeds: [0]
arms:
  plain: {}
  block: {model.attention: scale}
  stages: {model.backbone: multiscale, model.parts.attention: scale}
  network: {model.backbone: linear}
  classifier: {features.blocks: [lbp], features.classifier: neighbour}
report: {metrics: [accuracy], against: plain, analyses: [embedding, blocks, maps]}
"""

Fer = Callable[..., Called]


@pytest.fixture
def home(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study and a data root in which drawn faces bear the name of a set that may be shown."""
    shutil.copytree(data_root / "ck48", tmp_path / "data" / "synth-basic")
    rewrite(tmp_path / "data" / "synth-basic", name="synth-basic")
    (tmp_path / "added.yaml").write_text(STUDY)
    monkeypatch.setenv("FER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    assert default_data_root() == tmp_path / "data"
    return tmp_path


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTENTION, "scale", AttentionBlock("tests.toys:Scale"))
    monkeypatch.setitem(BACKBONES, "linear", Backbone("tests.toys:Linear"))
    monkeypatch.setitem(EXECUTORS, "last-first", last_first)
    monkeypatch.setitem(CLASSIFIERS, "neighbour", Classifier("nearest neighbour", "tests.toys:neighbour", {"k": 1}))


def call(fer: Fer, command: str, home: Path, *options: str) -> Called:
    called = fer(command, "--study", home / "added.yaml", "--results", home / "results", *options)
    assert called.code == 0, called.err
    return called


def test_a_block_a_network_a_classifier_an_executor_and_a_metric_take_one_entry_each(
    fer: Fer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    monkeypatch.setattr(blocks, "GRID", (1, 2))  # of finer grids no number is looked at
    call(fer, "ablate", home, "--executor", "last-first", "--no-track")
    folders = sorted((home / "results" / "runs").iterdir())
    assert len(folders) == 5
    assert all((folder / "result.json").is_file() for folder in folders)

    monkeypatch.setitem(METRICS, "first", Metric("tests.toys:first_recall", "recall of the first class"))
    study = home / "added.yaml"
    study.write_text(STUDY.replace("metrics: [accuracy]", "metrics: [accuracy, first]"))
    told = call(fer, "report", home, "--figures", "--formats", "png")
    assert "recall of the first class in %" in told.out
    assert "nearest neighbour" in told.out
    drawn = {path.name for path in (home / "results").rglob("*.png")}
    assert {"maps-2-block.png", "maps-3-stages.png"} <= drawn, drawn
    assert "mean absolute activation before and after the block" in told.out
    assert "blocks: network is omitted: its network has no stages" in told.out


def test_what_was_added_is_among_the_nearest_names(fer: Fer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    for setting, near in (
        ("{model.attention: scales}", "did you mean scale"),
        ("{model.backbone: liner}", "did you mean linear"),
        ("{features.blocks: [lbp], features.classifier: neighbor}", "did you mean neighbour"),
    ):
        (home / "added.yaml").write_text(STUDY.replace("{model.attention: scale}", setting))
        called = fer("ablate", "--study", home / "added.yaml", "--results", home / "results", "--plan")
        assert called.code == 2
        assert near in called.err
        assert called.err.count("\n") == 1
