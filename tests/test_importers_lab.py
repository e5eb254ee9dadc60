"""Sets filmed in the laboratory: CK+ and its re-pack of 920 images; fake trees in their layouts, traps included."""

from collections import Counter
from pathlib import Path

import pytest

from fer_cli.data.build import build_set
from fer_cli.data.cards import load_card
from fer_cli.data.compare import differences
from fer_cli.data.importers import IMPORTERS
from fer_cli.errors import DataError
from tests.test_importers_portraits import accounted, put, scan

SEVEN = {"1": 45, "2": 18, "3": 59, "4": 25, "5": 69, "6": 28, "7": 83}
"""CK+'s numbers and how many sequences carry each."""
NAMES = {"1": "angry", "2": "contempt", "3": "disgust", "4": "fear", "5": "happy", "6": "sad", "7": "surprise"}


def draw_ckplus(
    root: Path, codes: dict[str, str | None], frames: int = 5, images: str = "cohn-kanade-images", labels: str = "Emotion"
) -> Path:
    """Write sequences ``S005_001`` -> code (None: unlabelled) as CK+ lays them out."""
    for name, code in codes.items():
        subject, sequence = name.split("_")
        put(root, *(f"{images}/{subject}/{sequence}/{name}_{n:08d}.png" for n in range(1, frames + 1)))
        folder = root / labels / subject / sequence
        if code is not None:
            folder.mkdir(parents=True)
            (folder / f"{name}_{frames:08d}_emotion.txt").write_text(f"   {float(code):.7e}\n")
        elif sequence == "002":
            folder.mkdir(parents=True)
    return root


SOME: dict[str, str | None] = {"S005_001": "3", "S005_002": None, "S010_001": "1", "S010_003": None, "S999_004": "7"}


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("cohn-kanade-images", "Emotion"),
        ("extended-cohn-kanade-images/cohn-kanade-images", "Emotion_labels/Emotion"),
        ("source_images", "source_emotion"),
    ],
)
def test_ckplus_takes_the_last_three_frames_of_labelled_sequences(tmp_path: Path, images: str, labels: str) -> None:
    root = draw_ckplus(tmp_path / "CK+", SOME, images=images, labels=labels)
    (root / labels / "S005" / ".DS_Store").write_bytes(b"x")
    (root / images / "S005" / "001" / "._S005_001_00000005.png").write_bytes(b"AppleDouble")
    facs = root / "FACS" / "S005" / "001" / "S005_001_00000005_facs.txt"
    facs.parent.mkdir(parents=True)
    facs.write_text("   9.0000000e+00   0.0000000e+00")
    put(root, "sample.png")
    result = scan("ckplus", root)
    assert [f.sample for f in result.found if f.subject == "S005"] == [f"S005_001_0000000{n}" for n in (3, 4, 5)]
    assert {(f.subject, f.sequence, f.label) for f in result.found} == {
        ("S005", "S005_001", "disgust"),
        ("S010", "S010_001", "angry"),
        ("S999", "S999_004", "surprise"),
    }
    assert {reason: len(files) for reason, files in result.skipped.items()} == {
        "no emotion label": 10,
        "frame before the last three": 6,
        "not a frame of a CK+ sequence": 1,
    }
    assert accounted(root, result)


def whole_ckplus() -> dict[str, str | None]:
    """Return 593 sequences of 123 people, 327 of 118 labelled, in CK+'s numbers per class."""
    labelled: list[str | None] = [code for code, number in SEVEN.items() for _ in range(number)]
    people = [f"S{n:03d}" for n in range(1, 119)]
    codes = {f"{people[i % 118]}_{i // 118 + 1:03d}": code for i, code in enumerate(labelled)}
    return codes | {f"S{119 + i % 5:03d}_{i // 5 + 1:03d}": None for i in range(593 - 327)}


