"""Whatever a file in the results folder holds: one line that names it, the state ``damaged``, and ``--retry-failed``."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_cli.choices import last_choice
from fer_cli.config import METRICS, flatten
from fer_cli.config.scores import Metric
from fer_cli.errors import DamagedError, ResultsError
from fer_cli.estimate import core_seconds_per_epoch
from fer_cli.outputs import DETECTED, read_history
from fer_cli.results import find_damage, read_result
from fer_cli.runs import RunFolder, read_config
from fer_cli.study import load_study
from tests.conftest import Called
from tests.fakes import CONFUSION, fake_result, leave
from tests.studies import where

Fer = Callable[..., Called]

STUDY = """
name: pair
question: Is a damaged run seen?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25, label_noise: 0.2}
  model: {backbone: cnn3}
  train: {epochs: 2, batch_size: 32}
seeds: [0]
arms: {CNN: {}, SCN-CS: {learning.method: scn-cs}}
report: {against: CNN}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A folder with a study of two runs and their results."""
    from fer_cli.ablate import run_plan
    from fer_cli.config import Compute
    from fer_cli.plan import make_plan
    from fer_cli.study import Choice

    folder = tmp_path_factory.mktemp("pair")
    (folder / "pair.yaml").write_text(STUDY)
    compute = Compute(
        data_root=data_root, results=folder / "results", device="cpu", precision="fp32", threads=1, track=False
    )
    assert run_plan(make_plan(str(folder / "pair.yaml"), Choice(), compute), compute).complete
    return folder


@pytest.fixture
def pair(whole: Path, tmp_path: Path, data_root: Path) -> tuple[list[object], Path]:
    """Options of the study of two runs, and the folder of one of its finished runs; both are the test's own."""
    shutil.copytree(whole, tmp_path / "pair")
    run = next((tmp_path / "pair" / "results" / "runs").glob("*/labels.parquet")).parent
    return ["--study", tmp_path / "pair" / "pair.yaml", *where(data_root, tmp_path / "pair" / "results")], run


def put(folder: Path, **changes: Any) -> Path:
    """Write a result with some keys changed, and the predictions of the unchanged one; return its path."""
    run = RunFolder(folder, "abc")
    leave(run, fake_result())
    run.file("result.json").write_text(json.dumps(GOOD | changes))
    return run.file("result.json")


GOOD = json.loads(fake_result().as_text())
SCORES = GOOD["metrics"]["test"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metrics": {"test": SCORES | {"accuracy": 7.0}}}, "metrics.test.accuracy"),
        ({"metrics": {"test": SCORES | {"accuracy": float("nan")}}}, "metrics.test.accuracy"),
        ({"metrics": {"test": SCORES | {"accuracy": "0.5"}}}, "metrics.test.accuracy"),
        ({"metrics": {"test": SCORES | {"accuracy": None}}}, "metrics.test.accuracy"),
        ({"metrics": {"test": SCORES | {"confusion": [[1, 2], [3]]}}}, "confusion: not a square matrix"),
        ({"metrics": {"test": SCORES | {"confusion": [[1, 2], [3, 4]]}}}, "not of the 3 classes"),
        ({"metrics": {"test": SCORES | {"confusion": [[0] * 3] * 3}}}, "confusion"),
        ({"metrics": {"val": SCORES}}, "metrics.test: missing"),
        ({"metrics": 7}, "metrics"),
        ({"data": {"classes": CONFUSION}}, "data"),
        ({"config": {"seed": "x"}}, "config.seed"),
        ({"config": {"sed": 1}}, "config.sed"),
        ({"selection": GOOD["selection"] | {"weights": "../../other/best.pt"}}, "selection.weights"),
        ({"warnings": "none"}, "warnings"),
        ({"relabelled": {"changed": 1}}, "relabelled.count: missing"),
        ({"relabelled": {"count": 1, "recall": 1.5}}, "relabelled.recall"),
        ({"data": GOOD["data"] | {"train": 0}}, "data.train"),
        ({"health": {"alpha/sd": 0.1}}, "health: one of alpha/sd and alpha/gap"),
        ({"cost": {"seconds": {"total": -1.0}}}, "cost.seconds.total"),
        (
            {"metrics": {"test": SCORES | {"accuracy": 0.98}}},
            "metrics.test.accuracy: 0.98, but predictions.parquet gives",
        ),
        (
            {"metrics": {"test": SCORES | {"confusion": [[19, 1, 0], [0, 15, 0], [0, 0, 15]]}}},
            "metrics.test.confusion: differs",
        ),
        ({"metrics": {"test": SCORES, "val": SCORES}}, "metrics.val: predictions.parquet has no such part"),
        ({"schema": 7}, "schema 7 is unknown: this fer reads up to 1; update fer"),
        ({"schema": "x"}, "schema x is unknown"),
        ({"run_id": "other"}, "the result of another run, 'other'"),
    ],
)
def test_a_result_out_of_the_schema_is_damaged(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = put(tmp_path, **changes)
    with pytest.raises(DamagedError) as error:
        read_result(path.parent)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert "--retry-failed" in str(error.value)
    assert str(find_damage(path.parent)) == str(error.value)


@pytest.mark.parametrize("key", ["run_id", "fingerprint", "config", "metrics", "data", "selection", "cost", "machine"])
def test_a_missing_key_is_damage_and_a_further_one_is_not(tmp_path: Path, key: str) -> None:
    path = put(tmp_path, of_a_newer_version={"x": 1})
    assert read_result(path.parent) == fake_result()
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedError, match=f"{key}: missing"):
        read_result(path.parent)


