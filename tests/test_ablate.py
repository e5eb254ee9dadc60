"""The main job end to end, on drawn faces: plan, train, mirror, report."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fer_cli.config import RunConfig
from fer_cli.tracking import new_client, store_uri
from tests.conftest import Called
from tests.studies import mlflow_runs, outcome, where

Fer = Callable[..., Called]


def test_plan_lists_every_run_and_trains_none(fer: Fer, study_file: Path, data_root: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    called = fer("ablate", "--study", study_file, "--plan", *where(data_root, results)[:4])
    lines = called.out.strip().splitlines()[1:]
    assert called.code == 0
    assert len(lines) == 12
    assert all("\tnew\t" in line for line in lines)
    assert sum(line.endswith("learning.method=scn-cs") for line in lines) == 6
    assert sum(line.endswith("\t-") for line in lines) == 6
    assert "12 runs, 0 done, 12 to train" in called.err
    assert not results.exists()


def test_plan_of_a_finished_study_knows_times_and_states(fer: Fer, finished: tuple[Path, Path], data_root: Path) -> None:
    study, results = finished
    called = fer("ablate", "--study", study, "--plan", "--seeds", "4", *where(data_root, results)[:4])
    states = [line.split("\t")[1] for line in called.out.strip().splitlines()[1:]]
    assert states.count("done") == 12
    assert states.count("new") == 4
    assert re.search(r"16 runs, 12 done, 4 to train; time: \d+ (s|min)", called.err)


def test_smoke_trains_a_batch_of_each_and_keeps_nothing(fer: Fer, study_file: Path, data_root: Path, tmp_path: Path) -> None:
    called = fer("ablate", "--study", study_file, "--smoke", "--seeds", "1", *where(data_root, tmp_path / "results"))
    assert called.code == 0
    assert "4 runs trained, validated and predicted one batch each" in called.err
    assert not (tmp_path / "results").exists()


def test_same_command_again_skips_everything(fer: Fer, finished: tuple[Path, Path], data_root: Path) -> None:
    study, results = finished
    times = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/*")}
    called = fer("ablate", "--study", study, *where(data_root, results))
    assert called.code == 0
    assert "0 done, 0 failed, 12 skipped" in called.err
    assert {path: path.stat().st_mtime_ns for path in results.glob("runs/*/*") if path in times} == times


def test_run_folders_are_complete(finished: tuple[Path, Path]) -> None:
    for folder in (finished[1] / "runs").glob("*/"):
        names = {path.name for path in folder.iterdir()}
        assert {"config.json", "history.csv", "best.pt", "predictions.parquet", "result.json", "log.txt"} <= names
        assert {"confusion.png", "curves.png"} <= names
        assert not names & {"claim.json", "last.ckpt", "error.txt"}
        result = json.loads((folder / "result.json").read_text())
        assert result["run_id"] == folder.name == RunConfig.model_validate(result["config"]).run_id(result["fingerprint"])
        assert result["provenance"]["libraries"]["torch"]


def test_arms_are_paired_by_split_and_noise(finished: tuple[Path, Path]) -> None:
    seen: dict[tuple[int, float], set[str]] = {}
    for result in outcome(finished[1]).values():
        key = (result["config"]["seed"], result["config"]["data"]["label_noise"])
        seen.setdefault(key, set()).add(f"{result['data']['split_hash']} {result['data']['flipped']}")
    assert len(seen) == 6
    assert all(len(values) == 1 for values in seen.values())


def test_report_prints_and_writes_the_table(fer: Fer, finished: tuple[Path, Path], data_root: Path) -> None:
    study, results = finished
    called = fer("report", "--study", study, "--results", results, "--data-root", data_root)
    assert called.code == 0
    values = [r["metrics"]["test"]["accuracy"] for r in outcome(results).values() if not r["config"]["data"]["label_noise"]]
    assert len(values) == 6
    for suffix in (".md", ".csv", ".tex"):
        assert (results / "tables" / f"tiny-ck48-small{suffix}").is_file()
    assert called.out.strip() == (results / "tables" / "tiny-ck48-small.md").read_text().strip()
    assert "## accuracy in %: mean ± sd, n = 3" in called.out
    assert re.search(r"\| CNN \| \*{0,2}\d+\.\d\d ± \d+\.\d\d", called.out)
    assert "replaced" in called.out
    assert not (results / "figures").exists()
    drawn = fer("report", "--study", study, "--results", results, "--data-root", data_root, "--figures")
    assert drawn.out == called.out
    names = sorted(path.name for path in (results / "figures" / "tiny-ck48-small").iterdir())
    drawings = ("confusion", "curves", "curves-2", "differences")
    assert names == sorted([f"{one}.{form}" for one in drawings for form in ("pdf", "png", "svg")] + ["curves.csv"])
    assert "next: fer report" in called.err
    assert "curves.png" in drawn.err


def test_mirror_holds_parent_children_params_epochs_and_artifacts(finished: tuple[Path, Path]) -> None:
    results = finished[1]
    runs = mlflow_runs(results)
    assert len(runs) == 12
    assert {run.info.status for run in runs} == {"FINISHED"}
    client = new_client(store_uri(results))
    parents = {run.data.tags["mlflow.parentRunId"] for run in runs}
    assert len(parents) == 1
    assert client.get_run(parents.pop()).info.status == "FINISHED"
    for run in runs[:3]:
        folder = results / "runs" / run.data.tags["fer.run_id"]
        result = json.loads((folder / "result.json").read_text())
        assert run.data.params == {k: str(v) for k, v in RunConfig.model_validate(result["config"]).flat().items()}
        assert run.data.metrics["test/accuracy"] == pytest.approx(result["metrics"]["test"]["accuracy"])
        history = pd.read_csv(folder / "history.csv")
        logged = client.get_metric_history(run.info.run_id, "val/loss")
        assert [point.step for point in logged] == list(history["epoch"])
        assert [point.value for point in logged] == pytest.approx(list(history["val/loss"]))
        artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert {"config.json", "predictions.parquet", "history.csv", "confusion.png", "curves.png"} <= artifacts


def test_no_track_and_two_processes_change_no_result(
    fer: Fer, finished: tuple[Path, Path], data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, results = finished
    threads = {result["machine"]["threads"] for result in outcome(results).values()}
    monkeypatch.setenv("OMP_NUM_THREADS", str(2 * threads.pop()))
    options = ["--no-track", "--jobs", "2", "--seeds", "1"]
    called = fer("ablate", "--study", study, *options, *where(data_root, tmp_path / "results"))
    assert called.code == 0, called.err
    assert len(outcome(tmp_path / "results")) == 4
    assert outcome(tmp_path / "results") == outcome(results, seeds=1)
    assert not (tmp_path / "results" / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ("{model.backbone: deepface}", "deepface needs at least 26 pixels, not 24"),
        ("{model.attention: sge, model.groups: 5}", "5 groups do not divide"),
        ("{model.backbone: vgg16}", "at least 32 pixels"),
        ("{model.weights: other.pth}", "of another network"),
        ("{data.leak: test, data.max_images: 8}", "does not exceed"),
    ],
)
def test_what_cannot_be_trained_stops_the_study_before_its_first_run(
    fer: Fer, study_file: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arm: str, words: str
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.zeros(2)}, "other.pth")
    study_file.write_text(study_file.read_text().replace("SCN-CS: {learning.method: scn-cs}", f"Impossible: {arm}"))
    called = fer("ablate", "--study", study_file, *where(data_root, tmp_path / "results"))
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert words in called.err
    assert not list((tmp_path / "results").glob("runs/*"))


def test_sizes_beyond_the_set_are_refused(fer: Fer, study_file: Path, data_root: Path, tmp_path: Path) -> None:
    study_file.write_text(
        study_file.read_text().replace("data.label_noise: [0.0, 0.3]", "data.max_images: [20, 5000, 6000]")
    )
    study_file.write_text(study_file.read_text().replace("columns: data.label_noise", "columns: data.max_images"))
    called = fer("ablate", "--study", study_file, *where(data_root, tmp_path / "results"))
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert "data.max_images: 5000 and 6000 give the same" in called.err


def test_wrong_options_are_one_line(fer: Fer) -> None:
    for arguments, words in [(["ablate"], "--study"), (["--nope"], "--nope"), (["ablate", "-s", "x", "-j", "a"], "--jobs")]:
        called = fer(*arguments)
        assert (called.code, called.err.count("\n")) == (2, 1)
        assert words in called.err
    assert fer().code == 2
