"""``fer extract-features`` end to end, on drawn faces: the split's network, the blocks, the file, what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_cli.analysis.deep import find_finished_run, parts_of
from fer_cli.config import Compute
from fer_cli.errors import DataError
from fer_cli.features.files import read_features
from fer_cli.places import PACKAGE
from tests.conftest import Called
from tests.sets import rewrite
from tests.studies import run_fer

Fer = Callable[..., Called]


@pytest.fixture
def where(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    return ["--data", "ck48", "--profile", "smoke", "--results", tmp_path / "results", "--data-root", data_root, "-j", 1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """Results with the network of the study and the split that the command takes by default."""
    results = tmp_path_factory.mktemp("trained") / "results"
    where = ("--data", "ck48", "--profile", "smoke", "--results", results, "--data-root", data_root)
    run_fer("ablate", "--study", "cnn-features", *where, "--only", "auto", "--seeds", "1", "--no-track")
    return results


def test_all_three_are_fused_and_nothing_is_done_twice(
    fer: Fer, where: list[object], data_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "all.npz"
    first = fer("extract-features", "--fuse", "sift,cnn,hog", *where, "--out", out)
    assert first.code == 0, first.err
    assert [line.split("\t")[:2] for line in first.out.splitlines()[1:]] == [
        ["cnn", "256"],
        ["hog", "1764"],
        ["sift", "128"],
    ]
    assert "2148 dimensions" in first.err
    assert first.err.splitlines()[-1].endswith(f"fer features show {out} --data-root {data_root}")
    runs = list((tmp_path / "results" / "runs").glob("*/result.json"))
    assert len(runs) == 1
    assert not (tmp_path / "results" / "studies").exists()  # what fer report shows of the study is left alone
    written = (
        runs[0].stat().st_mtime_ns,
        {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")},
    )
    assert written[1]

    again = fer("extract-features", "--fuse", "cnn,hog,sift", *where, "--out", tmp_path / "again.npz")
    assert again.code == 0, again.err
    assert (tmp_path / "again.npz").read_bytes() == out.read_bytes()
    now = runs[0].stat().st_mtime_ns, {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")}
    assert now == written

    features = read_features(out)
    assert features.values.shape == (168, 2148)
    assert features.values.min() >= 0
    assert features.values.max() <= 1
    split = features.provenance["split"]
    assert features.provenance["extractors"]["cnn"]["run"] == runs[0].parent.name
    compute = Compute(data_root=data_root, results=tmp_path / "results")
    trained = set(parts_of(find_finished_run(runs[0].parent.name, compute), compute)["train"])
    assert len(trained) == split["train"]
    rows = np.isin(features.samples, list(trained))
    assert np.allclose(features.values[rows].max(0)[features.values.max(0) > 0], 1)  # scaled by training rows alone

    told = fer("features", "show", out)
    assert told.code == 0
    assert "168 images, 2148 dimensions, scaling min-max" in told.err
    assert runs[0].parent.name in told.err
    assert [line.split("\t")[0] for line in told.out.splitlines()] == ["block", "cnn", "hog", "sift"]


def test_blocks_are_drawn_by_label_and_only_with_their_own_data(
    fer: Fer, where: list[object], data_root: Path, tmp_path: Path
) -> None:
    out, picture = tmp_path / "hog.parquet", tmp_path / "hog.png"
    assert fer("extract-features", "--fuse", "hog,lbp", *where, "--out", out).code == 0
    drawn = fer("features", "show", out, "--picture", picture, "--data-root", data_root)
    assert drawn.code == 0, drawn.err
    assert cv2.imread(str(picture)).shape[1] > 500
    other = tmp_path / "data"
    shutil.copytree(data_root, other)
    rewrite(other / "ck48", fingerprint="0" * 16)
    refused = fer("features", "show", out, "--picture", tmp_path / "b.png", "--data-root", other)
    assert refused.code == 2
    assert "the features were computed from other data (fingerprint" in refused.err
    assert not (tmp_path / "b.png").exists()


def test_a_network_that_saw_the_test_images_is_refused(fer: Fer, trained: Path, where: list[object], tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "results")
    run = next((tmp_path / "results" / "runs").glob("*/result.json")).parent.name
    other = fer("extract-features", "--fuse", "cnn", *where, "--run", run, "--seed", 1, "--out", tmp_path / "a.npz")
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "test samples are in its training part" in other.err
    assert not (tmp_path / "a.npz").exists()
    own = fer("extract-features", "--fuse", "cnn", *where, "--run", run, "--out", tmp_path / "a.npz")
    assert own.code == 0, own.err


def test_settings_give_other_values_and_another_file(fer: Fer, where: list[object], tmp_path: Path) -> None:
    told = []
    for settings in ([], ["--set", "hog.norm=max", "--scaling", "none"]):
        called = fer("extract-features", "--fuse", "hog", *where, *settings)
        assert called.code == 0, called.err
        told.append(called.err)
    files = sorted(path.name for path in (tmp_path / "results" / "features").iterdir())
    assert files == ["ck48-auto-0-hog-smoke-none-hog.norm=max.parquet", "ck48-auto-0-hog-smoke.parquet"]
    largest = read_features(tmp_path / "results" / "features" / files[0]).values.reshape(168, 49, 36).max(2)
    assert set(np.unique(largest)) <= {0.0, 1.0}  # Eq 6: the largest value of a block is 1


def test_weights_that_are_gone_and_runs_without_a_network_are_told(
    fer: Fer, trained: Path, where: list[object], tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "results")
    first = fer("extract-features", "--fuse", "cnn", *where, "--out", tmp_path / "a.npz")
    assert first.code == 0, first.err
    path = tmp_path / "fitted.yaml"
    shipped = (PACKAGE.parent / "experiments" / "cnn-features.yaml").read_text()
    shipped = shipped.replace("name: cnn-features", "name: fitted").replace("  auto: {}", "  auto: {features.blocks: [hog]}")
    path.write_text(shipped)
    fitted = fer("extract-features", "--fuse", "cnn", *where, "--study", path, "--out", tmp_path / "b.npz")
    assert (fitted.code, "without a network to extract features with" in fitted.err) == (2, True), fitted.err
    run = next(path.parent for path in (tmp_path / "results" / "runs").glob("*/best.pt"))
    (run / "best.pt").unlink()
    shutil.rmtree(tmp_path / "cache")
    gone = fer("extract-features", "--fuse", "cnn", *where, "--out", tmp_path / "b.npz")
    assert (gone.code, gone.err.count("\n")) == (2, 1), gone.err
    assert f"{run / 'best.pt'}: missing" in gone.err


def test_network_and_split_may_be_those_of_an_own_study(fer: Fer, where: list[object], tmp_path: Path) -> None:
    shipped = (PACKAGE.parent / "experiments" / "cnn-features.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(shipped.replace("name: cnn-features", "name: mine").replace("vgg-small}", "resnet18-small}"))
    out = tmp_path / "mine.npz"
    called = fer("extract-features", "--fuse", "cnn", *where, "--study", path, "--split", "holdout", "--out", out)
    assert called.code == 0, called.err
    features = read_features(out)
    assert features.values.shape == (168, 128)
    config = json.loads(next((tmp_path / "results" / "runs").glob("*/config.json")).read_text())
    assert (config["model"]["backbone"], config["data"]["split"]) == ("resnet18-small", "holdout")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fuse", "cnn,hgo"], "--fuse: no features 'hgo'; did you mean hog?"),
        (["--fuse", "hog,hog"], "'hog' is given twice"),
        (["--fuse", ""], "--fuse: no features ''"),
        (["--fuse", "hog", "--scaling", "minmax"], "--scaling: no scaling 'minmax'; did you mean min-max?"),
        (
            ["--fuse", "hog", "--split", "autos"],
            "no arm 'autos' in study cnn-features; did you mean auto?",
        ),
        (["--fuse", "hog", "--set", "hog.nrm=max"], "--set: hog.nrm: unknown key; did you mean hog.norm"),
        (["--fuse", "hog", "--set", "hog.cell=x"], "--set: hog.cell: Input should be a valid integer (given: 'x')"),
        (["--fuse", "hog", "--set", "norm"], "--set norm: expected BLOCK.NAME=VALUE"),
        (["--fuse", "hog", "--set", "sift.dense=true"], "--set sift: has no effect: sift is not among --fuse"),
        (["--fuse", "hog", "--out", "a.csv"], "a.csv: feature files must end in .parquet or .npz"),
        (["--fuse", "cnn", "--run", "0123456789ab"], "no run under "),
        (["--fuse", "hog", "--study", "feature-fusion", "--split", "CNN"], "its arms have levels (data.split)"),
        (["--fuse", "hog", "--study", "cnn-feature"], "no study named 'cnn-feature'; did you mean cnn-features"),
    ],
)
def test_bad_input_is_one_line(fer: Fer, where: list[object], arguments: list[str], words: str) -> None:
    called = fer("extract-features", *where, *arguments)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert words in called.err


def test_show_refuses_what_is_no_features_file(fer: Fer, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK")
    for name, words in (("a.npz", "damaged or not a feature file"), ("b.npz", "no such features file")):
        called = fer("features", "show", tmp_path / name)
        assert (called.code, called.err.count("\n")) == (2, 1)
        assert words in called.err


def test_a_table_of_another_program_is_not_called_damaged_by_a_key(tmp_path: Path) -> None:
    import pandas as pd

    with (tmp_path / "a.parquet").open("wb") as stream:
        pd.DataFrame({"x": range(1000)}).to_parquet(stream)
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    for name in ("a.parquet", "a.npz"):
        with pytest.raises(DataError, match=r"not a feature file \(not written by fer\)"):
            read_features(tmp_path / name)