def test_what_is_no_readable_file_is_damage_and_never_opened(tmp_path: Path) -> None:
    path = put(tmp_path)
    for text in (b"", b"{half", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"):
        path.write_bytes(text)
        assert isinstance(find_damage(path.parent), DamagedError), text[:10]
    path.unlink()
    path.mkdir()
    assert "a folder, not a file" in str(find_damage(path.parent))
    path.rmdir()
    os.mkfifo(path)
    assert "not a file" in str(find_damage(path.parent))
    path.unlink()
    path.symlink_to("nowhere")
    assert RunFolder(tmp_path, "other").damage is None
    assert "missing" in str(find_damage(path.parent))


def test_histories_and_settings_are_whole_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("epoch,train/accuracy\n1,0.5\n2,\n")
    rows = read_history(path)
    assert rows[0] == {"epoch": 1.0, "train/accuracy": 0.5}
    assert rows[1]["train/accuracy"] != rows[1]["train/accuracy"]
    for text in ("", "epoch,a\n", "epoch,a\n1,0.5\n2,0.", "epoch,a\n1\n", "epoch,a\n1,x\n", "a,b\n1,2\n", "\0"):
        path.write_text(text)
        with pytest.raises(DamagedError, match=r"history\.csv: "):
            read_history(path)
    for text in ("", "{", '{"seed": "x"}', '{"sed": 1}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(DamagedError, match=r"config\.json: "):
            read_config(tmp_path / "config.json")


@pytest.mark.parametrize("features", [None, ["hog"]])
def test_settings_of_a_wrong_type_in_an_old_result_are_damage(tmp_path: Path, features: object) -> None:
    path = put(tmp_path)
    content = json.loads(path.read_text())
    del content["schema"]
    path.write_text(json.dumps(content | {"seconds": {"total": 1.0}, "config": {"features": features}}))
    with pytest.raises(DamagedError, match=r"config\.features"):
        read_result(path.parent)


OLD = sorted((Path(__file__).parent / "fixtures" / "runs" / "results" / "runs").iterdir())
"""Runs from before results were numbered."""


@pytest.mark.parametrize("folder", OLD, ids=lambda folder: folder.name)
def test_an_old_result_loses_nothing_and_is_the_same_in_the_schema_of_today(folder: Path, tmp_path: Path) -> None:
    result, old = read_result(folder), json.loads((folder / "result.json").read_text())
    assert "schema" not in old
    shutil.copytree(folder, tmp_path / folder.name)
    (tmp_path / folder.name / "result.json").write_text(result.as_text())
    assert read_result(tmp_path / folder.name) == result
    new = json.loads(result.as_text())
    assert new.pop("schema") == 1
    assert new.pop("kind") == result.config.kind
    assert new.pop("predictions") == "predictions.parquet"
    cost = {key: value for key, value in new.pop("cost").items() if value is not None}
    assert new["data"].pop("counted") == {}
    assert new["relabelled"] is None or new["relabelled"].pop("broken") is None
    used, settings = (flatten(content.pop("config")) for content in (old, new))
    del used["learning.relabel_start"]  # read as relabel_view and relabel_from
    assert {name: settings[name] for name in used} == used
    old["selection"] = {"weights": "best.pt"} | old["selection"]
    for part, scores in old["metrics"].items():  # metrics that were added later are there too
        new["metrics"][part] = {name: new["metrics"][part][name] for name in scores}
    assert {"trained_on": None, "features": None} | old == {"trained_on": None} | new | cost


def test_a_metric_that_was_added_later_is_there_for_old_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cohen's kappa, by scikit-learn of the predictions."""
    import pandas as pd
    from sklearn.metrics import cohen_kappa_score

    monkeypatch.setitem(METRICS, "kappa", Metric("tests.toys:kappa", "kappa"))
    shutil.copytree(OLD[0], tmp_path / OLD[0].name)
    result = read_result(tmp_path / OLD[0].name)
    test = pd.read_parquet(OLD[0] / "predictions.parquet").query("part == 'test'")
    assert result.metrics["test"]["kappa"] == pytest.approx(cohen_kappa_score(test["label"], test["predicted"]))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "predictions.parquet: missing, so scores cannot be computed"),
        (lambda path: path.write_bytes(b""), "not a table of predictions"),
        (lambda path: pd_write(path, {"part": ["test"]}), "not a table of predictions"),
        (
            lambda path: pd_write(path, {"part": ["test"], "label": ["x"], "predicted": ["sad"]}),
            "not one of angry, happy, sad",
        ),
        (lambda path: pd_write(path, {"part": [1], "label": [2.0], "predicted": [None]}), "predictions.parquet: "),
        (lambda path: pd_write(path, {"part": [], "label": [], "predicted": []}), "predictions.parquet: "),
    ],
)
def test_a_run_without_the_predictions_of_its_scores_is_damaged(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    path = put(tmp_path).with_name("predictions.parquet")
    spoil(path)
    assert words in str(find_damage(path.parent))
    assert "--retry-failed" in str(find_damage(path.parent))


def pd_write(path: Path, columns: dict[str, list[object]]) -> None:
    import pandas as pd

    pd.DataFrame(columns).to_parquet(path)


def test_scores_of_images_with_a_face_come_from_the_predictions_or_are_those_that_were_stored(tmp_path: Path) -> None:
    """Older predictions do not say in which images a face was found; the matrix that was stored must fit then."""
    old = next(folder for folder in OLD if DETECTED in read_result(folder).metrics)
    run = tmp_path / old.name
    shutil.copytree(old, run)
    stored = json.loads((run / "result.json").read_text())
    test, seen = (read_result(run).metrics[part] for part in ("test", DETECTED))
    assert seen["accuracy"] == stored["metrics"][DETECTED]["accuracy"]
    assert (test.n, seen.n) == (56, 55)
    stored["metrics"][DETECTED]["accuracy"] += 0.01
    (run / "result.json").write_text(json.dumps(stored))
    assert f"metrics.{DETECTED}.accuracy: " in str(find_damage(run))
    stored["metrics"][DETECTED] = stored["metrics"]["test"] | {"confusion": [[99] * 8] * 8}
    (run / "result.json").write_text(json.dumps(stored))
    assert "counts exceed those of predictions.parquet" in str(find_damage(run))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "result.json": lambda path: path.write_text(path.read_text()[:300]),
    "history.csv": lambda path: path.write_text(""),
    "predictions.parquet": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "labels.parquet": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_shown_left_out_and_trained_again(fer: Fer, pair: tuple[list[object], Path], name: str) -> None:
    options, run = pair
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.suffix in {".csv", ".parquet"}}
    DAMAGES[name](run / name)

    planned = fer("ablate", *options, "--plan")
    assert planned.code == 0
    assert f"{run.name}\tdamaged\t" in planned.out
    assert "2 runs, 1 done, 1 to train" in planned.err
    assert len([line for line in planned.err.splitlines() if line.startswith("damaged: ") and str(run / name) in line]) == 1

    shown = fer("report", *options[:6])
    assert shown.code == 0
    told = [line for line in shown.err.splitlines() if line.startswith("1 of 2 runs are damaged and left out")]
    assert len(told) == 1
    assert str(run / name) in told[0]
    assert "n = 0/1" in shown.out
    assert "--retry-failed" in shown.err.splitlines()[-1]

    again = fer("ablate", *options, "--no-track")
    assert again.code == 1
    assert "0 done, 0 failed, 1 skipped, 1 damaged" in again.err
    assert str(run / name) in again.err

    retried = fer("ablate", *options, "--no-track", "--retry-failed")
    assert retried.code == 0, retried.err
    assert "1 done, 0 failed, 1 skipped" in retried.err
    after = {file: (run / file).read_bytes() for file in before}
    assert [file for file in before if after[file] != before[file]] in ([], ["history.csv"])  # which also holds times
    assert fer("report", *options[:6]).err.count("are damaged") == 0