def test_whole_ckplus_agrees_with_its_card(tmp_path: Path) -> None:
    root = draw_ckplus(tmp_path, whole_ckplus(), frames=4)
    result = scan("ckplus", root)
    assert differences(load_card("ckplus"), result.counts, result.found) == []
    assert len(result.found) == 981
    assert len({name.rsplit("/", 1)[0] for name in result.skipped["no emotion label"]}) == 266
    assert Counter(f.label for f in result.found) == {NAMES[code]: 3 * number for code, number in SEVEN.items()}


def test_ckplus_is_built_whole(tmp_path: Path) -> None:
    root = draw_ckplus(tmp_path / "src", SOME)
    info = build_set("ckplus", root, tmp_path / "data", allow_incomplete=True)
    assert (info.kept, info.counts["disgust"], info.subjects) == (9, 3, 3)


def test_ckplus_as_flat_peaks_and_labels(tmp_path: Path) -> None:
    put(tmp_path, "Emotions_t/S005_001_00000011.png", "Emotions_t/S010_002_00000014.PNG", "Emotions_t/S011_001_00000016.png")
    (tmp_path / "emotion").mkdir()
    (tmp_path / "emotion" / "S005_001_00000011.txt").write_text("3.0000000e+00")
    (tmp_path / "emotion" / "S010_002_00000014.txt").write_text("\ufeff7.0000000e+00")
    result = scan("ckplus", tmp_path)
    assert [(f.sample, f.label) for f in result.found] == [
        ("S005_001_00000011", "disgust"),
        ("S010_002_00000014", "surprise"),
    ]
    assert result.skipped == {"no emotion label": ["Emotions_t/S011_001_00000016.png"]}
    assert result.counts is not None
    assert sum(result.counts.values()) == 327


def test_ckplus_in_class_folders(tmp_path: Path) -> None:
    put(
        tmp_path, *(f"x/Anger/S055_004/S055_004_{n:08d}.png" for n in (1, 8, 9, 14, 23)), "x/happiness/S074_005_00000029.png"
    )
    put(tmp_path, "x/neutral/S055_004_00000002.png")
    result = scan("ckplus", tmp_path)
    found = [(f.label, f.frame, f.sequence) for f in result.found]
    assert found == [*(("angry", n, "S055_004") for n in (9, 14, 23)), ("happy", 29, "S074_005")]
    assert sorted(result.skipped) == ["class excluded by the card", "frame before the last three"]
    assert (accounted(tmp_path, result), result.counts) == (True, {})
    put(tmp_path, "x/fear/S055_004/S055_004_00000025.png")
    with pytest.raises(DataError, match=r"frames of S055_004 are also in .*Anger; a sequence has one label"):
        scan("ckplus", tmp_path)


def test_ckplus_refuses_what_it_would_have_to_guess(tmp_path: Path) -> None:
    label = Path("Emotion/S005/001/S005_001_00000005_emotion.txt")
    root = draw_ckplus(tmp_path / "a", SOME)
    for text, words in (("8.0", "unknown class '8'"), ("", "one integer"), ("2.5", "one integer")):
        (root / label).write_text(text)
        with pytest.raises(DataError, match=words) as caught:
            scan("ckplus", root)
        assert str(label) in str(caught.value)
    (root / label).write_text("0")
    assert len(scan("ckplus", root).skipped["class excluded by the card"]) == 5
    (root / label).write_text("3")
    (root / "cohn-kanade-images/S005/001/S005_001_00000005.png").unlink()
    with pytest.raises(DataError, match=r"S005_001_00000005_emotion.txt: labels S005_001_00000005, but no such image"):
        scan("ckplus", root)
    unlabelled = draw_ckplus(tmp_path / "b", dict.fromkeys(SOME))
    with pytest.raises(DataError, match=r"without \.\.\._emotion\.txt; put the Emotion .* beside the images"):
        scan("ckplus", unlabelled)
    twice = draw_ckplus(draw_ckplus(tmp_path / "c", SOME) / "copy", SOME).parent
    with pytest.raises(DataError, match="sequence S005_001 is in both"):
        scan("ckplus", twice)
    put(tmp_path / "d", "1/S005_001_00000011.png", "2/S005_002_00000011.png")
    with pytest.raises(DataError, match=r"contains no ckplus; looked for"):
        scan("ckplus", tmp_path / "d")


