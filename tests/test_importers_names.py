"""Names that the authors of a set did not keep unique: a row or a file is the image, and content says what is the same."""

import time
from collections import Counter
from pathlib import Path

import pytest

from fer_cli.data.build import build_set
from fer_cli.data.cards import Card, load_card
from fer_cli.data.compare import differences
from fer_cli.data.identity import sample_ids
from fer_cli.data.importers import ferplus
from fer_cli.data.importers.fer2013 import scan_fer2013
from fer_cli.data.importers.ferplus import VOTES, scan_ferplus
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from tests.trees import one_line, picture

FER, PLUS = load_card("fer2013"), load_card("ferplus")
USAGES = {"train": "Training", "public": "PublicTest", "private": "PrivateTest"}
REPEATED = ("fer0006953", "fer0011785", "fer0008403", "fer0033120")
"""Image names of the official FER+ table that stand in two rows."""
TWICE = {"Training_52789098": ("angry", "sad"), "Training_8475486": ("fear", "neutral")}
"""File names of the usual re-pack of FER2013 that stand in two classes each, for different faces."""
WORDS = {"happy": "happiness", "sad": "sadness", "angry": "anger"}
DARK = " ".join(["7"] * 2304)


def labels_of(card: Card) -> list[tuple[str, str]]:
    """Return part and label of every image of a card, part by part."""
    return [(part, label) for part, counts in card.split_counts.items() for label, n in counts.items() for _ in range(n)]


def votes_for(label: str) -> str:
    return ",".join("10" if word == WORDS.get(label, label) else "0" for word in VOTES)


def ferplus_rows() -> list[tuple[str, str, str]]:
    """Return Usage, image name and votes of 35,887 rows as the official table has them: some without majority or name."""
    tie, none = "5,5,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,0,0,10"
    rows = []
    for part, usage in USAGES.items():
        size = sum(FER.split_counts[part].values())
        own = [(usage, "", votes_for(label)) for home, label in labels_of(PLUS) if home == part]
        without = [(usage, "unusable", none)] * {"train": 143, "public": 14, "private": 16}[part]
        rows += own + without + [(usage, "", tie)] * (size - len(own) - len(without))
    named = [(usage, "" if name else f"fer{n:07d}.png", votes) for n, (usage, name, votes) in enumerate(rows)]
    for name in REPEATED:  # the row of this number and the one before it get the name
        for place in (int(name[3:]) - 1, int(name[3:])):
            usage, own, votes = named[place]
            assert own
            named[place] = (usage, f"{name}.png", votes)
    return named


def write_ferplus(root: Path, rows: list[tuple[str, str, str]], pixels: str = DARK) -> Path:
    root.mkdir(parents=True)
    (root / "fer2013new.csv").write_text("\n".join([",".join(["Usage", "Image name", *VOTES]), *map(",".join, rows)]))
    (root / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *(f"0,{pixels},{usage}" for usage, _, _ in rows)]))
    return root


def test_the_official_table_of_ferplus_gives_the_cards_31412_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ferplus_rows()
    names = Counter(name for _, name, _ in rows if name)
    assert len(rows) == 35_887
    assert [name for name, n in names.items() if n == 2] == [f"{name}.png" for name in sorted(REPEATED)]
    monkeypatch.setattr(ferplus, "grey_pixels", lambda cell, where, side: b"\7")  # the scan, not the pixels, is tested
    scan = scan_ferplus(write_ferplus(tmp_path / "FERPlus", rows, "7"), PLUS)
    assert len(scan.found) == 31_412
    assert differences(PLUS, scan.counts, scan.found) == []
    assert sum(map(len, scan.skipped.values())) == 35_887 - 31_412
    assert len(set(sample_ids(scan.found, ["0" * 64] * len(scan.found)))) == 31_412
    doubled = [image.sample for image in scan.found if "-row" in image.sample]
    assert Counter(sample.partition("-")[0] for sample in doubled) == dict.fromkeys(REPEATED, 2)


