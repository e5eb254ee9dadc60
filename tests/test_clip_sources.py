"""Sequences and videos as clips: evenly spaced frames, with their times, and what is wrong with them counted or refused."""

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_cli.config import DataConfig, ModelConfig, RunConfig
from fer_cli.data import decode
from fer_cli.data.build import Choices, build_own, build_set
from fer_cli.data.check import check_set
from fer_cli.data.clips import choose_frames, group_clips
from fer_cli.data.decode import PAST, SEVERAL
from fer_cli.data.detect import Face
from fer_cli.data.importers.sequences import THINNED, spread_over
from fer_cli.data.manifest import TIME, load_set
from fer_cli.data.rebuild import build_command
from fer_cli.data.video import frame_count, read_film
from fer_cli.errors import DataError
from fer_cli.plan import part_sizes
from tests.conftest import Called
from tests.test_importers_lab import draw_ckplus
from tests.test_importers_mmi import draw_video
from tests.test_importers_more import HEADER
from tests.test_video import cut_short, write_video
from tests.trees import write

Fer = Callable[..., Called]
ONE_EACH: dict[str, str | None] = {f"S{code:03d}_001": str(code) for code in range(1, 8)}
PEOPLE = "(?P<subject>p[0-9]+)"


@pytest.mark.parametrize(
    ("count", "frames", "places"),
    [(0, 8, []), (3, 8, [0, 1, 2]), (9, 5, [0, 2, 4, 6, 8]), (6, 3, [0, 2, 5]), (7, 1, [3]), (1, 1, [0])],
)
def test_frames_are_spread_over_a_sequence(count: int, frames: int, places: list[int]) -> None:
    assert list(spread_over(frames)(count)) == places


