"""Runs that were found whole are read once, as long as their files stay as they are."""

import json
import shutil
from pathlib import Path

import pytest

from fer_cli import checked, results
from fer_cli.config import METRICS
from fer_cli.config.scores import Metric
from fer_cli.results import find_damage, load_result, read_result
from fer_cli.runs import RunFolder
from tests.fakes import fake_result, leave

OLD = sorted((Path(__file__).parent / "fixtures" / "runs" / "results" / "runs").iterdir())


def new_process() -> None:
    """Forget what this process read."""
    results._load.cache_clear()
    checked.read_records.cache_clear()


def test_what_was_found_whole_is_read_once_as_long_as_it_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(OLD[0].parent, tmp_path / "runs")
    folders = sorted((tmp_path / "runs").iterdir())
    monkeypatch.setattr(checked, "SETTLED", -(10**12))
    before = [read_result(folder) for folder in folders]
    histories = [path for folder in folders for path in folder.glob("history*.csv")]
    accuracies = [results.read_final_accuracy(path) for path in histories]
    checked.save_verified(tmp_path)
    new_process()
    with monkeypatch.context() as patch:
        for name in ("count_predictions", "check_table", "final_training_accuracy"):
            patch.setattr(results, name, lambda *_: pytest.fail("read again"))
        assert [read_result(folder) for folder in folders] == before
        assert [results.read_final_accuracy(path) for path in histories] == accuracies
        patch.setitem(METRICS, "wrong", Metric("tests.toys:error_rate", "error rate"))
        new_process()
        assert read_result(folders[0]).metrics["test"]["wrong"] == pytest.approx(1 - before[0].metrics["test"]["accuracy"])
    new_process()
    stored = folders[0] / "result.json"
    content = json.loads(stored.read_text())
    content["metrics"]["test"]["accuracy"] += 0.01
    stored.write_text(json.dumps(content))
    shutil.copy(folders[2] / "predictions.parquet", folders[1])
    histories[-1].write_text("epoch\n")
    assert "metrics.test.accuracy: " in str(find_damage(folders[0]))
    assert "predictions.parquet" in str(find_damage(folders[1]))
    assert "no epochs" in str(find_damage(histories[-1].parent))
    for text in (
        "",
        "{",
        "[]",
        '{"version": 1}',
        '{"version": 0, "runs": {}}',
        '{"version": 1, "runs": {"' + folders[3].name,
    ):
        (tmp_path / "runs" / ".checked.json").write_text(text)
        new_process()
        assert read_result(folders[3]) == before[3]


def test_a_history_without_a_training_accuracy_has_none_when_it_was_read_before_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked, "SETTLED", -(10**12))
    run = RunFolder(tmp_path, "abc")
    leave(run, fake_result())
    history = run.file("history.csv")
    history.write_text("epoch,train/loss\n1,0.5\n")
    assert results.read_final_accuracy(history) is None
    assert read_result(run.path)
    checked.save_verified(tmp_path)
    new_process()
    monkeypatch.setattr(results, "final_training_accuracy", lambda *_: pytest.fail("read again"))
    assert results.read_final_accuracy(history) is None


def test_a_file_that_was_just_written_is_not_taken_for_settled(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "abc")
    leave(run, fake_result())
    assert find_damage(run.path) is None
    checked.save_verified(tmp_path)
    assert not (tmp_path / "runs" / ".checked.json").exists()


def test_settings_that_a_plan_has_validated_are_not_validated_again() -> None:
    for folder in OLD:
        new_process()
        result = read_result(folder)
        new_process()
        planned = result.config.model_copy()
        again = load_result(folder, planned)
        assert isinstance(again, results.Result)
        assert again == result
        stored = json.loads((folder / "result.json").read_text())["config"]
        assert (again.config is planned) == (stored == planned.model_dump(mode="json"))  # older runs lack newer settings
        new_process()
        other = result.config.model_copy(update={"seed": result.config.seed + 1})
        assert load_result(folder, other) == result


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}'])
def test_damage_is_explained_alike_with_planned_settings(text: str, tmp_path: Path) -> None:
    folder = tmp_path / OLD[0].name
    shutil.copytree(OLD[0], folder)
    planned = read_result(folder).config
    (folder / "result.json").write_text(text)
    errors = []
    for config in (None, planned):
        new_process()
        errors.append(str(load_result(folder, config)))
    assert errors[0] == errors[1]
    assert "result.json" in errors[0]
