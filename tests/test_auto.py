"""``data.split: auto``: the strictest split that a set allows, settled before runs get their identity, named in tables."""

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_cli.config import Compute, Known, auto_split
from fer_cli.data.audit import audit_set
from fer_cli.data.block import Block
from fer_cli.data.identity import file_hash
from fer_cli.data.manifest import FaceSet, load_known, load_set
from fer_cli.data.splits import known_of
from fer_cli.errors import StudyError
from fer_cli.expand import expand
from fer_cli.plan import make_plan
from fer_cli.study import Choice, load_study
from tests.conftest import Called, draw_face
from tests.reports import fake_results
from tests.sets import rewrite

Fer = Callable[..., Called]
PARTS = frozenset({"train", "test"})
FER2013 = frozenset({"train", "public", "private"})
WORDS = ("happy", "sadness", "surprise")


@pytest.mark.parametrize(
    ("known", "split"),
    [
        (Known(PARTS, 30, 60), "official"),
        (Known(FER2013), "official"),
        (Known(frozenset({"train", "val"}), 30), "subject"),
        (Known(frozenset({"test"}), 0, 60), "sequence"),
        (Known(people=30, sequences=60), "subject"),
        (Known(people=1, sequences=60), "sequence"),
        (Known(sequences=1), "random"),
        (Known(), "random"),
    ],
)
def test_the_strictest_split_that_a_set_allows(known: Known, split: str) -> None:
    assert auto_split(known)[0] == split


def test_only_what_every_image_has_is_known() -> None:
    manifest = pd.DataFrame(
        {"sample": list("abcd"), "subject": ["p", "q", "q", ""], "sequence": ["1", "1", "2", "3"], "split": "none"}
    )
    assert known_of(manifest) == Known(frozenset(), 0, 4)
    manifest.loc[3, "subject"] = "unknown"
    assert known_of(manifest).people == 0
    manifest.loc[3, ["subject", "sequence", "split"]] = "r", "", "train"
    assert known_of(manifest) == Known(frozenset(), 3, 0)  # three images are in no part: official would waste them
    manifest["split"] = ["train", "train", "test", "train"]
    assert known_of(manifest).parts == {"train", "test"}


def test_runs_on_sets_with_people_keep_their_identity() -> None:
    study = load_study("scn-cs")
    said = study.model_copy(update={"base": study.base | {"data.split": "subject"}})
    for profile in ("smoke", "small", "paper"):
        auto, explicit = (expand(one, Choice(profile, "ck48")) for one in (study, said))
        assert [run.config for run in auto] == [run.config for run in explicit]
    assert {run.config.data.split for run in expand(study, Choice())} == {"subject"}


def test_folds_and_shares_go_where_official_parts_leave_them_no_effect() -> None:
    study = load_study("scn-cs")
    with_validation = expand(study, Choice(), lambda _: Known(FER2013))[0]
    assert (with_validation.config.data.split, with_validation.config.data.val_fraction) == ("official", 0.15)
    study = load_study("sge-bsconv")  # its share to validate on, a tenth, is not the default
    parts = [expand(study, Choice(), lambda _, p=p: Known(p))[0].config.data.val_fraction for p in (FER2013, PARTS)]
    assert parts == [0.15, 0.1]
    assert "published with parts" in with_validation.why_split


@pytest.mark.parametrize("name", ["random", "holdout", "loso", "sequence", "subject", "official", "auto"])
def test_a_split_may_be_chosen_on_the_command_line(name: str) -> None:
    run = expand(load_study("scn-cs"), Choice(split=name), lambda _: Known(PARTS, 9, 9))[0]
    assert run.config.data.split == {"auto": "official"}.get(name, name)
    assert bool(run.why_split) == (name == "auto")


