"""One picture gives one packed image, whatever its depth, layers and turn; see-through pixels show a recorded ground."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_cli.data.build import Choices, build_own
from fer_cli.data.decode import GROUND, UnreadableError, open_image, read_picture
from fer_cli.data.manifest import load_set
from tests.conftest import draw_face
from tests.test_accounts import HEIC, faces

PLAIN_PICTURE = cv2.resize(draw_face("happy", 3, 1), (40, 48))
TURNED = np.ascontiguousarray(np.rot90(PLAIN_PICTURE))  # orientation 6 turns it back


def layered(pixels: np.ndarray, alpha: int = 255) -> Image.Image:
    return Image.merge("RGBA", [*[Image.fromarray(pixels)] * 3, Image.new("L", pixels.shape[::-1], alpha)])


DEPTHS: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "8 bits": Image.fromarray,
    "16 bits": lambda pixels: Image.fromarray(pixels.astype(np.uint16) * 257),
    "float to 1": lambda pixels: Image.fromarray(pixels.astype(np.float32) / 255),
    "float to 255": lambda pixels: Image.fromarray(pixels.astype(np.float32)),
    "colour": lambda pixels: Image.fromarray(pixels).convert("RGB"),
    "alpha": layered,
    "grey and alpha": lambda pixels: Image.fromarray(pixels).convert("LA"),
}
FORMATS = {
    "png": {},
    "tiff": {},
    "tif": {"compression": "tiff_lzw"},
    "webp": {"lossless": True},
    "pgm": {},
    "ppm": {},
    "pfm": {},
}
TAGGED = {"png", "tiff", "tif", "webp"}


def fits(depth: str, suffix: str) -> bool:
    float_, deep = depth.startswith("float"), depth == "16 bits"
    return {
        "png": not float_,
        "webp": not float_ and not deep,
        "pgm": depth == "8 bits" or deep,
        "ppm": depth == "colour",
        "pfm": float_,
    }.get(suffix, True)


def test_one_picture_gives_one_packed_image_whatever_its_depth(tmp_path: Path) -> None:
    """Also turned on its side with a tag that says so."""
    source = tmp_path / "src"
    (source / "happy").mkdir(parents=True)
    (source / "sad").mkdir()
    Image.fromarray(255 - PLAIN_PICTURE).save(source / "sad" / "a.png")
    tags = Image.Exif()
    tags[0x0112] = 6
    made = 0
    for depth, drawn in DEPTHS.items():
        for suffix, options in FORMATS.items():
            if fits(depth, suffix):
                name = f"{depth.replace(' ', '-')}"
                drawn(PLAIN_PICTURE).save(source / "happy" / f"{name}.{suffix}", **options)
                made += 1
                if suffix in TAGGED:
                    drawn(TURNED).save(source / "happy" / f"{name}-turned.{suffix}", exif=tags, **options)
                    made += 1
    for colour in ("grey", "rgb"):
        choices = Choices({"size": 40, "colour": colour})
        info = build_own(colour, source, "folder", None, tmp_path / "data", choices=choices)
        built = load_set(tmp_path / "data", colour)
        happy = built.images.packed[(built.manifest["label"] == "happy").to_numpy()]
        assert len(happy) == made > 40
        assert len(np.unique(happy.reshape(made, -1), axis=0)) == 1
        assert np.array_equal(happy[0] if colour == "grey" else happy[0][..., 1], PLAIN_PICTURE[4:44])
        assert "alpha" not in [step["step"] for step in info.preprocessing]  # nothing was see-through


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_see_through_pixels_show_the_ground_not_what_is_hidden(colour: str) -> None:
    layers = layered(np.full((16, 16), 200, np.uint8))
    layers.putalpha(Image.fromarray(np.repeat([[0], [255]], 8, axis=0).repeat(16, axis=1).astype(np.uint8)))
    palette = Image.fromarray(np.repeat([[3], [5]], 8, axis=0).repeat(16, axis=1).astype(np.uint8), "L").convert("P")
    palette.putpalette([200] * 768)
    contents = [saved(layers, "PNG"), saved(layers.convert("LA"), "PNG"), saved(layers, "WEBP", lossless=True, exact=True)]
    contents += [saved(palette, format, transparency=3) for format in ("PNG", "GIF")]
    for content in contents:
        pixels, clear = read_picture(content, colour)
        assert clear
        assert (pixels[:8] == GROUND).all() and (pixels[8:] == 200).all()
    half, _ = read_picture(saved(layered(np.full((16, 16), 200, np.uint8), 128), "PNG"), colour)
    assert np.abs(half.astype(int) - (200 * 128 + GROUND * 127) / 255).max() <= 1


def test_the_ground_is_recorded_where_it_shows(tmp_path: Path) -> None:
    source = faces(tmp_path / "src")
    plain = build_own("plain", source, "folder", None, tmp_path / "data")
    layered(draw_face("happy", 5, 1), 100).save(source / "happy" / "clear.png")
    clear = build_own("clear", source, "folder", None, tmp_path / "data")
    step = {"step": "alpha", "over": GROUND, "when": "a pixel is see-through"}
    assert step not in plain.preprocessing
    assert clear.preprocessing == [plain.preprocessing[0], step, *plain.preprocessing[1:]]


def test_of_several_pictures_in_a_file_the_first_is_read() -> None:
    first, second = (Image.fromarray(np.full((16, 16), value, np.uint8)) for value in (50, 200))
    for format in ("GIF", "TIFF", "PNG"):
        assert (open_image(saved(first, format, save_all=True, append_images=[second]), "grey") == 50).all()


def test_dark_16_bit_pictures_stay_dark() -> None:
    dark = Image.fromarray(np.full((16, 16), 200, np.uint16))  # less than 1 of 255
    for format in ("PNG", "TIFF", "PPM"):
        assert open_image(saved(dark, format), "grey").max() == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((16, 16), 70_000, np.int32), "signed 32-bit integers"),
        (np.linspace(-1, 1, 256, dtype=np.float32).reshape(16, 16), "floating-point values from -1 to 1 "),
        (np.full((16, 16), 1.1, np.float32), "floating-point values from 1.1 to 1.1 "),
        (np.full((16, 16), 65535, np.float32), "floating-point values from 6.554e[+]04"),
    ],
)
def test_values_of_an_unknown_scale_are_refused_by_name(values: np.ndarray, reason: str) -> None:
    with pytest.raises(UnreadableError, match=f"{reason}.*with unknown full scale"):
        open_image(saved(Image.fromarray(values), "TIFF"), "grey")


def test_white_is_zero_in_some_tiffs() -> None:
    values = np.tile(np.arange(16, dtype=np.uint8) * 16, (16, 1))
    content = saved(Image.fromarray(values.astype(np.uint16) * 257), "TIFF", tiffinfo={262: 0})
    assert np.array_equal(open_image(content, "grey"), 255 - values)


def test_a_wrong_suffix_does_not_hide_a_format_that_is_not_read() -> None:
    with pytest.raises(UnreadableError, match="HEIC, unsupported format"):
        open_image(HEIC, "grey")