def write_mp4(path: Path, frames: int = 12, width: int = 48, height: int = 32) -> Path:
    """A video whose left half is bright and whose frames brighten, ten a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (width, height))
    assert writer.isOpened()
    for number in range(frames):
        image = np.full((height, width, 3), 10 + 4 * number, np.uint8)
        image[:, : width // 2] += 150
        writer.write(image)
    writer.release()
    return path


def turn(path: Path) -> None:
    """Set the rotation tag of an MP4: to be shown after a quarter turn clockwise (ISO/IEC 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    content[at : at + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def slow_down(path: Path, first: int, factor: int) -> None:
    """Make the frames of an MP4 after the first ones last ``factor`` times as long (ISO/IEC 14496-12, 8.6.1.2)."""
    content = bytearray(path.read_bytes())
    at = content.index(b"stts")
    entries, count, delta = struct.unpack(">3I", content[at + 8 : at + 20])
    assert entries == 1
    content[at + 8 : at + 20] = struct.pack(">5I", 2, first, delta, count - first, factor * delta)
    for name in (b"stts", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        place = content.rindex(name, 0, at + 4) - 4
        size = struct.unpack(">I", content[place : place + 4])[0]
        content[place : place + 4] = struct.pack(">I", size + 8)
    edits = content.find(b"elst")
    if edits != -1:
        content[edits + 12 : edits + 16] = struct.pack(">I", 2**31 - 1)
    path.write_bytes(content)


def videos(root: Path) -> Path:
    """Four people with a video of each of two classes."""
    for person in range(4):
        for label in ("happy", "sad"):
            write_video(root / label / f"p{person}.avi", 6)
    return root


def test_folders_of_videos_are_clips_of_evenly_spaced_frames(tmp_path: Path) -> None:
    source = videos(tmp_path / "source")
    info = build_own("mine", source, "folder", PEOPLE, tmp_path / "data", choices=Choices(frames=4))
    faces = load_set(tmp_path / "data", "mine")
    assert (info.kept, info.subjects, info.sequences, info.notes) == (32, 4, 8, {})
    trained = RunConfig(data=DataConfig(name="mine", folds=2), model=ModelConfig(backbone="teacher-action"))
    assert part_sizes(trained, {"mine": info})[0] == round(4 * 0.85), "plans count clips, not frames"
    assert info.preprocessing[0] == {"step": "frames", "per clip": 4}
    one = faces.manifest[faces.manifest["sequence"] == "happy/p2.avi"].sort_values("frame")
    assert one["frame"].tolist() == [0, 2, 3, 5]
    np.testing.assert_allclose(one[TIME], [0, 0.2, 0.3, 0.5], atol=1e-6)
    assert set(one["subject"]) == {"p2"}
    clips = group_clips(faces, 4)
    assert clips.images.shape == (8, 4, 1, 48, 48)
    brightness = clips.images[:].mean((2, 3, 4))
    assert (np.diff(brightness, axis=1) > 5).all(), "frames are in order"
    assert check_set(tmp_path / "data", "mine", source).problems == []
    assert "--frames 4" in build_command("mine", info.model_dump())
    with pytest.raises(DataError, match=r"contains no class folders|contains no images"):
        build_own("mine", source, "folder", PEOPLE, tmp_path / "other")


def test_labels_in_names_and_sequences_of_images_are_spread_too(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for person in range(2):
        for label in ("happy", "sad"):
            for number in range(7):
                path = source / f"p{person}_{label}_{number}.png"
                path.parent.mkdir(exist_ok=True)
                cv2.imwrite(str(path), np.full((16, 16), 20 * number + 5 * person + (label == "sad"), np.uint8))
    label = r"(?P<subject>p\d)_(?P<sequence>(?P<label>[a-z]+))_(?P<frame>\d)"
    info = build_own("mine", source, None, None, tmp_path / "data", choices=Choices(frames=3), label=label)
    assert info.kept == 12
    assert len(info.skipped[THINNED]) == 16
    assert sum(len(names) for names in info.skipped.values()) == 16, "each file is listed once"
    faces = load_set(tmp_path / "data", "mine")
    assert sorted(set(faces.manifest["frame"])) == [0, 3, 6]
    assert TIME not in faces.manifest


def test_ckplus_gives_whole_sequences(tmp_path: Path) -> None:
    root = draw_ckplus(tmp_path / "source", ONE_EACH | {"S011_001": None}, frames=9)
    info = build_set("ckplus", root, tmp_path / "data", True, Choices(frames=5))
    faces = load_set(tmp_path / "data", "ckplus")
    lengths = faces.manifest.groupby("sequence").size()
    assert lengths.to_dict() == dict.fromkeys(ONE_EACH, 5)
    assert sorted(set(faces.manifest["frame"])) == [1, 3, 5, 7, 9]
    assert group_clips(faces, 5).images.frames == 5
    assert len(info.skipped[THINNED]) == 4 * len(lengths)
    assert "--frames=5" in build_command("ckplus", info.model_dump())
    assert check_set(tmp_path / "data", "ckplus", root).problems == []


def test_mmi_and_daisee_give_more_frames_of_their_videos(tmp_path: Path) -> None:
    mmi = tmp_path / "mmi"
    for session, label in ((100, "happiness"), (101, "sadness")):
        draw_video(mmi / f"Sessions/{session}/S001-{session}.avi")
        write(mmi / f"Sessions/{session}/labels.txt", label)
    write(mmi / "emotion_labels.csv", "sequence,emotion", "S001_100,happiness", "S001_101,sadness")
    build_set("mmi", mmi, tmp_path / "data", True, Choices(frames=5))
    faces = load_set(tmp_path / "data", "mmi")
    assert faces.manifest.groupby("sequence")["frame"].apply(list).tolist() == [[0, 2, 4, 6, 8]] * 2
    daisee = tmp_path / "daisee"
    for part, clip in (("Train", "1100011002"), ("Validation", "4000221001"), ("Test", "5000441001")):
        draw_video(daisee / f"DataSet/{part}/{clip[:6]}/{clip}/{clip}.avi")
        write(daisee / f"Labels/{part}Labels.csv", HEADER, f"{clip}.avi,0,2,0,0")
    build_set("daisee", daisee, tmp_path / "data", True, Choices(frames=9))
    assert load_set(tmp_path / "data", "daisee").manifest.groupby("sequence").size().tolist() == [9, 9, 9]


def test_frames_of_sets_of_stills_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--frames: ck48 has no sequences that are read so; .*ckplus, daisee, mmi"):
        build_set("ck48", tmp_path, tmp_path / "data", choices=Choices(frames=5))
    with pytest.raises(DataError, match=r"^--frames requires --layout folder or --label"):
        build_own("mine", tmp_path, "csv", None, tmp_path / "data", choices=Choices(frames=5))


def test_empty_and_truncated_videos_are_listed_and_counted(tmp_path: Path) -> None:
    source = videos(tmp_path / "source")
    (source / "happy" / "p0.avi").write_bytes(b"")
    cut_short(source / "sad" / "p1.avi", 3)
    choices = Choices(frames=6)
    with pytest.raises(DataError, match=r"^1 of 43 images in .* cannot be read: happy/p0\.avi.*; pass --allow-incomplete"):
        build_own("mine", source, "folder", PEOPLE, tmp_path / "data", choices=choices)
    info = build_own("mine", source, "folder", PEOPLE, tmp_path / "data", True, choices)
    assert info.kept == 42 and len(info.unreadable) == 1
    assert info.notes == {PAST: 3}
    faces = load_set(tmp_path / "data", "mine")
    short = faces.manifest[faces.manifest["sequence"] == "sad/p1.avi"].sort_values("frame")
    np.testing.assert_allclose(short[TIME], [0, 0.1, 0.2, 0.2, 0.2, 0.2], atol=1e-6)
    assert len(group_clips(faces, 6).manifest) == 7


def test_times_of_a_variable_rate_decide_which_frames_are_taken(tmp_path: Path) -> None:
    video = write_mp4(tmp_path / "source" / "happy" / "p0.mp4")
    slow_down(video, 6, 4)
    film = read_film(video, list(range(12)))
    assert film.passed == 12
    times = np.array([film.times[number] for number in range(12)])
    steps = np.diff(times)
    np.testing.assert_allclose(steps[:5], 0.1, atol=0.01)
    np.testing.assert_allclose(steps[6:], 0.4, atol=0.02)
    write_mp4(tmp_path / "source" / "sad" / "p0.mp4")
    build_own("mine", tmp_path / "source", "folder", PEOPLE, tmp_path / "data", choices=Choices(frames=12))
    faces = load_set(tmp_path / "data", "mine")
    clips = group_clips(faces, 4)
    taken = [faces.manifest["frame"].to_numpy()[rows].tolist() for rows in clips.images.rows]
    labels = clips.manifest["label"].tolist()
    assert taken[labels.index("sad")] == choose_frames(12, 4).tolist() == [0, 4, 7, 11]
    assert taken[labels.index("happy")] == choose_frames(12, 4, times).tolist() != [0, 4, 7, 11]


def test_a_rotation_tag_turns_the_frames_upright(tmp_path: Path) -> None:
    plain, turned = write_mp4(tmp_path / "plain.mp4"), write_mp4(tmp_path / "turned.mp4")
    turn(turned)
    lying, upright = (read_film(path, [0]).frames[0] for path in (plain, turned))
    assert lying.shape == (32, 48, 3) and upright.shape == (48, 32, 3)
    assert lying[:, :20].mean() > lying[:, 28:].mean() + 100
    assert upright[:20].mean() > upright[28:].mean() + 100, "left is now on top"
    assert frame_count(turned) == 12


def test_frames_with_two_faces_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(options: object) -> Callable[[np.ndarray], list[Face]]:
        del options
        return lambda image: [Face((2, 2, 20, 20), 0.9), Face((10, 10, 30, 30), 0.8)][: 1 + int(image.mean() > 40)]

    monkeypatch.setattr(decode, "load_detector", load)
    how = {"crop": {"detector": "lbp", "align": "none", "margin": 0.123}}
    info = build_own(
        "mine", videos(tmp_path / "source"), "folder", PEOPLE, tmp_path / "data", choices=Choices(how, threads=1, frames=3)
    )
    assert 0 < info.notes[SEVERAL] < info.kept == 24


def test_the_command_builds_clips_and_says_what_it_noted(tmp_path: Path, fer: Fer) -> None:
    source = videos(tmp_path / "source")
    cut_short(source / "sad" / "p1.avi", 3)
    options = ("--layout", "folder", "--subject", PEOPLE, "--data-root", str(tmp_path / "data"))
    done = fer("data", "build", "mine", "--from", str(source), "--frames", "6", *options)
    assert done.code == 0, done.err
    assert f"kept, {PAST}: 3" in done.err
    refused = fer("data", "build", "synth-lecture", "--frames", "6", "--data-root", str(tmp_path / "data"))
    assert refused.code != 0 and "--frames requires --from" in refused.err