@pytest.mark.parametrize(
    ("study", "split", "words"),
    [
        ("scn-cs", "subjcet", "--split: no split 'subjcet'; did you mean subject, sequence?"),
        ("scn-cs", "list", "--split list: set data.split and data.split_file in a copy of the study"),
        ("leakage", "random", "--split: arm random folds of leakage sets data.split"),
        ("feature-fusion", "random", "--split: grid of feature-fusion sets data.split"),
    ],
)
def test_a_split_that_cannot_be_chosen_is_one_line(fer: Fer, tmp_path: Path, study: str, split: str, words: str) -> None:
    called = fer(
        "ablate", "--study", study, "--split", split, "--plan", "--data-root", tmp_path, "--results", tmp_path / "r"
    )
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert words in called.err


def test_two_columns_that_become_one_are_refused() -> None:
    study = load_study("feature-fusion")
    study = study.model_copy(update={"grid": {"data.split": ["auto", "official"]}})
    with pytest.raises(StudyError, match="give the same runs on synth-learning; remove one"):
        expand(study, Choice(), lambda _: Known(PARTS))
    columns = {run.at for run in expand(load_study("feature-fusion"), Choice())}
    assert columns == {(("data.split", "subject"),), (("data.split", "holdout"),)}


SHAPES = {
    "subjects": ({"subject": "p{person}"}, "subject"),
    "sequences": ({"sequence": "c{person}{word}"}, "sequence"),
    "parts": ({"split": "{part}"}, "official"),
    "nothing": ({}, "random"),
}


def listed(folder: Path, shape: str, people: int = 12) -> Path:
    """Write drawn faces and a table that says of each what the shape has; return the table."""
    folder.mkdir(parents=True)
    columns = SHAPES[shape][0]
    with (folder / "faces.csv").open("w", newline="") as stream:
        rows = csv.DictWriter(stream, ["file", "label", *columns])
        rows.writeheader()
        for person in range(people):
            for word in WORDS:
                name = f"{person}{word}.png"
                assert cv2.imwrite(str(folder / name), draw_face(word, person, 1))
                said = {"person": person, "word": word, "part": "test" if person == 0 else "train"}
                own = {column: text.format(**said) for column, text in columns.items()}
                rows.writerow({"file": name, "label": {"sadness": "sad"}.get(word, word)} | own)
    return folder / "faces.csv"


def follow(fer: Fer, printed: str, tmp_path: Path) -> list[str]:
    """Run the commands of the last line printed, a study with one batch of one run each; return the studies' commands."""
    line = printed.strip().splitlines()[-1]
    assert line.startswith("next: ")
    studies = []
    for command in line.removeprefix("next: ").split(" · "):
        words = shlex.split(command)
        assert words[0] == "fer", command
        if words[1] == "ablate":
            studies.append(command)
            words += [
                "--smoke",
                "--only",
                "CNN",
                "--seeds",
                "1",
                "--profile",
                "smoke",
                "--results",
                str(tmp_path / "results"),
            ]
        elif "peek" in words:
            words += ["--out", str(tmp_path / "peek.png")]
        called = fer(*words[1:])
        assert called.code == 0 or ("audit" in words and called.code == 1), called.err
    return studies


@pytest.mark.parametrize(
    "shape", [name if name in {"subjects", "nothing"} else pytest.param(name, marks=pytest.mark.slow) for name in SHAPES]
)
def test_what_is_printed_after_a_build_and_an_audit_runs_as_printed(fer: Fer, tmp_path: Path, shape: str) -> None:
    source, root = listed(tmp_path / "source", shape), tmp_path / "data"
    built = fer("data", "build", "lab", "--from", source, "--layout", "csv", "--data-root", root)
    assert built.code == 0, built.err
    studies = follow(fer, built.err, tmp_path)
    assert studies == [f"fer ablate --study scn-cs --data lab --data-root {root}"]
    audited = fer("data", "audit", "lab", "--data-root", root)
    assert (audited.code, json.loads((root / "lab" / "audit.json").read_text())["audits"].keys()) == (0, {SHAPES[shape][1]})
    assert follow(fer, audited.err, tmp_path) == studies
    planned = fer("ablate", *studies[0].split()[2:], "--plan", "--results", tmp_path / "results")
    assert planned.code == 0, planned.err
    plan = make_plan("scn-cs", Choice(data="lab"), Compute(data_root=root, results=tmp_path / "results"))
    assert {item.run.config.data.split for item in plan.items} == {SHAPES[shape][1]}
    assert not (tmp_path / "results").exists()


