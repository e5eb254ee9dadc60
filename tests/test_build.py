"""Reading what users have: odd, broken and hostile files; builds that are interrupted; sets checked and combined."""

import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_cli.data.build import Choices, build_own, build_set
from fer_cli.data.cards import card_names, load_card
from fer_cli.data.check import check_set, left_out_table
from fer_cli.data.combine import LABEL_MAPS, map_labels
from fer_cli.data.decode import (
    MAX_PIXELS,
    Preparation,
    UnreadableError,
    cut_box,
    decode_all,
    open_image,
    prepare_image,
    recorded_steps,
    table_image,
    why,
)
from fer_cli.data.importers.found import Found, inside
from fer_cli.data.importers.walk import files_below
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from tests.conftest import Called, draw_face

Fer = Callable[..., Called]


def encoded(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, **options)
    return stream.getvalue()


def ramp(mode: str = "L") -> Image.Image:
    return Image.fromarray(np.tile(np.arange(0, 240, 10, dtype=np.uint8), (24, 1))).convert(mode)


def test_palette_deep_and_turned_images_are_read_as_they_look() -> None:
    plain = np.array(ramp())
    palette = open_image(encoded(ramp("P"), format="TIFF"), "grey")
    assert np.abs(palette.astype(int) - plain).max() <= 1
    deep = open_image(encoded(Image.fromarray(plain.astype(np.uint16) * 257), format="PNG"), "grey")
    assert np.array_equal(deep, plain)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn a quarter to the right to see it upright"
    turned = open_image(encoded(ramp(), format="PNG", exif=exif.tobytes()), "grey")
    assert np.array_equal(turned, np.rot90(plain, -1))


def test_pictures_on_their_side_are_turned_clockwise(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.repeat([[10], [200]], 8, axis=1).repeat(4, axis=0).astype(np.uint8))
    found = Found("a", tmp_path / "a.png", "happy", "", "", 0, turn=1)
    image = next(decode_all([found], Preparation(size=8), 1))[1].image
    assert image is not None
    assert (image[:, :4] == 200).all()  # what was below is on the left now
    assert (image[:, 4:] == 10).all()