PIXELS = " ".join(str(n % 256) for n in range(48 * 48))


def test_ckplus920_table(tmp_path: Path) -> None:
    table = tmp_path / "ckextended.csv"
    rows = [f"6,{PIXELS},Training", f"7,{PIXELS},PublicTest", f"0,{PIXELS},PrivateTest"]
    table.write_text("\ufeffemotion, pixels, Usage\n" + "\n".join(rows))
    (tmp_path / "._ckextended.csv").write_bytes(b"emotion,pixels")
    for source in (table, tmp_path):
        result = scan("ckplus920", source)
        assert [(f.label, f.split, f.subject) for f in result.found] == [
            ("neutral", "train", ""),
            ("contempt", "val", ""),
            ("angry", "test", ""),
        ]
        assert result.found[0].pixels == bytes(n % 256 for n in range(48 * 48))
    for row, words in (
        (f"8,{PIXELS},Training", "line 2: unknown class '8'"),
        (f"1,{PIXELS},Trainig", "line 2: Usage 'Trainig' is not Training"),
        ("1,1 2 3,Training", "line 2: 3 pixels, not a square image"),
        ("1,1 2 3 256,Training", "line 2: .*pixels are blank-separated integers"),
        (f"1,{PIXELS}", "line 2: 2 cells"),
    ):
        table.write_text("emotion,pixels,Usage\n" + row)
        with pytest.raises(DataError, match=words):
            scan("ckplus920", tmp_path)


def draw_920(root: Path, codes: dict[str, str]) -> Path:
    """Write the card's number of images per class, the class numbered by ``codes``."""
    card, first = load_card("ckplus920"), 0
    for code, label in codes.items():
        put(root, *(f"{code}/{first + n}.png" for n in range(card.counts[label])))
        first += card.counts[label]
    return root


def test_ckplus920_folders_and_folders_numbered_otherwise(tmp_path: Path) -> None:
    card = load_card("ckplus920")
    result = scan("ckplus920", draw_920(tmp_path / "outer" / "CK+", card.codes).parent)
    assert differences(card, result.counts, result.found) == []
    assert {f.subject for f in result.found} == {""}
    in_ck_order = draw_920(tmp_path / "ck", {"0": "neutral"} | NAMES)
    other = scan("ckplus920", in_ck_order)
    assert len(differences(card, other.counts, other.found)) == 8
    with pytest.raises(DataError, match="differs from the card"):
        build_set("ckplus920", in_ck_order, tmp_path / "data")
    from_one = draw_920(tmp_path / "one", {str(int(code) + 1): label for code, label in card.codes.items()})
    with pytest.raises(DataError, match="folders numbered from 1; rename them to the card's numbers, 0 angry"):
        scan("ckplus920", from_one)
    put(tmp_path / "48", "anger/S010_004_00000017.png")
    with pytest.raises(DataError, match="build ckplus or ck48 from it"):
        scan("ckplus920", tmp_path / "48")


@pytest.mark.parametrize("name", ["ckplus", "ckplus920", "mmi", "fei", "kdef", "jaffe"])
def test_folders_of_something_else_give_one_line(tmp_path: Path, name: str) -> None:
    assert name in IMPORTERS
    put(tmp_path, "photos/a.png")
    for source, words in ((tmp_path, f"contains no {name}; looked for"), (tmp_path / "none", "no such")):
        with pytest.raises(DataError, match=words) as caught:
            scan(name, source)
        assert "\n" not in str(caught.value)
