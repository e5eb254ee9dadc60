"""What is done to a picture before the network sees it: as the run's data set was built, to the pixel."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_cli.config import DataConfig, ModelConfig, RunConfig
from fer_cli.data.align import choose_face, load_detector
from fer_cli.data.block import Block
from fer_cli.data.build import Choices, build_own
from fer_cli.data.cards import load_card
from fer_cli.data.decode import Preparation as Picture
from fer_cli.data.decode import open_image
from fer_cli.data.detect import Face, model_digest
from fer_cli.data.manifest import SetInfo, expected_info, load_info, load_set
from fer_cli.errors import DataError, ResultsError
from fer_cli.synthetic.build import build_embedded
from fer_cli.synthetic.sets import Task, render_person
from fer_cli.use.export import describe
from fer_cli.use.exported import About
from fer_cli.use.preparation import (
    DRAWN,
    USUAL_ZOOM,
    Framing,
    Preparation,
    adopt_preparation,
    framing_of,
    interval_of,
    measure_framing,
    picture_of,
    planes,
    read_preparation,
)
from fer_cli.use.recogniser import ExportedRecogniser
from tests.fakes import fake_result

FACES = DRAWN[USUAL_ZOOM]
RENDERED = [{"step": "render", "frames": [32, 32], "rate": 16.0, "bust": False, "recipes": "order"}]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Sixteen embedded faces, (16, 96, 96) uint8."""
    root = tmp_path_factory.mktemp("people")
    build_embedded("synth-basic", root, {"images": 16, "subjects": 8, "size": 96, "seed": 5}, jobs=1)
    return load_set(root, "synth-basic").images[:][:, 0, 0]


def write_folder(folder: Path, pictures: list[np.ndarray]) -> Path:
    """Write pictures of two classes."""
    for number, picture in enumerate(pictures):
        place = folder / ("happy" if number % 2 else "sad")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"p{number:02d}.png")
    return folder


def in_a_scene(face: np.ndarray, number: int) -> np.ndarray:
    """Return a face somewhere in a picture of 320 x 240 pixels in colour."""
    scene = np.full((240, 320, 3), (70, 90, 120), np.uint8)
    left, top = 20 + 11 * number, 30 + 5 * number
    scene[top : top + 96, left : left + 96] = face[..., None] * np.array([1.0, 0.9, 0.8])
    return scene


def prepare(root: Path, name: str, **options: Any) -> tuple[Preparation, list[str]]:
    config = RunConfig(data=DataConfig(name=name, image_size=32))
    return read_preparation(config, load_info(root, name).fingerprint, root, **options)


@pytest.mark.parametrize(
    ("colour", "crop"),
    [
        pytest.param(colour, crop, marks=pytest.mark.slow if colour == more else (), id=f"{colour}-{crop['align']}")
        for more, crop in (
            ("rgb", {"align": "five", "margin": 0.15}),
            ("grey", {"align": "eyes", "interpolation": "cubic"}),
            ("rgb", {"align": "none", "min_score": 0.4}),
        )
        for colour in ("grey", "rgb")
    ],
)
def test_detected_faces_are_cut_as_the_set_was(
    people: np.ndarray, tmp_path: Path, crop: dict[str, Any], colour: str
) -> None:
    folder = write_folder(tmp_path / "scenes", [in_a_scene(face, n) for n, face in enumerate(people)])
    how = {"size": 40, "colour": colour, "crop": crop, "no_face": "drop"}
    build_own("own", folder, "folder", None, tmp_path, choices=Choices(preparation=how))
    made, notes = prepare(tmp_path, "own")
    assert notes == [] and made.framing is None and made.picture.crop is not None
    assert made.picture.colour == colour and made.crop.align == crop["align"]
    faces, detect = load_set(tmp_path, "own"), load_detector(made.crop)
    assert len(faces.manifest) >= 12
    for file, stored in zip(faces.manifest["file"], faces.images[:], strict=True):
        image = open_image((folder / file).read_bytes(), made.picture.colour)
        face = choose_face(detect(image))
        assert face is not None
        np.testing.assert_array_equal(planes(made.cut(image, face)), stored[0])


