"""Faces drawn by the tests, a data set built from them, and a way to call ``fer`` as ``main`` does."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from filelock import FileLock

from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.results import Result
from fer_cli.signals import ending

if TYPE_CHECKING:
    from mlflow import MlflowClient

os.environ["OMP_NUM_THREADS"] = "1"  # set before torch starts its threads: tiny nets are slower on many
os.fsync = lambda _: None  # thousands of small files are written; what a power cut leaves of them no test can see

SLOWEST = (
    "interruptions",
    "train",
    "analysis_runs",
    "clip_studies",
    "extract",
    "export",
    "consumers",
    "sequence_runs",
    "resnet",
    "monitor",
    "clip_nets",
    "tracking",
    "screen",
    "false_alarms",
    "predict_videos",
    "on_demand",
    "synthetic",
    "all",
    "sync",
    "clip_learning",
    "graphs",
    "inventory",
    "bodies",
    "adding",
    "joints",
    "parts",
    "yamls",
    "executors",
    "ablate",
    "exact",
    "action_learning",
    "features_store",
)
"""Files of tests that begin first, so that no process is left with a long one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest files first."""
    places = {f"test_{name}.py": place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


FOLDERS = ("anger", "disgust", "fear", "happy", "sadness", "surprise", "contempt")


def draw_face(folder: str, subject: int, frame: int) -> np.ndarray:
    """Return a (48, 48) uint8 cartoon: mouth and brows tell the class, shape and light the subject."""
    random = np.random.default_rng([subject, 7])
    image = np.full((48, 48), int(random.integers(20, 90)), np.uint8)
    skin = int(random.integers(140, 220))
    centre = (24 + int(random.integers(-1, 2)), 24 + int(random.integers(-1, 2)))
    cv2.ellipse(image, centre, (16 + int(random.integers(0, 4)), 21), 0, 0, 360, skin, -1)
    mouth = {"happy": (0, 180), "sadness": (180, 360), "surprise": (0, 360), "fear": (0, 360)}.get(folder)
    x, y = centre[0], centre[1] + 11
    if mouth:
        size = (5, 7) if folder == "surprise" else (8, 3 + frame % 2) if folder == "fear" else (8, 4 + frame % 2)
        cv2.ellipse(image, (x, y), size, 0, *mouth, 20, 2)
    else:
        tilt = {"anger": 0, "disgust": 0, "contempt": 5}[folder]
        cv2.line(image, (x - 8, y + tilt), (x + 8, y - tilt), 20, 2)
    drop = {"anger": 4, "disgust": -1, "contempt": 0, "sadness": -4, "fear": -4}.get(folder, 0)
    lift = -3 if folder in {"surprise", "fear"} else 0
    for side in (-1, 1):
        inner, outer = x + side * 3, x + side * 11
        cv2.line(image, (inner, centre[1] - 8 + drop + lift), (outer, centre[1] - 8 + lift), 20, 2)
        cv2.circle(image, (x + side * 7, centre[1] - 2), 1 if folder == "disgust" else 2, 20, -1)
    noise = np.random.default_rng([subject, frame, len(folder)]).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def draw_set(root: Path, subjects: int, frames: int = 2, folders: tuple[str, ...] = FOLDERS) -> Path:
    """Write drawn faces in the layout of CK+48 and return the folder."""
    for code, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for subject in range(1, subjects + 1):
            for frame in range(1, frames + 1):
                name = f"S{subject:03d}_{code + 1:03d}_{frame:08d}.png"
                assert cv2.imwrite(str(root / folder / name), draw_face(folder, subject, frame))
    return root


@pytest.fixture(scope="session")
def faces_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source folder of 12 subjects, 7 classes, 2 frames."""
    return draw_set(tmp_path_factory.mktemp("faces") / "CK+48", 12)


@pytest.fixture(scope="session")
def both_root(tmp_path_factory: pytest.TempPathFactory, faces_folder: Path) -> Path:
    """A data root with the drawn cartoons as ``ck48`` and a small ``synth-basic``."""
    from fer_cli.data.build import build_set
    from fer_cli.synthetic.build import build_embedded

    root = tmp_path_factory.mktemp("both")
    build_set("ck48", faces_folder, root, allow_incomplete=True)
    build_embedded("synth-basic", root, {"images": 240, "subjects": 15, "size": 24}, jobs=1)
    return root


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory, faces_folder: Path) -> Path:
    """A data root that holds the drawn faces, built as ``ck48``."""
    from fer_cli.data.build import build_set

    root = tmp_path_factory.mktemp("data")
    build_set("ck48", faces_folder, root, allow_incomplete=True)
    return root


@pytest.fixture
def compute(data_root: Path, tmp_path: Path) -> Compute:
    """A machine with the drawn faces, one thread and full precision."""
    return Compute(data_root=data_root, results=tmp_path / "results", device="cpu", precision="fp32", threads=1)


