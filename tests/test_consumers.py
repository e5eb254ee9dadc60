"""Everything that reads a built set takes each kind of it: stills and clips, grey and in colour."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_cli.data.build import Choices, build_own
from fer_cli.data.manifest import load_set
from tests.conftest import draw_face
from tests.sets import rewrite
from tests.trees import write

Fer = Callable[..., Any]
KINDS = {"grey stills": ("grey", 1), "colour stills": ("rgb", 1), "grey clips": ("grey", 3), "colour clips": ("rgb", 3)}
"""Kind of a set -> colour, frames of a clip."""
FACES = {"happy": "happy", "sad": "sadness", "angry": "anger"}

BASE = """
question: Does every kind of set pass through?
base:
  data: {name: synth-basic, image_size: 24, folds: 3, val_fraction: 0.34}
  model: {backbone: resnet10-small}
  train: {epochs: 1, batch_size: 16}
seeds: [0]
report: {metrics: [accuracy], against: subject, analyses: [embedding, blocks, maps]}
name: """
TRAINED = (
    BASE
    + """trained
arms:
  subject: {model.attention: cbam, model.channels: CHANNELS}
"""
)
TRIED = (
    BASE
    + """tried
arms:
  subject: {}
  corrupted: {model.channels: 3, corrupt.occlusion: 0.2, corrupt.noise: 0.1, corrupt.parts: [train, test]}
  joined: {features.blocks: [hog], features.classifier: network, model.channels: 3}
  fitted: {features.blocks: [cnn, lbp, sift], features.classifier: logistic}
  elsewhere: {data.test: other, model.channels: 3}
  relabelled: {learning.method: scn-cs, data.label_noise: 0.2, augment.flip: 0.5, augment.rotate: 5}
"""
)


def tinted(grey: np.ndarray, tint: int) -> np.ndarray:
    """Return a grey face (S, S) uint8 in colour, (S, S, 3)."""
    return np.dstack([grey, np.roll(grey, tint), 255 - grey])


def built(root: Path, source: Path, name: str, colour: str, frames: int, people: int) -> None:
    """Build a set of a kind; a clip is the frames of a person who shows one expression."""
    rows = []
    for person in range(people):
        for label, folder in FACES.items():
            for frame in range(max(2, frames)):
                file = f"{name}-{person}-{label}-{frame}.png"
                assert cv2.imwrite(str(source / file), tinted(draw_face(folder, person + 40 * len(name), frame), 1))
                clip = f"p{person}-{label}" if frames > 1 else ""
                rows.append(f"{file},{label},p{person},{clip},{frame}")
    write(source / f"{name}.csv", "file,label,subject,sequence,frame", *rows)
    build_own(name, source / f"{name}.csv", "csv", None, root, choices=Choices({"colour": colour, "size": 32}))


FEW = [name if name in {"grey stills", "colour clips"} else pytest.param(name, marks=pytest.mark.slow) for name in KINDS]


@pytest.fixture(scope="module", params=FEW)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of set."""
    return str(request.param)


@pytest.fixture(scope="module")
def home(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data root, in which a set bears the name of one whose faces may be shown, and a study of it."""
    home = tmp_path_factory.mktemp("readers")
    (home / "source").mkdir()
    colour, frames = KINDS[kind]
    built(home / "data", home / "source", "mine", colour, frames, 6)
    built(home / "data", home / "source", "other", "grey" if colour == "rgb" else "rgb", frames, 2)
    (home / "data" / "mine").rename(home / "data" / "synth-basic")
    rewrite(home / "data" / "synth-basic", name="synth-basic")
    for name, study in (("trained", TRAINED), ("tried", TRIED)):
        channels = "1" if colour == "grey" else "3"
        (home / f"{name}.yaml").write_text(study.replace("CHANNELS", channels))
    return home


@pytest.fixture
def call(home: Path, fer: Fer, monkeypatch: pytest.MonkeyPatch) -> Fer:
    """Return a function that calls ``fer`` on that data root and returns what it printed; it must end well."""
    monkeypatch.setenv("FER_CACHE", str(home / "cache"))

    def checked(*arguments: object, codes: tuple[int, ...] = (0,)) -> Any:
        called = fer(*arguments, "--data-root", home / "data")
        assert called.code in codes, (arguments, called.err)
        assert "Traceback" not in called.err
        return called

    return checked


def test_commands_on_data(call: Fer, home: Path, kind: str) -> None:
    colour, frames = KINDS[kind]
    call("data", "list")
    call("data", "check", "synth-basic")
    call("data", "audit", "synth-basic")
    call("data", "audit", "synth-basic", "--split", "sequence" if frames > 1 else "random", codes=(0, 1))
    call("data", "peek", "synth-basic", "--out", home / "p.png")
    sheet = cv2.imread(str(home / "p.png"), cv2.IMREAD_UNCHANGED)
    assert sheet is not None
    assert sheet.ndim == (3 if colour == "rgb" else 2)
    call("data", "combine", "both", "--of", "synth-basic,other", "--map", "basic-7")
    assert len(load_set(home / "data", "both").images) == 8 * 3 * max(2, frames)
    call("data", "peek", "both", "--out", home / "both.png")


@pytest.mark.parametrize(
    "options", [["--detect", "lbp"], ["--detect", "centerface", "--align", "eyes", "--no-face", "keep"]]
)
def test_faces_are_looked_for_in_each_kind(fer: Fer, home: Path, kind: str, tmp_path: Path, options: list[str]) -> None:
    colour = ("--colour", KINDS[kind][0])
    source = ("--from", home / "source" / "other.csv", "--layout", "csv", "--data-root", tmp_path)
    called = fer("data", "build", "cut", *source, *colour, *options)
    assert called.code == 0, called.err
    assert load_set(tmp_path, "cut").images.channels == (3 if KINDS[kind][0] == "rgb" else 1)


def test_features(call: Fer, home: Path) -> None:
    out = home / "features.parquet"
    where = ("--study", home / "trained.yaml", "--results", home / "results", "--jobs", 1, "--out", out)
    call("extract-features", "--fuse", "hog,sift,lbp", "--split", "subject", *where)
    call("features", "show", out, "--picture", home / "features.png")


def test_a_study_its_report_and_its_analyses(call: Fer, home: Path) -> None:
    call("ablate", "--study", home / "tried.yaml", "--results", home / "results", "--smoke")
    where = ("--study", home / "trained.yaml", "--results", home / "results")
    call("ablate", *where, "--plan")
    call("ablate", *where, "--no-track", "--precision", "fp32")
    told = call("report", *where, "--figures", "--formats", "png")
    assert "maps" in told.out
    assert "images of synth-basic may not be passed on" not in told.out
    run = next(path.parent.name for path in (home / "results" / "runs").glob("*/result.json"))
    out = ("--out", home / "cnn.parquet", "--run", run, "--jobs", 1)
    call("extract-features", "--fuse", "cnn", "--split", "subject", *where, *out)
    drawn = {path.name for path in (home / "results" / "figures").rglob("*.png")}
    assert sum("maps" in name for name in drawn) == 1, drawn