def test_sets_of_whole_pictures_show_where_faces_lie(people: np.ndarray, tmp_path: Path) -> None:
    """The embedded faces as files: measured is what is known of them, and a detected face is cut alike."""
    folder = write_folder(tmp_path / "faces", list(people))
    build_own("own", folder, "folder", None, tmp_path, choices=Choices(preparation={"size": 96}))
    made, _ = prepare(tmp_path, "own")
    assert made.framing is not None
    assert made.framing.side == pytest.approx(FACES.side, abs=0.06) and made.framing.shift == pytest.approx(0.03, abs=0.04)
    detect, off = load_detector(made.crop), []
    for number, face in enumerate(people):
        found = choose_face(detect(np.ascontiguousarray(in_a_scene(face, number)[..., 0])))
        if found is not None:
            x0, y0, x1, _ = made.box_in_crop(found)
            side = (found.box[2] - found.box[0]) / (x1 - x0)
            placed = np.array([20 + 11 * number, 30 + 5 * number, 96])
            off.append(np.array([found.box[0] - x0 * side, found.box[1] - y0 * side, side]) - placed)
    assert len(off) > 8
    assert np.abs(off).mean(0).max() < 8, "pixels of 96: left, top, side"


def test_a_framed_crop_has_the_box_where_the_set_has_it() -> None:
    made = Preparation(picture=Picture(size=50), framing=Framing(shift=0.1, side=1.25), size=48)
    face = Face((100.0, 100.0, 180.0, 200.0), 0.9)
    box = made.box_in_crop(face)
    assert (box[2:] - box[:2]) == pytest.approx([80 / 125, 100 / 125])
    assert (box[:2] + box[2:]) / 2 == pytest.approx([0.5, 0.5 - 0.1 / 1.25])
    image = np.zeros((300, 300), np.uint8)
    image[100:200, 100:180] = 255
    crop = made.cut(image, face)
    rows, columns = (crop > 127).nonzero()
    assert crop.shape == (50, 50)
    assert (columns.min() / 50, rows.min() / 50, (columns.max() + 1) / 50, (rows.max() + 1) / 50) == pytest.approx(
        box, abs=0.02
    )


def test_embedded_sets_need_not_be_drawn(tmp_path: Path) -> None:
    made, notes = read_preparation(RunConfig(data=DataConfig(name="synth-basic")), "f", tmp_path)
    assert made.framing == FACES and made.picture == Picture(size=64) and made.size == 48 and not notes