@pytest.fixture
def tiny() -> Callable[..., RunConfig]:
    """Return a function that makes a small RunConfig: 24 px, 3 folds, 2 epochs, with changed sections."""

    def make(**changes: object) -> RunConfig:
        sections = {
            "data": DataConfig(name="ck48", image_size=24, folds=3, val_fraction=0.25),
            "model": ModelConfig(backbone="resnet10-small"),
            "train": TrainConfig(epochs=2, batch_size=32, weight_average=0.5),
        }
        return RunConfig(**(sections | changes))  # type: ignore[arg-type]

    return make


STUDY = """
name: tiny
question: Does the tiny study run?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25}
  train: {epochs: 2, batch_size: 32}
seeds: [0, 1, 2]
arms:
  CNN: {}
  SCN-CS: {learning.method: scn-cs}
grid: {data.label_noise: [0.0, 0.3]}
report: {columns: data.label_noise, against: CNN}
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> tuple[Path, Path]:
    """The tiny study, with the smallest network, trained without interruption: its YAML and its results.

    The workers of pytest-xdist share it: the first to ask for it trains, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    folder.mkdir(exist_ok=True)
    study, results = folder / "tiny.yaml", folder / "results"
    with FileLock(folder / "lock"):
        if not (folder / "done").exists():
            shutil.rmtree(results, ignore_errors=True)  # of a worker that failed
            study.write_text(STUDY.replace("  train:", "  model: {backbone: cnn3}\n  train:"))
            train_finished(study, results, data_root)
            (folder / "done").touch()
    return study, results


def train_finished(study: Path, results: Path, data_root: Path) -> None:
    """Train the study by the command, in this process."""
    from tests.studies import run_fer, where

    results.mkdir()
    out, err = run_fer("ablate", "--study", study, *where(data_root, results))
    assert "12 done, 0 failed, 0 skipped" in err
    assert out == ""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A study of 2 arms x 2 noise levels x 3 seeds that trains in seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY)
    return path


@dataclass(frozen=True)
class Called:
    """What a call of ``fer`` did."""

    code: int
    out: str
    err: str


@pytest.fixture
def fer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """Return a function that calls ``fer`` with arguments, through ``main`` and in this process."""
    from fer_cli.cli import main

    def call(*arguments: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["fer", *(str(argument) for argument in arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        out, err = capsys.readouterr()
        return Called(code, out, err)

    return call


@pytest.fixture(scope="session", autouse=True)
def copy_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], None]]:
    """Let a new database of MLflow begin as a copy of an empty one, in this process.

    MLflow makes one by seventy changes of its tables, which take a second. Those in folders that are not there yet are made
    in full, and those of commands in processes of their own unless the function that this returns puts a copy into their
    folder of results.
    """
    from fer_cli import tracking

    original, empty = tracking.new_client, tmp_path_factory.mktemp("store") / "mlflow.db"

    def copy(file: Path) -> None:
        if not empty.exists():
            original(f"sqlite:///{empty}").search_experiments()
        shutil.copyfile(empty, file)

    def new_client(uri: str) -> MlflowClient:
        from sqlalchemy.engine import make_url

        file = (make_url(uri).database if uri.startswith("sqlite:") else "") or ""
        if file and Path(file).parent.is_dir() and not os.path.lexists(file):
            copy(Path(file))
        return original(uri)

    def copy_store(results: Path) -> None:
        results.mkdir(exist_ok=True)
        copy(results / "mlflow.db")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "new_client", new_client)
        yield copy_store


@pytest.fixture(scope="session", autouse=True)
def runs_alike_share_pictures() -> Iterator[None]:
    """Let a run in this process take over the pictures of an earlier one of the same classes and number of trainings.

    Drawing takes a quarter of a second for each run, half of what a tiny training takes; that a run's pictures show its own
    numbers is tested with ``draw_run`` itself.
    """
    from fer_cli.learning import figures

    original = figures.draw_run
    drawn: dict[tuple[object, ...], dict[str, bytes]] = {}

    def draw_run(folder: Path, result: Result) -> None:
        alike = (*result.data.classes, len(list(folder.glob("history*.csv"))))
        if alike not in drawn:
            original(folder, result)
            drawn[alike] = {path.name: path.read_bytes() for path in folder.glob("*.png")}
        for name, picture in drawn[alike].items():
            (folder / name).write_bytes(picture)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw_run", draw_run)
        yield


@pytest.fixture
def root(data_root: Path, tmp_path: Path) -> Path:
    """A data root of its own with the drawn faces."""
    shutil.copytree(data_root / "ck48", tmp_path / "data" / "ck48", ignore=shutil.ignore_patterns(".verified.json"))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a few embedded faces."""
    from fer_cli.synthetic.build import build_embedded

    root = tmp_path_factory.mktemp("drawn")
    build_embedded("synth-basic", root, {"images": 8, "subjects": 2, "size": 24, "seed": 3})
    return root


@pytest.fixture
def no_store_given(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No tracking store is given by the environment, and none counts as failed afterwards."""
    from fer_cli import attempts

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    attempts.given_up.clear()


@pytest.fixture
def usual_handlers() -> Iterator[None]:
    """Begin with the handlers of a program in the foreground; a shell lets its background jobs ignore Ctrl-C."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before:
        signal.signal(number, handler)
    ending.clear()