def test_a_folder_in_the_place_of_a_result_is_replaced(fer: Fer, pair: tuple[list[object], Path]) -> None:
    options, run = pair
    (run / "result.json").unlink()
    (run / "result.json").mkdir()
    (run / "result.json" / "file").write_text("x")
    assert fer("ablate", *options, "--no-track").code == 1
    assert fer("ablate", *options, "--no-track", "--retry-failed").code == 0


def test_damaged_weights_of_the_run_that_others_start_from_fail_those_runs_in_one_line(
    pair: tuple[list[object], Path], whole: Path
) -> None:
    from fer_cli.learning.saved import read_weights

    _, run = pair
    content = bytearray((run / "best.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (run / "best.pt").write_bytes(content)
    with pytest.raises(DamagedError, match=r"best\.pt: .*; remove .* and retrain it with fer ablate$"):
        read_weights(run / "best.pt")
    for broken in (b"", content[:1000], b"cposix\nsystem\n(S'touch hacked'\ntR."):
        (run / "best.pt").write_bytes(broken)
        with pytest.raises(DamagedError):
            read_weights(run / "best.pt")
    assert not Path("hacked").exists()


def test_a_checkpoint_with_a_wrong_bit_is_not_continued(
    pair: tuple[list[object], Path], caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    from fer_cli.learning.train import find_checkpoint

    path = pair[1] / "last.ckpt"
    assert find_checkpoint(path) is None
    content = {"state_dict": {"x": torch.zeros(100)}, "epoch": 1, "callbacks": {}, "optimizer_states": []}
    torch.save(content, path)
    assert find_checkpoint(path) == path
    wrong = bytearray(path.read_bytes())
    wrong[len(wrong) // 2] ^= 1
    path.write_bytes(wrong)
    assert find_checkpoint(path) is None
    torch.save({"state_dict": {}}, path)
    assert find_checkpoint(path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"profile": 7, "data": null, "seeds": null}',
        '{"profile": "nope", "data": null, "seeds": null}',
        '{"profile": "small", "data": null, "seeds": [-1]}',
        '{"profile": "small", "data": null, "seeds": "012"}',
    ],
)
def test_a_wrong_record_of_the_last_study_is_one_line(fer: Fer, pair: tuple[list[object], Path], text: str) -> None:
    options, run = pair
    record = run.parent.parent / "studies" / "pair.json"
    record.write_text(text)
    called = fer("report", *options[:6])
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert called.err.startswith(f"error: {record}: ")
    assert "remove it" in called.err
    assert len(called.err) < 400 + len(str(record))
    record.unlink()
    record.mkdir()
    with pytest.raises(ResultsError, match="a folder, not a file"):
        last_choice(load_study(str(options[1])), run.parent.parent)


def test_times_are_estimated_from_what_can_be_read(pair: tuple[list[object], Path]) -> None:
    _, run = pair
    results = run.parent.parent
    assert len(core_seconds_per_epoch(results)) == 1
    for path in results.glob("runs/*/result.json"):
        path.write_text("[1, 2]")
    assert core_seconds_per_epoch(results) == {}


def test_an_error_without_words_is_reported_still(fer: Fer, pair: tuple[list[object], Path]) -> None:
    options, run = pair
    (run / "result.json").unlink()
    for content in (b"", b"\n\n", b"\xff\n"):
        (run / "error.txt").write_bytes(content)
        called = fer("ablate", *options, "--no-track")
        assert called.code == 1
        assert f"(traceback: {run / 'error.txt'})" in called.err
