"""Runs as users name them: ids, their beginnings, folders, the best seed of an arm; and what is none."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from fer_cli.config import Compute, FeaturesConfig, RunConfig
from fer_cli.errors import FerError
from fer_cli.runs import RunFolder
from fer_cli.use.named import find_run
from tests.fakes import changed, fake_result, leave


@pytest.fixture
def compute(tmp_path: Path, data_root: Path) -> Compute:
    return Compute(data_root=data_root, results=tmp_path / "results")


@pytest.fixture
def runs(compute: Compute) -> dict[str, RunFolder]:
    """Two finished runs whose ids begin alike, one that failed, one that was begun."""
    found = {}
    for name in ("abc123abc123", "abc456abc456", "def000000000"):
        found[name] = RunFolder(compute.results, name)
        leave(found[name], fake_result(name))
    failed, begun = (RunFolder(compute.results, name) for name in ("fa11ed000000", "be90be90be90"))
    for folder in (failed, begun):
        folder.path.mkdir(parents=True)
    failed.write_error("Traceback\nFloatingPointError: loss was not finite\n")
    begun.file("last.ckpt").touch()
    return found


def found(text: str | Path, compute: Compute) -> str:
    folder, result, why = find_run(str(text), compute)
    assert result.run_id == folder.run_id and not why
    return folder.run_id


def test_ids_beginnings_and_folders(runs: dict[str, RunFolder], compute: Compute, tmp_path: Path) -> None:
    assert found("abc123abc123", compute) == "abc123abc123"
    assert found("abc1", compute) == "abc123abc123"
    assert found("def", compute) == "def000000000"
    assert found(runs["def000000000"].path, compute) == "def000000000"
    elsewhere = tmp_path / "models" / "def000000000"
    shutil.copytree(runs["def000000000"].path, elsewhere)
    folder, _, _ = find_run(str(elsewhere), compute)
    assert folder.path == elsewhere and folder.file("best.pt").parent == elsewhere


WRONG = {
    "abc": "abc: 2 runs begin with it: abc123abc123, abc456abc456; give more digits",
    "ax": "no run 'ax'",
    "abc124abc123": "(a run is an id, a folder or STUDY:ARM); nearest: abc123abc123",
    "zzz": "no run 'zzz'",
    "": "no run ''",
    "results/none": "no such run folder",
    "fa11ed000000": "its state is failed (FloatingPointError: loss was not finite)); finish it with fer ablate",
    "be90": "its state is stale",
    "no-such:CNN": "no study named 'no-such'",
    "scn-cs:SCN-C": "scn-cs: no arm 'SCN-C'; did you mean SCN-CS",
    "a\nb": "no run 'a\\nb'",
}


@pytest.mark.parametrize("text", WRONG)
def test_other_names_are_explained(runs: dict[str, RunFolder], compute: Compute, text: str) -> None:
    with pytest.raises(FerError) as raised:
        find_run(text, compute)
    assert WRONG[text] in str(raised.value)
    assert "\n" not in str(raised.value)


def test_no_runs_at_all(compute: Compute) -> None:
    with pytest.raises(FerError, match="has no runs; train some with fer ablate"):
        find_run("abc", compute)


def test_runs_without_a_network_for_pictures_are_refused(runs: dict[str, RunFolder], compute: Compute) -> None:
    fitted = RunConfig(features=FeaturesConfig(blocks=["hog", "sift"]))
    joined = RunConfig(features=FeaturesConfig(blocks=["hog"], classifier="network"))
    for config, kind, words in ((fitted, "features", "has no network"), (joined, "stills", "also takes features (hog)")):
        folder = RunFolder(compute.results, "fea000000000")
        leave(folder, fake_result("fea000000000", config, kind=kind))
        with pytest.raises(FerError, match="fea000000000") as raised:
            find_run("fea0", compute)
        assert words in str(raised.value)
        shutil.rmtree(folder.path)


def test_a_damaged_run_is_one_line(runs: dict[str, RunFolder], compute: Compute) -> None:
    runs["def000000000"].file("predictions.parquet").write_bytes(b"")
    with pytest.raises(FerError, match=r"predictions\.parquet"):
        find_run("def000000000", compute)


def test_a_finished_arm_that_cannot_be_used_says_why(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its runs the first is not begun, the second fits a classifier on features, the third is damaged."""
    folders = [RunFolder(compute.results, name) for name in ("000000000000", "fea000000000", "dab000000000")]
    leave(folders[1], fake_result("fea000000000", RunConfig(features=FeaturesConfig(blocks=["hog"])), kind="features"))
    leave(folders[2], fake_result("dab000000000"))
    folders[2].file("predictions.parquet").write_bytes(b"")
    items = [SimpleNamespace(run=SimpleNamespace(arm="HOG", seed=n, title="t"), folder=one) for n, one in enumerate(folders)]
    monkeypatch.setattr("fer_cli.plan.make_plan", lambda *_: SimpleNamespace(items=items))
    with pytest.raises(FerError, match=r"run fea000000000: fits .* has no network"):
        find_run("feature-fusion:HOG", compute)
    items.reverse()
    with pytest.raises(FerError, match=r"predictions\.parquet"):
        find_run("feature-fusion:HOG", compute)


def test_the_best_seed_of_an_arm_is_chosen_on_validation(
    finished: tuple[Path, Path], data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, results = finished[0], tmp_path / "results"
    shutil.copytree(finished[1], results, ignore=shutil.ignore_patterns("mlflow*"))
    compute = Compute(data_root=data_root, results=results)
    _, result, why = find_run(f"{study}:SCN-CS", compute)
    arms = [
        one.result()
        for one in (RunFolder(results, path.name) for path in (results / "runs").iterdir() if path.is_dir())
        if one.result().config.learning.method == "scn-cs"
    ]
    assert len(arms) == 6
    best = max(one.selection.value or 0.0 for one in arms)
    assert result.selection.value == best and result.config.learning.method == "scn-cs"
    assert f"the best of 6 finished runs by val/macro_f1 ({best:.3f})" in why
    worst = min(arms, key=lambda one: one.selection.value or 0.0)
    other = RunFolder(results, worst.run_id)
    changed(other, selection=worst.selection.model_copy(update={"value": 1.5}))
    assert find_run(f"{study}:SCN-CS", compute)[0].run_id == worst.run_id
    for one in arms:
        RunFolder(results, one.run_id).file("result.json").unlink()
    with pytest.raises(FerError, match=r"SCN-CS: none of its runs .* is finished; run fer ablate"):
        find_run(f"{study}:SCN-CS", compute)