def test_colours_come_in_rgb_order() -> None:
    red = Image.new("RGB", (16, 16), (250, 10, 30))
    image = open_image(encoded(red, format="PNG"), "rgb")
    assert image.shape == (16, 16, 3)
    assert tuple(image[0, 0]) == (250, 10, 30)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_file_cut_short_is_unreadable_not_half_grey(format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    content = encoded(noise, format=format)
    assert open_image(content, "grey").shape == (64, 64)
    with pytest.raises(OSError, match=r"truncated|broken data stream|decoder error"):
        open_image(content[: len(content) * 2 // 3], "grey")


def test_bombs_and_absurd_sizes_are_refused_unopened() -> None:
    side = int(MAX_PIXELS**0.5) + 10
    bomb = encoded(Image.new("1", (side, side)), format="PNG")
    assert len(bomb) < 100_000
    header = b"P5 60000 60000 255\n"
    large = "more than 64 million pixels"
    for content, reason in ((bomb, large), (header, large), (b"", "empty file")):
        with pytest.raises((UnreadableError, Image.DecompressionBombError)) as raised:
            open_image(content, "grey")
        assert why(raised.value) == reason
    with pytest.raises(UnreadableError, match="400 x 4 pixels; the minimum is 8 x 8"):
        prepare_image(np.zeros((4, 400), np.uint8), "", None, Preparation(size=24))


def test_table_pixels_are_a_square_or_nothing() -> None:
    image = table_image(bytes(range(16)))
    assert image.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    for pixels in (bytes(15), b""):
        with pytest.raises(UnreadableError, match="not a square image"):
            table_image(pixels)


def test_the_data_sets_box_is_cut_square_and_may_leave_the_image() -> None:
    image = np.zeros((40, 60), np.uint8)
    image[10:20, 30:50] = 200
    cut = cut_box(image, (30, 10, 50, 20), 0.0)
    assert cut.shape == (20, 20)
    assert (cut == 200).sum() == 200
    beyond = cut_box(image, (-10, -10, 20, 20), 0.0)
    assert beyond.shape == (30, 30)
    assert cut_box(image, (100, 100, 120, 120), 0.0).size == 0
    assert cut_box(image, (20, 20, 20, 30), 0.0).size == 0
    assert cut_box(image, (0, 0, 1e9, 1e9), 1.0).shape == (120, 120)


def test_wide_images_are_cut_to_their_central_square() -> None:
    wide = np.zeros((20, 40), np.uint8)
    wide[:, 10:30] = 100
    result = prepare_image(wide, "", None, Preparation(size=20))
    assert result.cut == "centre"
    assert result.image is not None
    assert (result.image == 100).all()
    steps = recorded_steps(Preparation(size=20), {"centre"})
    assert [step["step"] for step in steps] == ["decode", "square", "resize"]


def people(root: Path, count: int, names: Iterable[str] = ("happy", "sad")) -> Path:
    for name, folder in zip(names, ("happy", "sadness"), strict=True):
        (root / name).mkdir(parents=True)
        for number in range(count):
            assert cv2.imwrite(str(root / name / f"p{number:03d}_1.png"), draw_face(folder, number, 1))
    return root


def test_in_is_the_sum_of_what_became_of_it(fer: Fer, tmp_path: Path) -> None:
    """Three of 100 files are broken, one is a copy: every count adds up to 100, everywhere it is told."""
    source = people(tmp_path / "src", 50)
    for name, content in (("happy/p001_1.png", b""), ("sad/p002_1.png", b"text"), ("sad/p003_1.png", None)):
        path = source / name
        path.write_bytes(path.read_bytes()[:90] if content is None else content)
    shutil.copy(source / "happy" / "p010_1.png", source / "happy" / "p011_1.png")
    root = tmp_path / "data"
    pattern = "(?P<subject>p[0-9]+)_"
    own = ["data", "build", "mine", "--from", source, "--layout", "folder", "--subject", pattern, "--data-root", root]
    assert "3 of 100 images" in fer(*own).err
    called = fer(*own, "--allow-incomplete", "--drop-duplicates")
    assert called.code == 0, called.err
    rows = [line.split("\t") for line in called.out.splitlines()]
    assert rows[0] == ["class", "in", "kept", "no face", "unreadable", "duplicate", "left out"]
    assert rows[-1] == ["all", "100", "96", "0", "3", "1", "0"]
    assert all(int(row[1]) == sum(map(int, row[2:])) for row in rows[1:])
    assert "in 100, kept 96, no face 0, unreadable 3, duplicate 1, left out 0" in called.err
    faces = load_set(root, "mine")
    info = faces.info
    assert (info.found, info.kept, len(faces.images), len(faces.manifest)) == (100, 96, 96, 96)
    gone = pd.read_csv(root / "mine" / "left_out.csv")
    assert sorted(zip(gone["file"], gone["status"], gone["reason"], strict=True)) == [
        ("happy/p001_1.png", "unreadable", "empty file"),
        ("happy/p011_1.png", "duplicate", "another file has the same content"),
        ("sad/p002_1.png", "unreadable", "not an image of a known format"),
        ("sad/p003_1.png", "unreadable", gone.loc[gone["file"] == "sad/p003_1.png", "reason"].iloc[0]),
    ]
    assert gone["reason"].str.startswith("cannot be decoded: ").sum() == 1
    assert int(left_out_table(info).iloc[-1]["in"]) == 100
    assert sum(info.counts.values()) == 96
    assert info.licence == "unknown"
    checked = fer("data", "check", "mine", "--data-root", root)
    assert checked.code == 0


class Stop(BaseException):
    """Stands for Ctrl-C."""


def test_an_interrupted_build_goes_on_and_gives_the_same_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_cli.data.pack.CHUNK", 10)
    source = people(tmp_path / "src", 30)
    whole = build_own("mine", source, "folder", None, tmp_path / "whole")
    looked_at: list[int] = []

    def breaking(items: Iterable[Any], total: int) -> Iterator[Any]:
        for count, item in enumerate(items):
            if count == 37:
                raise Stop
            yield item

    def counting(items: Iterable[Any], total: int) -> Iterator[Any]:
        looked_at.append(total)
        yield from items

    with pytest.raises(Stop):
        build_own("mine", source, "folder", None, tmp_path / "data", progress=breaking)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".mine.building"]
    array = tmp_path / "data" / ".mine.building" / "images.npy"
    array.write_bytes(array.read_bytes() + b"half an image")
    again = build_own("mine", source, "folder", None, tmp_path / "data", progress=counting)
    assert looked_at == [30]
    assert again.fingerprint == whole.fingerprint
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]
    first, second = load_set(tmp_path / "whole", "mine"), load_set(tmp_path / "data", "mine")
    assert np.array_equal(first.images.packed, second.images.packed)
    pd.testing.assert_frame_equal(first.manifest, second.manifest)


def test_a_draft_of_other_files_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_cli.data.pack.CHUNK", 10)
    source = people(tmp_path / "src", 30)

    def breaking(items: Iterable[Any], total: int) -> Iterator[Any]:
        for count, item in enumerate(items):
            if count == 25:
                raise Stop
            yield item

    with pytest.raises(Stop):
        build_own("mine", source, "folder", None, tmp_path / "data", progress=breaking)
    changed = source / "happy" / "p000_1.png"
    cv2.imwrite(str(changed), 255 - draw_face("happy", 0, 1))
    built = build_own("mine", source, "folder", None, tmp_path / "data")
    assert built.fingerprint == build_own("mine", source, "folder", None, tmp_path / "fresh").fingerprint


def test_two_builds_of_one_set_do_not_meet(tmp_path: Path) -> None:
    from filelock import FileLock

    source = people(tmp_path / "src", 3)
    (tmp_path / "data").mkdir()
    with FileLock(tmp_path / "data" / ".mine.lock"), pytest.raises(DataError, match="another process is building it"):
        build_own("mine", source, "folder", None, tmp_path / "data")


def test_paths_in_tables_cannot_leave_the_folder(fer: Fer, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    cv2.imwrite(str(tmp_path / "secret.png"), draw_face("happy", 1, 1))
    (tmp_path / "src" / "link.png").symlink_to(tmp_path / "secret.png")
    for path in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "a/../../secret.png", "..\\secret.png"):
        with pytest.raises(DataError, match="leads out of"):
            inside(tmp_path / "src", path, "list.csv, line 2")
        (tmp_path / "src" / "list.csv").write_text(f"file,label\n{path},happy\n{path},sad\n")
        called = fer(
            "data", "build", "mine", "--from", tmp_path / "src", "--layout", "csv", "--data-root", tmp_path / "data"
        )
        assert (called.code, called.err.count("\n")) == (2, 1)
        assert "leads out of" in called.err


def test_links_that_loop_or_lead_out_end(tmp_path: Path) -> None:
    source = people(tmp_path / "src", 2)
    (source / "happy" / "again").symlink_to(source)
    (source / "sad" / "up").symlink_to(tmp_path)
    cv2.imwrite(str(tmp_path / "outside.png"), draw_face("happy", 1, 1))
    assert [path.name for path in files_below(source)] == ["p000_1.png", "p001_1.png"] * 2


def test_a_changed_source_is_named_by_check(fer: Fer, faces_folder: Path, tmp_path: Path) -> None:
    source, root = tmp_path / "src", tmp_path / "data"
    shutil.copytree(faces_folder, source)
    build_set("ck48", source, root, allow_incomplete=True)
    cv2.imwrite(str(source / "happy" / "S002_004_00000001.png"), draw_face("fear", 9, 9))
    (source / "anger" / "S003_001_00000002.png").unlink()
    problems = check_set(root, "ck48", source).problems
    assert "missing: 1, e.g. anger/S003_001_00000002.png" in problems
    assert "changed: 1, e.g. happy/S002_004_00000001.png" in problems
    differs = [problem for problem in problems if problem.startswith("differs from the card: ")]
    assert len(differs) == 1
    assert differs[0].count("(card: ") == 5
    assert differs[0].endswith(" more")
    called = fer("data", "check", "ck48", "--from", source, "--data-root", root)
    assert called.code == 1
    row = next(line for line in called.out.splitlines() if "\thappy\t" in line)
    assert row.split("\t") == ["none", "happy", "24", "207", "differs"]


def test_rows_of_a_table_that_were_left_out_are_not_new(tmp_path: Path) -> None:
    """CK+ 920 as one csv, with one row whose pixels are too few to be a face."""
    rows = [f"{code},{' '.join(['10', '200'] * 1152)},Training" for code in range(8)]
    source = tmp_path / "src"
    source.mkdir()
    (source / "ckextended.csv").write_text("\n".join(["emotion,pixels,Usage", *rows, "3,1 2 3 4,Training"]) + "\n")
    info = build_set("ckplus920", source, tmp_path / "data", allow_incomplete=True)
    assert (info.kept, len(info.unreadable)) == (8, 1)
    problems = check_set(tmp_path / "data", "ckplus920", source).problems
    assert all(problem.startswith("differs from the card") for problem in problems), problems


def test_touched_pixels_are_noticed_by_check(data_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    images = np.load(root / "ck48" / "images.npy")
    images[3, 4, 5] ^= 1
    np.save(root / "ck48" / "images.npy", images)
    with pytest.raises(DataError, match=r"images\.npy: changed since .* fer data build ck48 --from FOLDER"):
        check_set(root, "ck48")


def test_sets_are_combined_by_name_and_what_has_no_place_is_counted(fer: Fer, data_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    build_own("mine", people(tmp_path / "src", 5), "folder", "(?P<subject>p[0-9]+)_", root, choices=Choices({"size": 32}))
    called = fer("data", "combine", "both", "--of", "ck48,mine", "--map", "basic-7", "--data-root", root)
    assert called.code == 0, called.err
    assert "left out, not in basic-7: ck48: contempt 24" in called.err
    both = load_set(root, "both")
    assert both.info.classes == ["angry", "disgust", "fear", "happy", "sad", "surprise"]
    assert both.info.counts["happy"] == 24 + 5
    assert both.images.shape == (6 * 24 + 10, 1, 1, 32, 32)
    assert both.info.subjects == 12 + 5
    assert set(both.info.parts) == {"ck48", "mine"}
    first = load_set(root, "ck48")
    row = both.manifest.iloc[0]
    source = first.images.packed[int(np.flatnonzero("ck48/" + first.manifest["sample"] == row["sample"])[0])]
    assert np.array_equal(both.images.packed[0], cv2.resize(np.asarray(source), (32, 32), interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["both", "--of", "ck48", "--map", "basic-7"], "at least two"),
        (["both", "--of", "ck48,ck48", "--map", "basic-7"], "at least two"),
        (["both", "--of", "ck48,nothing", "--map", "basic-7"], "'nothing' is not built"),
        (["both", "--of", "ck48,mine", "--map", "basic"], "did you mean basic-"),
        (["ck48", "--of", "ck48,mine", "--map", "basic-7"], "is the name of a card"),
        (["../x", "--of", "ck48,mine", "--map", "basic-7"], "letters, digits"),
        (["both", "--of", "ck48,mine", "--map", "learning-6"], "fewer than two"),
    ],
)
def test_bad_combinations_give_one_line(fer: Fer, data_root: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    build_own("mine", people(tmp_path / "src", 3), "folder", None, root)
    called = fer("data", "combine", *arguments, "--data-root", root)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert words in called.err
    assert sorted(path.name for path in root.iterdir()) == ["ck48", "mine"]


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_a_map_keeps_its_classes_and_counts_what_it_drops(name: str, data_root: Path) -> None:
    table, faces = LABEL_MAPS[name], load_set(data_root, "ck48")
    known = {label for card in card_names() for label in load_card(card).classes}
    assert {*table, *table.values()} <= known, "our names, as cards have them"
    assert all(table[label] == label for label in table.values())
    labels = [*table, "another"]
    given = faces.manifest.assign(label=[labels[row % len(labels)] for row in range(len(faces.manifest))])
    (manifest,), dropped = map_labels(["ck48"], [replace(faces, manifest=given)], table, {})
    assert set(manifest["label"]) == set(table.values())
    assert len(manifest) + (given["label"] == "another").sum() == len(given)
    assert str((given["label"] == "another").sum()) in str(dropped)


def test_every_image_comes_back_in_order(tmp_path: Path) -> None:
    found = [Found(f"s{i:04d}", tmp_path, "happy", "", "", i, pixels=bytes([i % 256] * 64)) for i in range(1100)]
    back = list(decode_all(found, Preparation(size=8), 2))
    assert [image.sample for image, _ in back] == [image.sample for image in found]
    assert all(result.image is not None and (result.image == i % 256).all() for i, (_, result) in enumerate(back))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "4"], "size"),
        (["--colour", "blue"], "colour"),
        (["--interpolation", "magic"], "interpolation"),
        (["--margin", "0.2"], "--margin has no effect without --detect"),
        (["--no-face", "drop"], "--no-face has no effect without --detect"),
        (["--detect", "eyes"], "detector"),
        (["--images", "30"], "--images is for embedded sets"),
        (["--subject", "(?P<subject>.)"], "--subject requires --layout folder"),
    ],
)
def test_wrong_options_give_one_line(fer: Fer, faces_folder: Path, tmp_path: Path, options: list[str], words: str) -> None:
    called = fer("data", "build", "ck48", "--from", faces_folder, "--data-root", tmp_path / "data", *options)
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert words in called.err
    assert not (tmp_path / "data").exists()


def test_own_data_may_not_take_a_cards_name(fer: Fer, tmp_path: Path) -> None:
    source = people(tmp_path / "src", 2)
    called = fer("data", "build", "ck48", "--from", source, "--layout", "folder", "--data-root", tmp_path / "data")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "has a card" in called.err


def test_list_names_every_card_and_what_is_built(fer: Fer, data_root: Path) -> None:
    called = fer("data", "list", "--data-root", data_root)
    rows = {line.split("\t")[0]: line.split("\t") for line in called.out.splitlines()[1:]}
    assert set(rows) == set(card_names())
    assert rows["ck48"][2].startswith("168 images")
    assert rows["synth-basic"][1:3] == ["embedded", "not built"]
    assert json.loads((data_root / "ck48/set.json").read_text())["fingerprint"] in rows["ck48"][2]
