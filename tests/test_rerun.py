"""``fer rerun``: equal bits where all is equal, printed differences elsewhere, and the original is never touched."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_cli.config import Compute, RunConfig
from fer_cli.inventory.again import choose_compute, compare_again, plan_steps
from fer_cli.inventory.scores import read_predictions
from fer_cli.results import MachineRecord
from fer_cli.runs import RunFolder
from tests.conftest import Called
from tests.fakes import fake_result, leave

Fer = Callable[..., Called]


def copied(finished: tuple[Path, Path], tmp_path: Path) -> Path:
    """Return a copy of the results of the tiny study."""
    results = tmp_path / "results"
    shutil.copytree(finished[1] / "runs", results / "runs")
    return results


def find(results: Path, **wanted: object) -> RunFolder:
    """Return the first run with these settings."""
    for path in sorted((results / "runs").glob("*/config.json")):
        flat = RunConfig.model_validate_json(path.read_text()).flat()
        if all(flat[name.replace("__", ".")] == value for name, value in wanted.items()):
            return RunFolder(results, path.parent.name)
    raise AssertionError(wanted)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_rerun_gives_the_same_bits_and_leaves_the_original_alone(
    fer: Fer, finished: tuple[Path, Path], data_root: Path, tmp_path: Path
) -> None:
    results = copied(finished, tmp_path)
    folder = find(results, learning__method="scn-cs", data__label_noise=0.3, seed=1)
    before = contents(results / "runs")
    called = fer("rerun", folder.run_id[:6], "--results", results, "--data-root", data_root, "--keep", tmp_path / "again")
    assert called.code == 0, called.err
    assert "bit-equal: all " in called.err and "as recorded: cpu, fp32, 1 thread, layout contiguous" in called.err
    assert {name: text for name, text in contents(results / "runs").items() if name in before} == before
    again = RunFolder(tmp_path / "again", folder.run_id)
    assert again.status == "done" and again.path != folder.path
    ours, theirs = (read_predictions(one.path, one.result()) for one in (folder, again))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    shown = fer("rerun", folder.run_id, "--results", results, "--data-root", data_root, "--keep", tmp_path / "again")
    assert shown.code == 2 and "not an empty folder" in shown.err


def test_changed_predictions_are_named_to_the_last_one(fer: Fer, finished: tuple[Path, Path], tmp_path: Path) -> None:
    results, other = copied(finished, tmp_path), tmp_path / "other"
    folder = find(results, learning__method="ce", seed=0)
    shutil.copytree(folder.path, other / "runs" / folder.run_id)
    again = RunFolder(other, folder.run_id)
    result = folder.result()
    assert compare_again(folder, result, again).equal
    frame = read_predictions(folder.path, result)
    test = np.flatnonzero(frame["part"] == "test")
    classes = result.data.classes
    right = [place for place in test if frame.at[place, "predicted"] == frame.at[place, "label"]][:2]
    for place in right:
        frame.at[place, "predicted"] = next(name for name in classes if name != frame.at[place, "label"])
    frame.at[int(test[0]), f"p_{classes[0]}"] += np.float32(0.25)
    frame.to_parquet(again.file("predictions.parquet"), index=False)
    counts = pd.crosstab(frame["label"], frame["predicted"])
    content = json.loads(again.file("result.json").read_text())
    for part in ("test", "val"):
        chosen = frame[frame["part"] == part]
        counts = pd.crosstab(chosen["label"], chosen["predicted"]).reindex(index=classes, columns=classes, fill_value=0)
        content["metrics"][part] = {"confusion": counts.to_numpy().tolist(), "n": len(chosen)}
    content["machine"]["threads"] = 7
    again.file("result.json").write_text(json.dumps(content))
    found = compare_again(folder, result, again)
    assert not found.equal
    assert found.changed["test"] == (2, len(test)) and found.changed["val"][0] == 0
    assert found.largest == pytest.approx(0.25, abs=1e-6)
    was, now = found.scores["test accuracy"]
    assert was - now == pytest.approx(2 / len(test), abs=1e-12)
    assert found.causes == {"threads": ("1", "7")}


def test_another_number_of_threads_layout_and_precision_are_taken_from_the_record(compute: Compute, tmp_path: Path) -> None:
    result = fake_result()
    for record, layout in ((True, "channels-last"), (False, "contiguous"), (None, "auto")):
        machine = MachineRecord(device="cpu", precision="bf16", threads=3, channels_last=record)
        chosen, notes = choose_compute(result.model_copy(update={"machine": machine}), compute.data_root, tmp_path)
        assert (chosen.device, chosen.precision, chosen.threads, chosen.layout) == ("cpu", "bf16", 3, layout)
        assert notes == []
    on_gpu = MachineRecord(device="cuda", precision="fp32", threads=2, channels_last=True)
    chosen, notes = choose_compute(result.model_copy(update={"machine": on_gpu}), compute.data_root, tmp_path)
    assert chosen.device == "cpu" and "on a GPU" in notes[0]


def test_the_recorded_layout_is_the_one_that_trains(compute: Compute) -> None:
    from fer_cli.learning.compute import resolve_compute

    for layout, last in (("channels-last", True), ("contiguous", False), ("auto", False)):
        chosen = compute.model_copy(update={"layout": layout})
        assert resolve_compute(chosen).channels_last is last


def test_a_rebuilt_set_and_an_unfinished_run_are_one_line(
    fer: Fer, finished: tuple[Path, Path], root: Path, tmp_path: Path
) -> None:
    results = copied(finished, tmp_path)
    folder = find(results, learning__method="ce", seed=0)
    where = ["--results", results, "--data-root", root]
    content = json.loads(folder.file("result.json").read_text())
    content["fingerprint"] = content["data"]["fingerprint"] = "0" * 16
    folder.file("result.json").write_text(json.dumps(content))
    called = fer("rerun", folder.run_id, *where)
    assert called.code == 2 and "the set was rebuilt" in called.err and called.err.count("\n") == 1
    assert "0" * 16 in called.err
    RunFolder(results, "abc" * 4).path.mkdir()
    called = fer("rerun", "abc" * 4, *where)
    assert called.code == 2 and called.err.startswith(f"error: {'abc' * 4}: new, so there is nothing to compare")
    shutil.rmtree(root / "ck48")
    content["fingerprint"] = content["data"]["fingerprint"] = "1" * 16
    folder.file("result.json").write_text(json.dumps(content))
    called = fer("rerun", folder.run_id, *where)
    assert called.code == 2 and "ck48" in called.err and called.err.count("\n") == 1


def test_shared_training_is_reused_if_it_is_done_and_trained_again_if_it_is_gone(
    fer: Fer, data_root: Path, tmp_path: Path
) -> None:
    study, results = tmp_path / "levels.yaml", tmp_path / "results"
    study.write_text(
        """