def test_the_framing_of_an_embedded_set_is_that_of_its_zoom(tmp_path: Path) -> None:
    for name, zoom in (("synth-lecture", USUAL_ZOOM), ("synth-student", (1.0, 1.5)), ("synth-teacher", (1.0, 1.7))):
        made, _ = read_preparation(RunConfig(data=DataConfig(name=name)), "f", tmp_path)
        assert made.framing == DRAWN[zoom]
    drawn = {"step": "render", "bust": False, "recipes": "basic", "zoom": [2.0, 3.0]}
    with pytest.raises(DataError, match="synth-basic"):  # only its pictures show it
        framing_of("synth-basic", [drawn], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synth-basic", "synth-student", "synth-teacher", "synth-qa"])
def test_embedded_faces_lie_where_they_are_taken_to(name: str, tmp_path: Path) -> None:
    card = load_card(name)
    assert card.embedded is not None
    some = card.embedded.model_copy(update={"frames": card.embedded.frames and [2, 2]})
    tasks = [Task(some, tuple(card.classes), n, (0,), (card.classes[n % len(card.classes)],)) for n in range(64)]
    images = np.concatenate([render_person(task)[0][:1] for task in tasks])
    faces: Any = SimpleNamespace(images=Block(images), info=SimpleNamespace(name=name))
    found, taken = measure_framing(faces, np.arange(64)), framing_of(name, [{"step": "render", **dict(some)}], tmp_path)
    assert found.side == pytest.approx(taken.side, abs=0.04) and found.shift == pytest.approx(taken.shift, abs=0.04)


def test_a_missing_set_is_an_error_only_where_faces_are_cut(tmp_path: Path) -> None:
    config = RunConfig(data=DataConfig(name="ck48"), model=ModelConfig(channels=3))
    with pytest.raises(DataError, match=r"ck48.*is not built.*how faces are cut; or pass --data-root, or --no-detect"):
        read_preparation(config, "f", tmp_path)
    with pytest.raises(DataError, match=r"how faces are cut; or pass --data-root$"):
        read_preparation(config, "f", tmp_path, can_skip=False)
    made, notes = read_preparation(config, "f", tmp_path, detect=False)
    assert made.picture == Picture(size=48, colour="rgb") and made.channels == 3
    assert notes == [f"ck48 cannot be read under {tmp_path}: pictures are resized to 48 pixels at once"]


def test_pictures_without_faces_show_nothing(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "walls", [np.full((40, 40), 10 * n, np.uint8) for n in range(10)])
    build_own("walls", folder, "folder", None, tmp_path / "data", choices=Choices(preparation={"size": 40}))
    with pytest.raises(DataError, match=r"walls: a face is found in 0 of 10 of its pictures.*--no-detect"):
        prepare(tmp_path / "data", "walls")
    assert prepare(tmp_path / "data", "walls", detect=False)[0].framing is None


def export_walls(folder: Path, info: SetInfo, model: Path | None = None) -> tuple[About, list[str]]:
    config = RunConfig(data=DataConfig(name="walls", image_size=32))
    result = fake_result("r", config).model_copy(update={"fingerprint": info.fingerprint})
    return describe(result, [info], folder, int8=False, detector_model=model)


def test_a_run_on_pictures_without_faces_is_exported_with_a_line_about_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "walls", [np.full((40, 40), 10 * n, np.uint8) for n in range(10)])
    build_own("walls", folder, "folder", None, tmp_path / "data", choices=Choices(preparation={"size": 40}))
    about, notes = export_walls(tmp_path / "data", load_info(tmp_path / "data", "walls"))
    assert about.preparation.framing is None and about.preparation.stored == 40
    assert len(notes) == 1 and "walls: a face is found in 0 of 10 of its pictures, so others cannot be cut" in notes[0]
    assert notes[0].endswith("use fer predict --no-detect with pictures that are")


def test_a_run_on_faces_of_another_detector_is_exported_with_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "yunet.onnx"
    model.write_bytes(b"a model")
    info = expected_info(tmp_path, "synth-basic").model_copy(update={"name": "walls", "embedded": None})
    found = {"step": "detect", "detector": "yunet", "model": model_digest(model)[:16], "min_score": 0.3}
    cut = {"step": "cut", "align": "five", "margin": 0.1, "size": 40, "interpolation": "linear"}
    info = info.model_copy(update={"preprocessing": [{"step": "decode", "colour": "grey"}, found, cut]})
    monkeypatch.setattr("fer_cli.use.preparation.expected_info", lambda *_: info)
    with pytest.raises(DataError, match=r"pass it with --detector-model$"):
        export_walls(tmp_path, info)
    about, notes = export_walls(tmp_path, info, model)
    assert about.preparation.framing is None and not notes


def test_a_set_built_again_is_noted(people: np.ndarray, tmp_path: Path) -> None:
    build_own("own", write_folder(tmp_path / "faces", list(people)), "folder", None, tmp_path, choices=Choices())
    config = RunConfig(data=DataConfig(name="own"))
    assert "own was built again" in read_preparation(config, "another", tmp_path)[1][0]


