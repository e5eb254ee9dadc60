"""The audit finds every planted copy, leak, conflict and blank, and nothing in a clean set."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from fer_cli.cli.audit import audit as audit_command
from fer_cli.config import DataConfig
from fer_cli.data import duplicates
from fer_cli.data.audit import Audit, audit_lines, audit_set, audit_text, split_by_name, write_audit
from fer_cli.data.block import Block
from fer_cli.data.cards import Embedded
from fer_cli.data.duplicates import compare_thumbs, exact_groups, near_duplicates, take_prints
from fer_cli.data.findings import KINDS, gather_facts, groups_of, leaks_of
from fer_cli.data.identity import fingerprint, image_hash
from fer_cli.data.manifest import COLUMNS, IMAGES, FaceSet, SetInfo, load_set, write_set
from fer_cli.errors import DataError
from tests.conftest import draw_face
from tests.sets import render_set

CLASSES = ["angry", "happy", "neutral", "surprise"]
DRAWN = Embedded(recipes="basic", images=160, subjects=20, size=48, seed=5, difficulty=0.3)


def face_set(manifest: pd.DataFrame, images: np.ndarray) -> FaceSet:
    counts = manifest["label"].value_counts().to_dict()
    info = SetInfo(
        name="faces",
        title="faces",
        card_version=1,
        licence="none",
        classes=sorted(counts),
        counts=counts,
        subjects=manifest["subject"].nunique(),
        image_size=images.shape[1],
        preprocessing=[],
        found=len(images),
        kept=len(images),
        unreadable={},
        differences=[],
        fingerprint=fingerprint(manifest, image_hash(Block(images)), [], sorted(counts)),
        fer_version="0",
        files={IMAGES: image_hash(Block(images))},
    )
    return FaceSet(info, manifest, Block(images))


@pytest.fixture(scope="module")
def drawn() -> tuple[pd.DataFrame, np.ndarray]:
    """160 embedded faces of 20 people, published as train (p0-p11), val (p12-p15) and test (p16-p19)."""
    manifest, images, _ = render_set(DRAWN, CLASSES)
    manifest["file"] = manifest["label"] + "/" + manifest["sample"] + ".png"
    person = manifest["subject"].str[1:].astype(int)
    manifest["split"] = np.where(person < 12, "train", np.where(person < 16, "val", "test"))
    return manifest[list(COLUMNS)], images


@pytest.fixture
def clean(drawn: tuple[pd.DataFrame, np.ndarray]) -> FaceSet:
    return face_set(drawn[0].copy(), drawn[1].copy())


def reencoded(image: np.ndarray, quality: int) -> np.ndarray:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)


def sets_of(audit: Audit, kind: str) -> list[set[str]]:
    """Return the samples of every group of a kind."""
    return [
        {image.sample for image in group.images} for found in audit.findings if found.kind == kind for group in found.groups
    ]


def counts(audit: Audit) -> dict[str, int]:
    return {kind: audit.count(kind) for kind in KINDS if audit.count(kind)}


def rows(faces: FaceSet, part: str) -> np.ndarray:
    return np.flatnonzero(faces.manifest["split"] == part)


def test_clean_set_has_nothing_to_report(clean: FaceSet) -> None:
    audit = audit_set(clean)
    assert (audit.verdict, audit.reasons, audit.findings) == ("clean", [], [])
    assert (audit.split, audit.protocol) == ("official", "official parts train, val, test")
    assert audit.folds[0].sizes == {"train": 96, "val": 32, "test": 32}
    assert (audit.images, audit.imbalance) == (160, 1.0)
    assert audit_set(clean, DataConfig(name="faces")).verdict == "clean"


def test_each_planted_leak_and_conflict_is_found_and_nothing_else(clean: FaceSet) -> None:
    manifest, images = clean.manifest, clean.images.packed
    train, test = rows(clean, "train"), rows(clean, "test")
    sample = manifest["sample"].to_numpy()
    label, subject = manifest.columns.get_loc("label"), manifest.columns.get_loc("subject")
    other = next(i for i in train[4:] if manifest.iloc[i, label] != manifest.iloc[train[0], label])

    images[test[1]] = images[train[1]]
    manifest.iloc[test[1], label] = manifest.iloc[train[1], label]
    images[test[2]] = reencoded(images[train[2]], 60)
    manifest.iloc[test[2], label] = manifest.iloc[train[2], label]
    manifest.iloc[test[3], subject] = manifest.iloc[train[3], subject]
    images[other] = images[train[0]]

    audit = audit_set(face_set(manifest, images))
    assert audit.verdict == "leaks"
    assert counts(audit) == {"subjects": 1, "exact_across": 1, "near_across": 1, "exact": 2, "near": 1, "conflict": 1}
    assert audit.folds[0].shared == {"subjects": 1, "sequences": 0, "exact_across": 1, "near_across": 1}
    assert sets_of(audit, "exact_across") == [{sample[train[1]], sample[test[1]]}]
    assert sets_of(audit, "near_across") == sets_of(audit, "near") == [{sample[train[2]], sample[test[2]]}]
    assert sets_of(audit, "conflict") == [{sample[train[0]], sample[other]}]
    shared = next(finding for finding in audit.findings if finding.kind == "subjects").groups[0]
    person = manifest.iloc[test[3], subject]
    assert shared.why == f"subject {person}: train 8, test 1"
    assert [image.part for image in shared.images] == ["train", "test"]
    assert shared.images[1].sample == sample[test[3]]
    assert "1 person in several parts" in audit.reasons


def test_near_copies_with_different_labels_are_a_conflict_but_no_leak_within_a_part(clean: FaceSet) -> None:
    train, labels = rows(clean, "train"), clean.manifest["label"].to_numpy()
    other = next(i for i in train if labels[i] != labels[train[0]])
    clean.images.packed[other] = reencoded(clean.images.packed[train[0]], 75)
    audit = audit_set(face_set(clean.manifest, clean.images.packed))
    assert (audit.verdict, counts(audit)) == ("flawed", {"near": 1, "conflict": 1})
    assert audit.reasons == ["1 pair of near duplicates", "1 group of copies with different labels"]


CHANGES = {
    "jpeg 90": (lambda image: reencoded(image, 90), 1.0),
    "jpeg 50": (lambda image: reencoded(image, 50), 1.0),
    "jpeg 30": (lambda image: reencoded(image, 30), 0.95),
    "darker": (lambda image: (image * 0.6 + 10).astype(np.uint8), 1.0),
    "three quarters": (lambda image: resized(resized(image, 36, cv2.INTER_AREA), 48, cv2.INTER_CUBIC), 0.95),
    "half": (lambda image: resized(resized(image, 24, cv2.INTER_AREA), 48, cv2.INTER_CUBIC), 0.95),
}
"""How a copy was changed, and the least share of such copies that must be found."""


def resized(image: np.ndarray, side: int, interpolation: int) -> np.ndarray:
    return cv2.resize(image, (side, side), interpolation=interpolation)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_no_pair_is_wrong(drawn: tuple[pd.DataFrame, np.ndarray], change: str) -> None:
    changed, least = CHANGES[change]
    prints = take_prints(Block(np.concatenate([drawn[1], np.stack([changed(image) for image in drawn[1]])])))
    pairs, correlations = near_duplicates(prints, np.arange(320), np.full(320, -1))
    assert (pairs[:, 1] == pairs[:, 0] + 160).all()
    assert len(pairs) >= least * 160
    assert correlations.min() >= duplicates.COPY


def test_one_person_with_one_expression_drawn_often_is_no_duplicate() -> None:
    """Frontal, centred, evenly lit: as alike as pictures of one person get."""
    still = {"difficulty": 0.0, "pose": 0.0, "zoom": [1.1, 1.11], "shift": 0.0, "occluded": 0.0}
    options = DRAWN.model_copy(update={"images": 200, "subjects": 1, **still})
    manifest, images, _ = render_set(options, ["happy", "neutral"])
    prints = take_prints(Block(images))
    upper = np.triu_indices(200, 1)
    alike = compare_thumbs(prints.thumbs[upper[0]], prints.thumbs[upper[1]])[0]
    assert alike.max() > duplicates.COPY  # correlation alone would call some of them copies
    assert counts(audit_set(face_set(manifest, images), DataConfig(split="random"))).keys() == {"subjects"}


def test_drawn_cartoons_of_different_people_are_no_duplicates(data_root: Path) -> None:
    audit = audit_set(load_set(data_root, "ck48"))
    assert (audit.split, audit.verdict) == ("subject", "clean")
    assert counts(audit) == {"look_alike": 84}  # two frames of each of 12 people and 7 classes
    assert next(f for f in audit.findings if f.kind == "look_alike").images == 168


def test_random_folds_leak_people_and_sequences_in_every_fold(data_root: Path) -> None:
    audit = audit_set(load_set(data_root, "ck48"), DataConfig(name="ck48", split="random", folds=4))
    assert (audit.verdict, audit.protocol, len(audit.folds)) == ("leaks", "random, 4 folds, seed 0", 4)
    assert audit.count("subjects") == 12
    assert all(fold.shared["subjects"] == 12 and fold.shared["sequences"] > 20 for fold in audit.folds)
    assert all(sum(fold.sizes.values()) == 168 for fold in audit.folds)
    assert audit.count("sequences") > max(fold.shared["sequences"] for fold in audit.folds)


def test_a_leak_in_the_last_fold_alone_is_found(clean: FaceSet) -> None:
    facts = gather_facts(clean, lambda items, _: items)
    by_person = np.where(facts.subjects < 10, 0, 1)
    torn = by_person.copy()
    torn[np.flatnonzero(facts.subjects == 3)[:2]] = 1
    findings, folds = leaks_of(facts, [(["train", "test"], by_person), (["train", "test"], torn)])
    assert [fold.shared["subjects"] for fold in folds] == [0, 1]
    assert findings["subjects"].groups[0].why == "fold 1, subject p00003: train 6, test 2"
    assert findings["subjects"].images == 8


def test_clips_torn_apart_by_official_parts(clean: FaceSet) -> None:
    train, test = rows(clean, "train"), rows(clean, "test")
    place = [clean.manifest.columns.get_loc(name) for name in ("subject", "sequence")]
    clean.manifest.iloc[test[0], place] = clean.manifest.iloc[train[0], place].to_numpy()
    assert counts(audit_set(clean)) == {"subjects": 1, "sequences": 1}
    clean.manifest["sequence"] = "001"  # every person's only clip: names of clips are unique within a person alone
    assert audit_set(clean).count("sequences") == 1
    clean.manifest["subject"] = clean.manifest["split"] + clean.manifest["subject"]
    assert audit_set(clean).verdict == "clean"


def test_images_of_no_part_and_unknown_people_leak_nothing(clean: FaceSet) -> None:
    train, test = rows(clean, "train"), rows(clean, "test")
    clean.images.packed[test[0]] = clean.images.packed[train[0]]
    clean.images.packed[test[1]] = reencoded(clean.images.packed[train[1]], 75)
    clean.manifest.loc[test[:2], "split"] = "none"
    clean.manifest.loc[test[:2], "label"] = clean.manifest["label"].to_numpy()[train[:2]]
    clean.manifest["subject"] = ""
    audit = audit_set(clean, split_by_name("faces", "official"))
    assert (audit.verdict, counts(audit)) == ("flawed", {"exact": 1, "near": 1})
    assert audit.notes == ["160 of 160 images have no known person; leakage between them is undetectable"]
    assert audit.folds[0].sizes == {"train": 96, "val": 32, "test": 30}


def test_default_split_is_that_of_data_split_auto(clean: FaceSet) -> None:
    clean.manifest["split"] = "none"
    assert audit_set(clean).split == "subject"
    clean.manifest["subject"] = ""
    assert audit_set(clean).split == "sequence"
    clean.manifest["sequence"] = ""
    assert audit_set(clean).split == "random"
    with pytest.raises(DataError, match="has no official parts"):
        audit_set(clean, split_by_name("faces", "official"))


def test_loso_compares_all_people_and_a_split_that_cannot_be_made_is_named(clean: FaceSet) -> None:
    clean.manifest["split"] = "none"
    subjects = clean.manifest["subject"].to_numpy()
    theirs = np.flatnonzero(subjects == "p00004")[0]
    clean.images.packed[theirs] = clean.images.packed[0]
    loso = audit_set(clean, DataConfig(split="loso"))
    assert loso.count("exact_across") == 1
    assert (loso.count("subjects"), len(loso.folds[0].sizes)) == (0, 20)
    few = face_set(clean.manifest[:24].reset_index(drop=True), clean.images.packed[:24])
    with pytest.raises(DataError, match="subject"):
        audit_set(few, DataConfig())
    audit = audit_set(few)
    assert (audit.split, audit.folds) == ("none", [])
    assert audit.notes[0].startswith("no split can be made: ")


def test_chosen_classes_alone_are_split(clean: FaceSet) -> None:
    audit = audit_set(clean, DataConfig(name="faces", classes=["angry", "happy"], split="random", folds=2))
    assert [sum(fold.sizes.values()) for fold in audit.folds] == [80, 80]
    group = next(f for f in audit.findings if f.kind == "subjects").groups[0]
    assert {image.label for image in group.images} <= {"angry", "happy"}


def test_blank_images_are_named_and_never_near_duplicates(clean: FaceSet) -> None:
    rng = np.random.default_rng(0)
    images, at = clean.images.packed, rows(clean, "train")[:6]
    images[at[0]] = 0
    images[at[1]] = rng.choice(np.array([0, 90, 200], np.uint8), images[0].shape)  # three grey values
    images[at[2]] = rng.choice(np.array([0, 60, 120, 250], np.uint8), images[0].shape)  # four: no blank
    images[at[3]] = np.clip(rng.normal(100, 2, images[0].shape), 0, 255)  # sensor noise on a grey wall
    images[at[4]] = np.clip(rng.normal(101, 2, images[0].shape), 0, 255)
    images[at[5]] = images[at[0]]
    audit = audit_set(face_set(clean.manifest, images))
    names = clean.manifest["sample"]
    assert sets_of(audit, "blank") == [{names[i]} for i in (at[0], at[1], at[3], at[4], at[5])]
    assert (audit.count("near"), sets_of(audit, "exact")) == (0, [{names[at[0]], names[at[5]]}])
    assert audit.verdict == "flawed"


def test_sequence_frames_are_kept_apart_from_duplicates() -> None:
    """Sequence A: frames 1 = 2 and 3 like 2; sequence B: a copy of A's frame 3, then another face."""
    first = draw_face("happy", 1, 0)
    third = np.clip(first.astype(int) + np.random.default_rng(1).normal(0, 6, first.shape), 0, 255).astype(np.uint8)
    images = np.stack([first, first, third, third, draw_face("surprise", 5, 1)])
    frames = [("a1", "A", 1), ("a2", "A", 2), ("a3", "A", 3), ("b1", "B", 1), ("b2", "B", 2)]
    cells = [(s, s, f"{s}.png", "happy", "p", clip, frame, "none", s) for s, clip, frame in frames]
    manifest = pd.DataFrame(cells, columns=list(COLUMNS))
    audit = audit_set(face_set(manifest, images))
    assert sets_of(audit, "repeated") == [{"a1", "a2"}]
    assert sets_of(audit, "look_alike") == [{"a2", "a3"}]
    assert sets_of(audit, "exact") == [{"a3", "b1"}]
    assert sets_of(audit, "near") == [{"a1", "b1"}]


