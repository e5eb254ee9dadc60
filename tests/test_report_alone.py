"""``fer report`` from the results folder alone: the data root is gone, the table is the same."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_cli.ablate import run_plan
from fer_cli.config import Compute
from fer_cli.data.audit import audit_set, split_by_name, write_audit
from fer_cli.data.build import build_own
from fer_cli.data.kept import describe_built_set, read_kept
from fer_cli.data.manifest import load_set
from fer_cli.plan import make_plan
from fer_cli.study import Choice
from tests.conftest import draw_set
from tests.trees import picture

Fer = Callable[..., Any]

STUDY = """
name: alone
question: Is the table there without the data?
base:
  data: {name: mine, image_size: 16, folds: 3, val_fraction: 0.34, split: auto}
  train: {epochs: 1, batch_size: 16}
seeds: [0]
arms:
  plain: {model.backbone: cnn3}
  elsewhere: {model.backbone: cnn3, data.test: other}
report: {metrics: [accuracy], against: plain, analyses: [embedding]}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of one's own, from one of which a picture was left out, and a study that was trained on them."""
    home = tmp_path_factory.mktemp("alone")
    for name, people in (("mine", 12), ("other", 1)):
        source = draw_set(home / name, people, folders=("happy", "sadness"))
        if name == "mine":
            picture(source / "cover.png")
        build_own(name, source, "folder", r"(?P<subject>S\d+)_", home / "data", allow_incomplete=True)
    write_audit(home / "data", "mine", audit_set(load_set(home / "data", "mine"), split_by_name("mine", "subject")))
    (home / "alone.yaml").write_text(STUDY)
    here = Compute(data_root=home / "data", results=home / "results", device="cpu", precision="fp32", threads=1, track=False)
    assert run_plan(make_plan(str(home / "alone.yaml"), Choice(), here), here).ok
    return home


@pytest.fixture
def trained(home: Path, tmp_path: Path) -> tuple[Path, list[object]]:
    """A data root of the test's own, beside results of its own, and the options that name them."""
    for folder in ("data", "results"):
        shutil.copytree(home / folder, tmp_path / folder)
    root = tmp_path / "data"
    return root, ["--study", home / "alone.yaml", "--data-root", root, "--results", tmp_path / "results"]


def test_the_table_is_the_same_without_the_data(trained: tuple[Path, list[object]], fer: Fer) -> None:
    root, where = trained
    before = fer("report", *where)
    assert before.code == 0, before.err
    assert "not built under" not in before.err
    assert "mine: no image from 1 of its source's files and rows: " in before.out
    assert "mine: audit: clean (subject, 5 folds, seed 0)" in before.out
    shutil.rmtree(root)
    after = fer("report", *where)
    assert after.code == 0, after.err
    assert after.out == before.out
    kept = root.parent / "results" / "sets"
    assert f"not built under {root}: mine, other; using the records in {kept}" in after.err
    assert not root.exists()


def test_analyses_without_images_say_so_and_the_scores_are_there(trained: tuple[Path, list[object]], fer: Fer) -> None:
    root, where = trained
    root.rename(root.with_name("away"))
    told = fer("report", *where, "--figures", "--formats", "png")
    assert told.code == 0, told.err
    assert f"embedding: data set 'mine' is not built under {root}" in told.out
    root.with_name("away").rename(root)
    whole = fer("report", *where, "--figures", "--formats", "png")
    root.rename(root.with_name("away"))
    assert (
        fer("report", *where, "--figures", "--formats", "png").out == whole.out
    )  # what was computed once is kept with the runs


def test_an_audit_after_the_training_is_kept_by_the_next_report(trained: tuple[Path, list[object]], fer: Fer) -> None:
    root, where = trained
    fer("data", "audit", "mine", "--split", "random", "--data-root", root)
    first = read_kept(root.parent / "results", "mine")
    assert first is not None and set(first.audits) == {"subject"}
    assert fer("report", *where).code == 0
    kept = read_kept(root.parent / "results", "mine")
    assert kept is not None and set(kept.audits) == {"subject", "random"}
    assert kept == describe_built_set(root, "mine")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.unlink(), "data set 'mine' is not built under"),
        (lambda file: file.write_text("{"), "mine.json: Invalid JSON"),
        (lambda file: file.write_bytes(b"\xff"), "mine.json: not UTF-8"),
        (
            lambda file: file.write_text(file.read_text().replace('"name": "mine"', '"name": "x"')),
            "describes another set, 'x'",
        ),
    ],
)
def test_what_is_missing_is_one_line(
    trained: tuple[Path, list[object]], fer: Fer, spoil: Callable[[Path], object], words: str
) -> None:
    root, where = trained
    shutil.rmtree(root)
    spoil(root.parent / "results" / "sets" / "mine.json")
    told = fer("report", *where)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1), told.err
    assert words in told.err
