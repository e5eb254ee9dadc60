"""``--logger``: curves of runs as CSV or for TensorBoard, which cost no run anything."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from fer_cli import loggers
from fer_cli.loggers import LOGGERS, RunLog
from fer_cli.runs import RunFolder
from tests.conftest import Called

Fer = Callable[..., Called]
STUDY = """
name: tiny
question: q
base:
  data: {name: ck48, image_size: 16, folds: 3, val_fraction: 0.25}
  model: {backbone: cnn3}
  train: {epochs: 2, batch_size: 32}
seeds: [0]
arms: {CNN: {}}
report: {metrics: [accuracy], against: CNN}
"""


class Writer:
    """What PyTorch's writer is asked to do, as a file that TensorBoard's would have."""

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / f"events.out.tfevents.{len(list(Path(folder).glob('*')))}"
        self.lines: list[str] = []

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("\n".join(self.lines))

    def add_scalar(self, name: str, value: float, epoch: int) -> None:
        self.lines.append(f"{epoch} {name} {value}")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path, "0123456789ab")
    run.path.mkdir(parents=True)
    run.file("history.csv").write_text("epoch,val/accuracy,val/loss\n1,0.25,2.0\n2,0.5,\n")
    return run


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_curves_as_csv_are_those_of_the_run(fer: Fer, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    where = ["--data-root", data_root, "--results", tmp_path / "results", "--no-track", "--precision", "fp32"]
    called = fer("ablate", "--study", tmp_path / "tiny.yaml", *where, "--logger", "csv")
    assert called.code == 0, called.err
    (run,) = (tmp_path / "results" / "runs").glob("*/result.json")
    rows = pd.read_csv(tmp_path / "results" / "logs" / "csv" / f"{run.parent.name}.csv")
    history = pd.read_csv(run.parent / "history.csv").set_index("epoch")
    found = rows[rows["epoch"] > 0].pivot(index="epoch", columns="name", values="value")
    pd.testing.assert_frame_equal(found, history[found.columns], check_names=False)
    assert set(found.columns) == set(history.columns)
    assert {"test/accuracy", "test/macro_f1"} <= set(rows[rows["epoch"] == 0]["name"])


def test_an_interrupted_run_has_its_whole_history_in_the_end(folder: RunFolder) -> None:
    curves = RunLog("csv", folder)
    curves.epoch(2, {"epoch": 2, "val/accuracy": 0.5})  # resumed after the first
    path = folder.results / "logs" / "csv" / "0123456789ab.csv"
    assert read(path)[1:] == [["2", "val/accuracy", "0.5"]]
    curves.end({"test/accuracy": 0.75})
    assert read(path) == [
        ["epoch", "name", "value"],
        ["1", "val/accuracy", "0.25"],
        ["1", "val/loss", "2.0"],
        ["2", "val/accuracy", "0.5"],
        ["0", "test/accuracy", "0.75"],
    ]


def test_a_run_of_several_trainings_keeps_the_curves_it_was_given(folder: RunFolder) -> None:
    folder.file("history.csv").rename(folder.file("history-margin-0.1.csv"))
    curves = RunLog("csv", folder)
    curves.epoch(1, {"epoch": 1, "val/accuracy": 0.5})
    curves.end({"test/accuracy": 0.75})
    rows = [["1", "val/accuracy", "0.5"], ["0", "test/accuracy", "0.75"]]
    assert read(folder.results / "logs" / "csv" / "0123456789ab.csv")[1:] == rows


def test_tensorboard_gets_every_value_once(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    curves = RunLog("tensorboard", folder)
    curves.epoch(1, {"epoch": 1, "val/accuracy": 0.25})
    curves.epoch(2, {"epoch": 2, "val/accuracy": 0.5})
    curves.end({"test/accuracy": 0.75})
    files = list((folder.results / "logs" / "tensorboard" / "0123456789ab").iterdir())
    assert [line for file in files for line in file.read_text().splitlines()] == [
        "1 val/accuracy 0.25", "1 val/loss 2.0", "2 val/accuracy 0.5", "0 test/accuracy 0.75",
    ]  # fmt: skip


@pytest.mark.parametrize("name", LOGGERS)
def test_a_fault_costs_one_warning(name: str, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.results / "logs").write_text("in the way")
    warned: list[tuple[object, ...]] = []
    monkeypatch.setattr(loggers.log, "warning", lambda *words: warned.append(words))
    curves = RunLog(name, folder)
    curves.epoch(1, {"val/accuracy": 0.25})
    curves.end({"test/accuracy": 0.75})
    assert [words[1] for words in warned] == ["0123456789ab"]


def test_unknown_and_absent_loggers_are_one_line(fer: Fer, monkeypatch: pytest.MonkeyPatch) -> None:
    called = fer("ablate", "--study", "demo", "--plan", "--logger", "tensorbord")
    assert (called.code, called.err) == (2, "error: --logger tensorbord: no such logger; did you mean tensorboard?\n")
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda _: None)
    called = fer("ablate", "--study", "demo", "--plan", "--logger", "tensorboard")
    assert called.code == 2
    assert "pip install 'fer-cli[tensorboard]'" in called.err


def test_no_logger_writes_nothing(folder: RunFolder) -> None:
    curves = RunLog(None, folder)
    curves.epoch(1, {"val/accuracy": 0.25})
    curves.end({})
    assert not (folder.results / "logs").exists()


def test_a_damaged_history_costs_a_warning(folder: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.file("history.csv").write_text("epoch,loss\none,2.0\n")
    RunLog("csv", folder).end({"test/accuracy": 0.5})
    assert "the curves of run" in caplog.text
    RunLog(None, folder).end({"test/accuracy": 0.5})
    assert caplog.text.count("the curves of run") == 1