def test_same_source_file_is_a_copy_unless_it_holds_many_images(clean: FaceSet) -> None:
    prints, manifest = take_prints(clean.images), clean.manifest
    manifest.loc[[3, 40], "sha256"] = "same"
    groups = exact_groups(prints, manifest)
    assert [group.tolist() for group in groups_of(groups)] == [[3, 40]]
    manifest.loc[[3, 40], "file"] = "faces.csv"
    assert not groups_of(exact_groups(prints, manifest))


def test_colour_images_give_the_same_findings(clean: FaceSet) -> None:
    images = clean.images.packed
    images[100], images[101] = images[1], reencoded(images[2], 75)
    grey = audit_set(face_set(clean.manifest, images))
    colour = audit_set(face_set(clean.manifest, np.repeat(images[..., None], 3, axis=3)))
    assert grey.count("near") == grey.count("exact") == 1
    assert grey.findings == colour.findings


def test_text_names_ten_groups_of_a_kind_and_counts_the_rest(clean: FaceSet) -> None:
    manifest, images = clean.manifest, clean.images.packed
    train, test = rows(clean, "train")[:13], rows(clean, "test")[:13]
    images[test] = images[train]
    manifest.loc[test, "label"] = manifest["label"].to_numpy()[train]
    audit = audit_set(face_set(manifest, images))
    text = audit_text(audit)
    assert "verdict: leaks\n  13 groups of identical images across parts\n" in text
    part = text.split("\n13 groups of identical images across parts, 26 images\n")[1].split("\n\n")[0].splitlines()
    assert (len(part), part[-1]) == (11, "  and 3 more")
    first, second = manifest.loc[train[0]], manifest.loc[test[0]]
    one, two = (f"{row['split']} {row['sample']} ({row['file']}, {row['label']})" for row in (first, second))
    assert part[0] == f"  identical: train 1, test 1: {one} | {two}"
    assert audit.findings[0].count == len(audit.findings[0].groups) == 13