def test_a_detector_with_a_model_of_its_own_needs_that_file(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"step": "decode", "colour": "rgb"},
        {"step": "detect", "detector": "yunet", "model": "0123456789abcdef", "min_score": 0.6},
        {"step": "cut", "align": "five", "margin": 0.1, "size": 60, "interpolation": "linear"},
    ]
    with pytest.raises(DataError, match="pass it with --detector-model"):
        picture_of("own", steps, 60, tmp_path)
    (tmp_path / "other.onnx").write_bytes(b"another")
    with pytest.raises(DataError, match="not the file that detected the faces of training"):
        picture_of("own", steps, 60, tmp_path, tmp_path / "other.onnx")
    assert picture_of("own", steps, 60, tmp_path, detect=False)[0] == Picture(size=60, colour="rgb")


def test_boxes_of_the_data_set_are_taken_for_detected_ones(tmp_path: Path) -> None:
    steps = [{"step": "decode", "colour": "grey"}, {"step": "box", "margin": 0.2}, {"step": "resize", "size": 48}]
    made, _ = picture_of("expw", steps, 48, tmp_path)
    assert made.crop is not None and (made.crop.margin, made.crop.align, made.crop.size) == (0.2, "none", 48)


def test_frames_of_a_window_are_as_far_apart_as_those_of_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert interval_of("synth-order", RENDERED, tmp_path, 8) == pytest.approx(31 / 16 / 7)
    assert interval_of("synth-order", RENDERED, tmp_path, 1) is None
    times = pd.DataFrame({"sequence": ["a"] * 3 + ["b"] * 2, "time_s": [0.0, 1.0, 2.0, 5.0, 6.0]})
    sets: Callable[..., Any] = lambda root, name: SimpleNamespace(manifest=times)  # noqa: E731
    monkeypatch.setattr("fer_cli.use.preparation.load_set", sets)
    assert interval_of("own", [], tmp_path, 4) == pytest.approx(0.5)


class Exported:
    """What ``fer_cli.use.exported`` reads of a file."""

    name, classes, frames, notes = "cnn.onnx", ["a", "b"], 8, list[str]()
    about = SimpleNamespace(data={"synth-order": "f"})
    preparation = SimpleNamespace(
        steps=RENDERED,
        stored=64,
        size=48,
        channels=3,
        normalise="train",
        frames=8,
        regions="au",
        landmarks="truth",
        framing=FACES.model_dump(),
        interval_s=0.25,
    )

    def predict(self, faces: np.ndarray, regions: np.ndarray | None = None) -> np.ndarray:
        self.shape = faces.shape
        return np.full((len(faces), 2), 0.5, np.float32)


def test_an_exported_file_states_its_preparation(tmp_path: Path) -> None:
    exported = Exported()
    made = ExportedRecogniser(exported, tmp_path)
    assert made.preparation.framing == FACES and made.preparation.interval_s == 0.25
    assert (made.preparation.size, made.preparation.channels, made.preparation.frames) == (48, 1, 8)
    assert made.predict(np.zeros((3, 8, 1, 64, 64), np.uint8)).shape == (3, 2) and exported.shape == (3, 8, 1, 48, 48)
    with pytest.raises(DataError, match=r"faces: \(N, 8, C, H, W\) uint8 are needed, not 3 x 1 x 64 x 64 uint8"):
        made.predict(np.zeros((3, 1, 64, 64), np.uint8))
    exported.predict = lambda faces, regions: np.full((len(faces), 2), np.nan, np.float32)  # type: ignore[method-assign]
    with pytest.raises(ResultsError, match="answers with NaN, so its weights are damaged or its training failed"):
        made.predict(np.zeros((3, 8, 1, 64, 64), np.uint8))
    plain = SimpleNamespace(**vars(Exported.preparation) | {"steps": [{"step": "decode", "colour": "rgb"}]})
    found = adopt_preparation(plain, "own", tmp_path)
    assert found.framing == FACES and found.channels == 3
    assert adopt_preparation(plain, "own", tmp_path, detect=False).framing is None
    assert json.loads(found.model_dump_json())["picture"]["colour"] == "rgb"