def test_what_is_printed_after_combining_runs_as_printed(fer: Fer, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name, shape in (("one", "subjects"), ("two", "nothing")):
        assert (
            fer("data", "build", name, "--from", listed(tmp_path / name, shape), "--layout", "csv", "--data-root", root).code
            == 0
        )
    combined = fer("data", "combine", "both", "--of", "one,two", "--map", "basic-7", "--data-root", root)
    assert combined.code == 0, combined.err
    assert follow(fer, combined.err, tmp_path) == [f"fer ablate --study scn-cs --data both --data-root {root}"]


def test_a_set_too_small_for_the_study_is_not_sent_into_an_error(fer: Fer, tmp_path: Path) -> None:
    source, root = listed(tmp_path / "source", "subjects", people=3), tmp_path / "data"
    built = fer("data", "build", "lab", "--from", source, "--layout", "csv", "--data-root", root)
    assert built.code == 0
    last = built.err.strip().splitlines()[-1]
    assert last.endswith("study scn-cs cannot run on it (lab: 3 subjects cannot fill 5 subject folds; lower data.folds)")


def test_a_plan_makes_every_check_of_training_and_writes_nothing(fer: Fer, root: Path, tmp_path: Path) -> None:
    """The set's images are all grey: training would stop; so does the plan, as training does, before anything is made."""
    faces = load_set(root, "ck48")
    stream = np.lib.format.open_memmap(root / "ck48" / "images.npy", mode="r+")
    stream[:] = 128
    stream.flush()

    rewrite(
        root / "ck48", files=faces.info.files | {"images.npy": file_hash(root / "ck48" / "images.npy", remembered=False)}
    )
    where = (
        "--study",
        "scn-cs",
        "--data",
        "ck48",
        "--profile",
        "smoke",
        "--data-root",
        root,
        "--results",
        tmp_path / "r" / "s",
    )
    for more in ((), ("--plan",), ("--smoke",)):
        called = fer("ablate", *where, *more)
        assert (called.code, called.err.count("\n")) == (2, 1)
        assert "the training images have no contrast (deviation 0: each pixel is 128)" in called.err
    assert not (tmp_path / "r").exists()


STUDY = """
name: absent
question: What is said of a class that is not trained on?
base:
  data: {name: lab, image_size: 24, split: auto, val_fraction: 0.25}
  model: {backbone: cnn3}
  train: {epochs: 2}
seeds: [0]
arms: {CNN: {}}
report: {against: CNN}
"""


def test_a_class_without_training_images_is_named_before_training_and_at_the_table(fer: Fer, tmp_path: Path) -> None:
    """Official parts may give all images of a class to the test part."""
    source, root = listed(tmp_path / "source", "parts"), tmp_path / "data"
    lines = source.read_text().splitlines()
    source.write_text("\n".join(re.sub("train$", "test", line) if "surprise" in line else line for line in lines) + "\n")
    assert fer("data", "build", "lab", "--from", source, "--layout", "csv", "--data-root", root).code == 0
    study = tmp_path / "absent.yaml"
    study.write_text(STUDY)
    where = ["--study", study, "--data-root", root, "--results", tmp_path / "results", "--no-track", "--precision", "fp32"]
    planned = fer("ablate", *where, "--plan")
    assert "warning: lab, split official: no training image of surprise" in planned.err
    assert fer("ablate", *where).code == 0
    report = fer("report", *where[:6])
    main = report.out[: report.out.index("## macro-F1")]
    assert "no training image of surprise in seed 0: its images cannot be classified correctly" in main
    assert "split `official` (chosen because the set was published with parts)" in report.out


def test_a_table_of_another_split_has_files_of_its_own(fer: Fer, study_file: Path, compute: Compute) -> None:
    choice = Choice(seeds=(0, 1), split="random")
    fake_results(
        make_plan(str(study_file), choice, compute),
        {(arm, noise): [0.5, 0.6] for arm in ("CNN", "SCN-CS") for noise in (0.0, 0.3)},
    )
    where = ["--study", study_file, "--data-root", compute.data_root, "--results", compute.results]
    report = fer("report", *where, "--split", "random", "--seeds", "2")
    assert report.code == 0, report.err
    assert "tiny on ck48 (small, split random)" in report.out
    assert (compute.results / "tables" / "tiny-ck48-small-random.csv").is_file()


def changed(faces: FaceSet, order: np.ndarray) -> FaceSet:
    return FaceSet(faces.info, faces.manifest.iloc[order].reset_index(drop=True), faces.images.select(order))


def test_near_duplicates_across_parts_are_those_of_a_whole_group_whatever_the_order(data_root: Path) -> None:
    """Three copies of a face, two trained on and one tested on, and a near duplicate of them that is trained on.

    The copies are a leak of their own; the near duplicate is another, although the first copy stands where it does.
    """
    faces = load_set(data_root, "ck48")
    random = np.random.default_rng(0)
    manifest = faces.manifest.copy()
    images = np.stack(
        [cv2.GaussianBlur(random.integers(0, 256, (48, 48), np.uint8), (0, 0), 2) for _ in range(len(manifest))]
    )
    manifest["sequence"], manifest["sha256"], manifest["file"] = "", manifest["sample"], ""
    manifest["split"] = np.where(np.arange(len(manifest)) % 4 == 3, "test", "train")
    images[[1, 3]] = images[0]
    images[2] = np.clip(images[0] + random.normal(0, 1, images[0].shape), 0, 255).astype(np.uint8)
    faces = FaceSet(faces.info, manifest, Block(images))
    before = None
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(len(manifest)) if seed else np.arange(len(manifest))
        audit = audit_set(changed(faces, order))
        found = (audit.count("exact_across"), audit.count("near_across"), audit.folds[0].seen, audit.folds[0].sizes)
        before = before or found
        assert found == before
    assert before is not None
    assert before[:2] == (1, 1) and before[2] == {"test": 1}


def test_what_a_set_knows_is_read_from_its_manifest(data_root: Path, drawn: Path, tmp_path: Path) -> None:
    assert load_known(data_root, "ck48") == known_of(load_set(data_root, "ck48").manifest)
    assert load_known(drawn, "synth-basic").people == 2
    assert load_known(tmp_path, "synth-basic") == Known(people=600)


def test_a_column_left_to_the_set_bears_the_name_of_what_it_became(fer: Fer, tmp_path: Path, compute: Compute) -> None:
    study = tmp_path / "columns.yaml"
    grid = STUDY.replace("split: auto, ", "").replace("arms:", "grid: {data.split: [auto, holdout]}\narms:")
    grid = grid.replace("name: absent", "name: columns").replace("name: lab", "name: ck48")
    study.write_text(grid.replace("{against", "{columns: data.split, against"))
    fake_results(make_plan(str(study), Choice(), compute), {("CNN", 0.0): [0.5]})
    report = fer("report", "--study", study, "--data-root", compute.data_root, "--results", compute.results)
    assert report.code == 0, report.err
    (head,) = [line for line in report.out.splitlines() if line.count("split holdout") and line.startswith("|")][:1]
    assert "split subject" in head and "auto" not in head, head
    assert "–" not in report.out[report.out.index("| CNN") :].split("\n")[0]
