"""Where faces are in the frames of clips: by truth, by dlib, by a detector; found once, and made up for where lost."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fer_cli.data import landmarks
from fer_cli.data.block import Block
from fer_cli.data.clips import group_clips
from fer_cli.data.landmarks import Dlib, FaceBox, RegionFinder, check_landmarks, content_key, look_up, tight_boxes
from fer_cli.data.manifest import FaceSet, expected_info, load_set
from fer_cli.data.regions import boxes_of_points, clip_boxes, place_usual
from fer_cli.errors import DataError
from fer_cli.synthetic.build import build_embedded
from tests.test_block import make_set
from tests.test_clip_samples import clip_set

WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]])


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder of each test's own."""
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "landmarks"


@pytest.fixture(scope="module")
def lecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with seven short clips of three people."""
    root = tmp_path_factory.mktemp("lecture")
    build_embedded("synth-lecture", root, {"images": 7, "subjects": 3, "size": 48, "frames": [6, 6]})
    return root


def test_true_landmarks_give_the_boxes_of_the_frames_in_use(lecture: Path) -> None:
    faces = load_set(lecture, "synth-lecture")
    clips = group_clips(faces, 4)
    found = RegionFinder(clips, "au", "truth").boxes(clips.images)
    assert found.shape == (7, 4, 9, 4) and found.dtype == np.float32
    truth = pd.read_parquet(lecture / "synth-lecture" / "truth.parquet").set_index("sample")
    row = truth.loc[faces.manifest["sample"].to_numpy()[clips.images.rows[3, 2]]]
    points = (np.array(row["landmarks"]).reshape(1, 68, 2) + 0.5) / 48
    expected = boxes_of_points(points, np.array([row["visible"]]).astype(bool), "au")
    np.testing.assert_allclose(found[3, 2], expected[0], atol=1e-6)
    few = RegionFinder(clips, "none", "truth").boxes(clips.images.select(np.array([3])))
    assert few.shape == (1, 4, 3, 4)


def test_a_set_without_truth_is_refused_in_one_line(lecture: Path, tmp_path: Path) -> None:
    clips = group_clips(clip_set(), 4)
    hint = r"only embedded faces have them; use data\.landmarks: dlib or fallback$"
    with pytest.raises(DataError, match=rf"^made: has no true landmarks \(data\.landmarks: truth\); {hint}"):
        RegionFinder(clips, "au", "truth")
    build_embedded("synth-gesture", tmp_path, {"images": 7, "subjects": 2, "size": 16, "frames": [2, 2]})
    gestures = load_set(tmp_path, "synth-gesture")
    with pytest.raises(DataError, match=rf"^synth-gesture: has no true landmarks \(data\.landmarks: truth\); {hint}"):
        RegionFinder(gestures, "au", "truth")
    changed = load_set(lecture, "synth-lecture")
    wrong = changed.info.model_copy(update={"files": changed.info.files | {"truth.parquet": "0" * 64}})
    with pytest.raises(DataError, match=r"truth\.parquet: changed since the set was built"):
        RegionFinder(replace(changed, info=wrong), "au", "truth")


def test_landmarks_are_checked_before_a_study(lecture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for method in ("dlib", "fallback"):
        with pytest.raises(DataError, match=r"not installed; install"):
            check_landmarks(load_set(lecture, "synth-lecture").info, method)
    check_landmarks(load_set(lecture, "synth-lecture").info, "truth")
    check_landmarks(expected_info(tmp_path, "synth-qa"), "truth")
    for info in (clip_set().info, expected_info(tmp_path, "synth-gesture")):
        with pytest.raises(DataError, match=r"has no true landmarks"):
            check_landmarks(info, "truth")


def test_dlib_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"^data\.landmarks: dlib and its model are not installed; .*fer-cli\[landmarks\]"):
        RegionFinder(clip_set(), "au", "dlib")


@pytest.fixture
def fake_dlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, ...]]:
    """A dlib that finds a face in bright pictures and two in very bright ones, and marks points on its diagonal."""
    model = tmp_path / "face_recognition_models" / landmarks.MODEL
    model.parent.mkdir(parents=True)
    model.write_bytes(b"trees")
    seen: list[tuple[int, ...]] = []

    def rectangle(size: int) -> SimpleNamespace:
        return SimpleNamespace(width=lambda: size, height=lambda: size, size=size)

    def detect(picture: np.ndarray, larger: int) -> list[SimpleNamespace]:
        seen.append(picture.shape)
        return [rectangle(40), rectangle(90)][: int(picture.mean() > 100) + int(picture.mean() > 200)]

    def predict(picture: np.ndarray, box: SimpleNamespace) -> SimpleNamespace:
        return SimpleNamespace(part=lambda k: SimpleNamespace(x=k + box.size, y=k))

    fake = SimpleNamespace(get_frontal_face_detector=lambda: detect, shape_predictor=lambda path: predict)
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "face_recognition_models")])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    monkeypatch.setitem(sys.modules, "dlib", fake)
    return seen


def test_dlib_sees_frames_large_enough_and_takes_the_largest_face(fake_dlib: list[tuple[int, ...]]) -> None:
    find = Dlib()
    assert find(np.zeros((32, 32), np.uint8)) == (0, None)
    assert fake_dlib == [(256, 256)]
    count, points = find(np.full((300, 300, 3), 150, np.uint8))
    assert count == 1 and points is not None
    np.testing.assert_allclose(points.reshape(68, 2)[10], [(50.5) / 300, 10.5 / 300])
    count, points = find(np.full((300, 300), 250, np.uint8))
    assert count == 2 and points is not None
    np.testing.assert_allclose(points.reshape(68, 2)[10], [(100.5) / 300, 10.5 / 300])


def test_landmarks_are_placed_in_a_box_without_a_detector(
    fake_dlib: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A box 100 tall around (60, 70): a square of 86 around (60, 77), in a picture twice as large."""
    squares = list[tuple[int, ...]]()

    def rectangle(*sides: int) -> SimpleNamespace:
        squares.append(sides)
        return SimpleNamespace(size=sides[0])

    monkeypatch.setattr(sys.modules["dlib"], "rectangle", rectangle, raising=False)
    points = Dlib().place(np.zeros((128, 128, 3), np.uint8), (30.0, 20.0, 90.0, 120.0))
    assert squares == [(34, 68, 206, 240)] and fake_dlib == []
    np.testing.assert_allclose(points[10], [(10 + 34 + 0.5) / 2, 10.5 / 2])