name: levels
question: Is the training shared?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25}
  model: {backbone: cnn3}
  train: {epochs: 1, batch_size: 32}
seeds: [0]
arms: {CNN: {}}
grid: {corrupt.occlusion: [0.0, 0.3]}
report: {columns: corrupt.occlusion, against: CNN}
"""
    )
    where = ["--results", results, "--data-root", data_root]
    called = fer("ablate", "--study", study, "--no-track", "--precision", "fp32", *where)
    assert called.code == 0, called.err
    (tested,) = [path.parent for path in results.glob("runs/*/result.json") if json.loads(path.read_text())["trained_by"]]
    folder = RunFolder(results, tested.name)
    steps = plan_steps(folder, folder.result(), tmp_path / "scratch", data_root)
    assert [(step.title, step.reused) for step in steps] == [("shared training", True), (f"run {folder.run_id}", False)]
    called = fer("rerun", folder.run_id, *where)
    assert called.code == 0, called.err
    trained = folder.result().trained_by
    assert trained is not None and f"shared training: reused, {trained} is done" in called.err
    shutil.rmtree(results / "runs" / trained)
    called = fer("rerun", folder.run_id, *where)
    assert called.code == 0, called.err
    assert "shared training: trained again" in called.err and "bit-equal" in called.err
    assert not (results / "runs" / trained).exists()


def test_a_pretraining_that_is_gone_is_planned_before_the_run(both_root: Path, tmp_path: Path) -> None:
    config = RunConfig.model_validate(
        {"data": {"name": "ck48", "image_size": 24, "folds": 3}, "model": {"backbone": "cnn3", "pretrain": "synth-basic"}}
    )
    folder = RunFolder(tmp_path / "results", "abc")
    leave(folder, fake_result("abc", config, pretrained_by="before"))
    steps = plan_steps(folder, folder.result(), tmp_path / "scratch", both_root)
    assert [(step.folder.run_id, step.reused) for step in steps] == [("before", False), ("abc", False)]
    assert steps[0].title == "pre-training on synth-basic" and steps[1].start == steps[0].folder
    assert steps[0].folder.results == tmp_path / "scratch"