def stored(faces: FaceSet, root: Path) -> Path:
    (root / "faces").mkdir(exist_ok=True)
    write_set(root / "faces", faces.info, faces.manifest, faces.images)
    return root


def test_stored_audits_belong_to_one_build(clean: FaceSet, tmp_path: Path) -> None:
    root = stored(clean, tmp_path)
    assert audit_lines(root, "faces") == audit_lines(root, "nothing") == {}
    first, second = audit_set(clean), audit_set(clean, DataConfig(name="faces", split="random"))
    write_audit(root, "faces", first)
    assert audit_lines(root, "faces") == {"official": "audit: clean (official parts train, val, test)"}
    write_audit(root, "faces", second)
    leaky = "leaks (random, 5 folds, seed 0): 20 people in several parts"
    assert audit_lines(root, "faces") == {
        "official": "audit: clean (official parts train, val, test)",
        "random": f"audit: {leaky}",
    }
    file = json.loads((root / "faces" / "audit.json").read_text())
    assert file["fingerprint"] == clean.info.fingerprint
    assert Audit.model_validate_json(json.dumps(file["audits"]["random"])) == second

    clean.images.packed[0, 0, 0] ^= 1
    stored(face_set(clean.manifest, clean.images.packed), tmp_path)
    assert audit_lines(root, "faces") == {}
    with pytest.raises(DataError, match="rebuilt since the audit"):
        write_audit(root, "faces", first)
    (root / "faces" / "audit.json").write_text("{")
    assert audit_lines(root, "faces") == {}


def test_command_exits_with_1_where_the_split_leaks(clean: FaceSet, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(audit_command)
    root = stored(clean, tmp_path)
    place = ["--data-root", str(root)]
    good = CliRunner().invoke(app, ["faces", *place])
    assert good.exit_code == 0, good.output
    assert "verdict: clean" in good.stdout
    assert good.stderr.splitlines()[-1] == f"next: fer ablate --study scn-cs --data faces --data-root {root}"
    bad = CliRunner().invoke(app, ["faces", "--split", "random", "--json", *place])
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["verdict"] == "leaks"
    assert bad.stderr.splitlines()[-1] == f"next: fer data audit faces --split subject --data-root {root}"
    assert audit_lines(root, "faces")["random"].startswith("audit: leaks")
    wrong = CliRunner().invoke(app, ["faces", "--split", "subjct", *place])
    assert str(wrong.exception) == "faces: split 'subjct' cannot be audited by name; did you mean subject?"
