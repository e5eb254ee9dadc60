"""Faces over time: ids, lost and found again, boxes that follow the picture between detections."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from fer_cli.data.align import Crop, overlap
from fer_cli.data.detect import Face
from fer_cli.use import faces
from fer_cli.use.faces import EVERY, KEPT_S, FaceTracker, follow

FRAME = np.zeros((120, 160), np.uint8)


def face(left: float, top: float = 20, side: float = 40) -> Face:
    return Face((left, top, left + side, top + side), 0.9)


class Script:
    """A detector that finds what a script says, call by call, and notes the pictures it sees."""

    def __init__(self, *found: list[Face]) -> None:
        self.found, self.shapes = list(found), list[tuple[int, ...]]()

    def __call__(self, image: np.ndarray) -> list[Face]:
        self.shapes.append(image.shape)
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


Track = Callable[..., FaceTracker]


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch) -> Track:
    """Return a function that begins a tracker whose detector follows a script."""

    def begin(script: Script, **options: object) -> FaceTracker:
        monkeypatch.setattr(faces, "load_detector", lambda crop: script)
        return FaceTracker(Crop(), **options)  # type: ignore[arg-type]

    return begin


def ids(tracker: FaceTracker, time_s: float) -> list[int]:
    return [one.id for one in tracker(FRAME, time_s)]


def test_a_detection_in_every_third_frame(track: Track) -> None:
    script = Script([face(10)])
    tracker = track(script)
    assert [ids(tracker, n / 10) for n in range(9)] == [[1]] * 9
    assert len(script.shapes) == 3 and EVERY == 3


def test_wide_frames_are_reduced_and_boxes_are_in_their_pixels(track: Track) -> None:
    script = Script([Face((10, 20, 50, 60), 0.9, np.full((5, 2), 30, np.float32))])
    (found,) = track(script)(np.zeros((480, 640, 3), np.uint8), 0.0)
    assert script.shapes == [(240, 320, 3)]
    assert found.face.box == (20, 40, 100, 120) and (found.face.landmarks == 60).all()
    script = Script([face(10)])
    (found,) = track(script)(np.zeros((100, 161, 3), np.uint8), 0.0)
    assert script.shapes == [(100, 161, 3)] and found.face.box == (10, 20, 50, 60)


def test_ids_follow_overlap_not_order(track: Track) -> None:
    one, other = face(10), face(100)
    tracker = track(Script([one, other], [face(104), face(14)], [face(18), face(108)]), every=1)
    places = [{found.id: found.face.box[0] for found in tracker(FRAME, n / 10)} for n in range(3)]
    assert places == [{1: 10, 2: 100}, {1: 14, 2: 104}, {1: 18, 2: 108}]


def test_new_faces_get_ids_from_left_to_right(track: Track) -> None:
    assert [(one.id, one.face.box[0]) for one in track(Script([face(100), face(10)]))(FRAME, 0.0)] == [(1, 10), (2, 100)]


def test_an_overlap_of_less_than_three_tenths_is_another_face(track: Track) -> None:
    near, far = face(10 + 40 * 0.5), face(10 + 40 * 0.6)  # IoU 1/3 and 1/4
    assert overlap(face(10).box, near.box) > 0.3 > overlap(face(10).box, far.box)
    tracker = track(Script([face(10)], [near]), every=1)
    assert [ids(tracker, 0.0), ids(tracker, 0.1)] == [[1], [1]]
    tracker = track(Script([face(10)], [far]), every=1)
    assert [ids(tracker, 0.0), ids(tracker, 0.1)] == [[1], [2]]


def test_a_lost_face_is_not_shown_and_keeps_its_id_for_two_seconds(track: Track) -> None:
    assert KEPT_S == 2
    tracker = track(Script([face(10)], [], [face(12)]), every=1)
    assert [ids(tracker, 0.0), ids(tracker, 1.0), ids(tracker, 2.0)] == [[1], [], [1]]
    tracker = track(Script([face(10)], [], [face(12)]), every=1)
    assert [ids(tracker, 0.0), ids(tracker, 1.0), ids(tracker, 2.01)] == [[1], [], [2]]


def test_a_face_that_arrives_later_keeps_its_id_too(track: Track) -> None:
    tracker = track(Script([face(100)], [face(10), face(100)], [face(10), face(100)], []), every=1)
    assert [ids(tracker, 0.1 * n) for n in range(4)] == [[1], [1, 2], [1, 2], []]


def picture(across: float, down: float, grown: float = 1.0) -> np.ndarray:
    """A textured face before a plain wall, moved and enlarged around its centre (60, 60)."""
    small = np.random.default_rng(0).integers(0, 255, (12, 12), dtype=np.uint8)
    texture = cv2.resize(small, (60, 60), interpolation=cv2.INTER_CUBIC)
    matrix = np.array([[grown, 0, 60 + across - 30 * grown], [0, grown, 60 + down - 30 * grown]], np.float64)
    return cv2.warpAffine(texture, matrix, (160, 120), flags=cv2.INTER_LINEAR, borderValue=90)


@pytest.mark.parametrize(("across", "down", "grown"), [(0, 0, 1), (3, -2, 1), (-6, 4, 1), (2, 1, 1.05), (0, 0, 0.95)])
def test_boxes_and_landmarks_move_with_the_picture(across: float, down: float, grown: float) -> None:
    start = Face((30, 30, 90, 90), 0.9, np.array([[40, 50], [80, 50], [60, 60], [45, 80], [75, 80]], np.float32))
    moved = follow(picture(0, 0), picture(across, down, grown), start)
    half = 30 * grown
    expected = (60 + across - half, 60 + down - half, 60 + across + half, 60 + down + half)
    assert moved.box == pytest.approx(expected, abs=0.5)
    assert start.landmarks is not None and moved.landmarks is not None
    np.testing.assert_allclose(moved.landmarks, (start.landmarks - 60) * grown + 60 + (across, down), atol=0.5)


def test_a_box_without_texture_or_outside_stays() -> None:
    plain = np.full((120, 160), 90, np.uint8)
    assert follow(plain, plain, face(10)).box == face(10).box
    outside = Face((150, 110, 190, 150), 0.9)
    assert follow(picture(0, 0), picture(3, 0), outside).box == outside.box


def test_between_detections_boxes_follow(track: Track) -> None:
    tracker = track(Script([face(30, 30, 60)], [face(42, 30, 60)]))
    lefts = [tracker(picture(4 * n, 0), n / 10)[0].face.box[0] for n in range(4)]
    assert lefts == pytest.approx([30, 34, 38, 42], abs=0.5)


def test_another_size_of_frames_begins_again(track: Track) -> None:
    tracker = track(Script([face(10)]), every=1)
    assert [one.id for one in tracker(FRAME, 0.0)] == [1]
    assert [one.id for one in tracker(np.zeros((60, 90), np.uint8), 0.1)] == [2]