def grey_clips(levels: list[list[int]]) -> FaceSet:
    """Clips whose frames are of one grey level each."""
    values = np.array(levels, dtype=np.uint8).ravel()
    frames = np.repeat(values, 16 * 16).reshape(-1, 16, 16)
    frames[:, 0, 0] = np.arange(len(values))  # no frame equals another
    count = len(levels[0])
    faces = make_set(
        Block(frames),
        sample=[f"s{place:03d}" for place in range(len(values))],
        label=np.where(np.arange(len(values)) // count % 2, "sad", "happy"),
        subject=[f"p{place // count}" for place in range(len(values))],
        sequence=[f"c{place // count}" for place in range(len(values))],
        frame=np.arange(len(values)) % count,
    )
    return group_clips(faces, count)


@pytest.mark.usefixtures("fake_dlib")
def test_lost_faces_take_the_boxes_of_the_nearest_frame() -> None:
    clips = grey_clips([[0, 150, 0, 0, 0, 250], [0, 0, 0, 0, 0, 0], [150] * 6])
    finder = RegionFinder(clips, "au", "dlib")
    found = finder.boxes(clips.images)
    assert (found[0, :4] == found[0, 1]).all()
    assert (found[0, 4] == found[0, 5]).all()
    assert not np.array_equal(found[0, 1], found[0, 5])
    filled = clip_boxes(place_usual(tight_boxes(WHOLE), "au"))
    np.testing.assert_array_equal(found[1], np.repeat(filled, 6, 0))
    assert finder.counted == {
        "frames with several faces, of which the largest is used": 1,
        "clips without a face in any frame, taken as filled by one": 1,
        "frames without a face, with the boxes of the nearest frame": 4,
    }


def test_faces_are_found_once_and_kept_by_content(fake_dlib: list[tuple[int, ...]]) -> None:
    clips = grey_clips([[150, 160, 170, 180], [150, 160, 170, 180]])
    first = RegionFinder(clips, "au", "dlib").boxes(clips.images)
    assert len(fake_dlib) == 8
    again = RegionFinder(clips, "important", "dlib")
    assert again.boxes(clips.images.reorder(np.array([[3, 2, 1, 0]] * 2))).shape == (2, 4, 9, 4)
    np.testing.assert_array_equal(RegionFinder(clips, "au", "dlib").boxes(clips.images), first)
    assert len(fake_dlib) == 8, "nothing is found twice"
    more = grey_clips([[150, 160, 170, 180], [150, 160, 170, 180], [190, 191, 192, 193]])
    RegionFinder(more, "au", "dlib").boxes(more.images)
    assert len(fake_dlib) == 12, "only new frames are searched"


def test_a_damaged_cache_is_made_again(fake_dlib: list[tuple[int, ...]], own_cache: Path) -> None:
    clips = grey_clips([[150, 160, 170, 180], [151, 161, 171, 181]])
    first = RegionFinder(clips, "au", "dlib").boxes(clips.images)
    kept = list(own_cache.glob("*.npz"))
    assert len(kept) == 1
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    np.testing.assert_array_equal(RegionFinder(clips, "au", "dlib").boxes(clips.images), first)
    assert len(fake_dlib) == 16


def test_content_tells_pictures_of_other_shape_apart() -> None:
    grey = np.zeros((4, 4), np.uint8)
    assert content_key(grey) == content_key(grey.copy())
    assert content_key(grey) != content_key(grey.reshape(2, 8))
    assert content_key(grey) != content_key(grey + 1)


def test_without_landmarks_regions_lie_in_the_detected_face(lecture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = group_clips(load_set(lecture, "synth-lecture"), 2)
    finder = RegionFinder(clips, "au", "fallback")
    found = finder.boxes(clips.images)
    assert found.shape == (7, 2, 9, 4)
    true = RegionFinder(clips, "au", "truth").boxes(clips.images)
    centres = [(boxes[..., :2] + boxes[..., 2:]) / 2 for boxes in (found, true)]
    assert np.abs(centres[0] - centres[1]).mean() < 0.05
    assert not finder.counted["clips without a face in any frame, taken as filled by one"]

    def search(*_: object) -> None:
        raise AssertionError("found again")

    monkeypatch.setattr(FaceBox, "__call__", search)
    np.testing.assert_array_equal(RegionFinder(clips, "au", "fallback").boxes(clips.images), found)


def test_colour_is_looked_up_as_grey_is() -> None:
    shapes: list[tuple[int, ...]] = []

    class Spy:
        name, size = "spy", 4

        def __call__(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
            shapes.append(picture.shape)
            return 1, np.full(4, picture.mean())

    for frames in (np.zeros((2, 8, 8), np.uint8), np.full((2, 8, 8, 3), 7, np.uint8)):
        values = look_up(Block(frames), Spy(), "abc")
        np.testing.assert_array_equal(values[:, 1:], frames.reshape(2, -1).mean(1)[:, None].repeat(4, 1))
    assert shapes == [(8, 8), (8, 8, 3)]