def test_two_rows_of_one_name_are_two_images_with_their_own_labels_and_ids(tmp_path: Path) -> None:
    named = [("Training", "fer0006953.png", votes_for(label)) for label in ("neutral", "happy")]
    source = write_ferplus(tmp_path / "src", [*named, ("PrivateTest", "fer0000009.png", votes_for("fear"))])
    build_set("ferplus", source, tmp_path / "data", allow_incomplete=True)
    manifest = load_set(tmp_path / "data", "ferplus").manifest
    assert dict(zip(manifest["name"], manifest["label"], strict=True)) == {
        "fer0006953-row00001": "neutral",
        "fer0006953-row00002": "happy",
        "fer0000009": "fear",
    }
    assert manifest["sample"].is_unique


def test_of_two_listed_rows_with_one_file_the_last_one_wrote_it(tmp_path: Path) -> None:
    home = tmp_path / "data" / "FER2013Train"
    picture(home / "fer0006953.png")
    lines = [f'fer0006953.png,"(0, 0, 48, 48)",{votes_for(label)}' for label in ("sad", "fear")]
    (home / "label.csv").write_text("\n".join(lines))
    scan = scan_ferplus(tmp_path, PLUS)
    assert [(image.sample, image.label) for image in scan.found] == [("fer0006953", "fear")]
    assert scan.skipped == {ferplus.OVERWRITTEN: ["data/FER2013Train/label.csv, line 1"]}


def fer2013_files(root: Path) -> Path:
    """Write 35,887 files of a byte or two in class folders, named as in the usual re-pack."""
    left = {name: list(labels) for name, labels in TWICE.items()}
    for n, (part, label) in enumerate(labels_of(FER)):
        name = next((name for name, labels in left.items() if part == "train" and label in labels), None)
        folder = root / ("train" if part == "train" else "test") / label
        if n == 0 or not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
        if name:
            left[name].remove(label)
        (folder / f"{name or f'{USAGES[part]}_{n}'}.jpg").write_bytes(b"%d" % n)
    return root


@pytest.mark.slow
def test_the_usual_repack_of_fer2013_gives_35887_images_and_one_less_is_refused_within_the_scan(tmp_path: Path) -> None:
    source = fer2013_files(tmp_path / "archive")
    scan = scan_fer2013(source, FER)
    assert len(scan.found) == 35_887
    assert differences(FER, scan.counts, scan.found) == []
    assert {(image.sample, image.label) for image in scan.found if image.sample.count("-") == 2} == {
        (f"train-{name.partition('_')[2]}-{label}", label) for name, labels in TWICE.items() for label in labels
    }
    next((source / "train" / "happy").iterdir()).unlink()
    start = time.process_time()
    with pytest.raises(DataError) as raised:  # of the counts: nothing could decode these files
        build_set("fer2013", source, tmp_path / "data")
    assert time.process_time() - start < 5
    one_line(raised, "happy 8988 (card: 8989)", "train happy 7214 (card: 7215)")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("other", "level", "words"),
    [
        ("sad", 1, None),
        ("sad", 0, ("same image is also at", "keep one of the two")),
        ("copy/angry", 1, ("names the same image as", "other content", "keep the right one")),
        ("copy/angry", 0, ("same image is also at", "keep one of the two")),
    ],
)
def test_the_same_is_only_what_has_the_same_content(
    tmp_path: Path, other: str, level: int, words: tuple[str, ...] | None
) -> None:
    picture(tmp_path / "angry" / "Training_8475486.png", 0)
    picture(tmp_path / other / "Training_8475486.png", level)
    if words is None:
        assert {image.sample: image.label for image in scan_fer2013(tmp_path, FER).found} == {
            "train-8475486-angry": "angry",
            "train-8475486-sad": "sad",
        }
        return
    with pytest.raises(DataError) as raised:
        scan_fer2013(tmp_path, FER)
    one_line(raised, *words)
