"""Drawings of predictions: words that fit, colours per class, and a video's classes over time."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fer_cli.cli.predict import write_rows
from fer_cli.data.video import frame_count
from fer_cli.drawing import PALETTE
from fer_cli.errors import DataError
from fer_cli.use.draw import check_drawing, draw_into
from fer_cli.use.pen import Pen, hex_colour, words_image
from fer_cli.use.predict import Seen, Tally
from fer_cli.use.sources import Source
from fer_cli.use.timeline import GAP_S, KEPT, MOST_FACES, TimelineDrawing
from fer_cli.use.windows import Sighting
from tests.films import write_film

CLASSES = ["sad", "happy", "überrascht"]
GREY = np.full((240, 320, 3), 120, np.uint8)


def sighting(box: tuple[float, float, float, float], code: int = 1, face: int = 1) -> Sighting:
    shares = np.full(3, 0.1, np.float32)
    shares[code] = 0.8
    return Sighting(face, box, total=shares, windows=1, open=False)


def colour_of(code: int) -> np.ndarray:
    return np.array(hex_colour(PALETTE[code]))


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_box_has_the_colour_of_its_class_and_words_above_it(code: int) -> None:
    drawn = Pen(CLASSES, GREY.shape).draw(GREY, Seen(0, 0.0, [sighting((100, 80, 200, 180), code)]))
    assert (drawn[130, 100] == colour_of(code)).all() and (drawn[179, 150] == colour_of(code)).all()
    changed = (drawn != GREY).any(2)
    assert not changed[90:170, 110:190].any(), "the face stays visible"
    rows, columns = changed.nonzero()
    assert 55 < rows.min() < 75 and columns.min() > 90 and rows.max() < 190
    assert (GREY == 120).all(), "the frame is not drawn on"


BOXES = [(-20, -30, 60, 50), (280, 200, 400, 300), (0, 0, 320, 240), (150, 2, 170, 20), (318, 238, 319, 239)]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("shape", [(240, 320, 3), (24, 30, 3)])
def test_boxes_at_the_border_and_tiny_frames(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> None:
    frame = np.full(shape, 120, np.uint8)
    drawn = Pen(CLASSES, shape).draw(frame, Seen(0, 0.0, [sighting(box, 2, 12345)]))
    assert drawn.shape == shape and (drawn != frame).any()


def test_words_are_readable_on_their_colour_and_stay_one_line() -> None:
    for name in PALETTE:
        shown = words_image("1: happy 80 %", 20, hex_colour(name)).astype(int)
        assert np.ptp(shown.sum(2)) > 250
    assert words_image("a\nb", 20, (0, 0, 0)).shape[0] == words_image("ab", 20, (0, 0, 0)).shape[0]


def test_a_small_picture_is_enlarged_with_its_boxes(tmp_path: Path) -> None:
    Image.fromarray(np.full((48, 48), 100, np.uint8)).save(tmp_path / "small.png")
    source = Source(tmp_path / "small.png", "small.png", "image")
    with draw_into(tmp_path / "drawn.png", source, CLASSES) as drawing:
        assert drawing is not None
        drawing.add(Seen(0, None, [sighting((10, 24, 40, 44))]))
    drawn = np.asarray(Image.open(tmp_path / "drawn.png"))
    assert drawn.shape == (384, 384, 3)
    assert (drawn[300, 80] == colour_of(1)).all()


def film(tmp_path: Path, frames: int, rate: int = 10) -> Source:
    path = write_film(tmp_path / "a $film$.avi", [np.full((48, 64, 3), n % 250, np.uint8) for n in range(frames)], rate)
    return Source(path, path.name, "video")


def timeline(tmp_path: Path, seen: list[Seen]) -> TimelineDrawing:
    drawing = TimelineDrawing(tmp_path / "t.png", film(tmp_path, len(seen)), CLASSES)
    for one in seen:
        drawing.add(one)
    return drawing


def test_a_timeline_has_a_span_per_class_and_a_gap_where_a_face_is_lost(tmp_path: Path) -> None:
    """Happy for a second, sad for one, a second without, sad for one; ten frames a second."""
    codes = [1] * 10 + [0] * 10 + [None] * 10 + [0] * 10
    faces = [[] if code is None else [sighting((5, 5, 25, 25), code)] for code in codes]
    drawing = timeline(tmp_path, [Seen(n, n / 10, one) for n, one in enumerate(faces)])
    spans = [(span.name, round(span.start_s, 2), round(span.end_s, 2)) for span in drawing.spans[1]]
    assert GAP_S < 1 and spans == [("happy", 0.0, 1.0), ("sad", 1.0, 1.9), ("sad", 3.0, 3.9)]
    assert len(drawing.frames) <= KEPT
    drawing.finish()
    figure = Image.open(tmp_path / "t.png")
    pixels = np.asarray(figure.convert("RGB"))[round(0.7 * figure.height) :]  # below the frames
    happy, sad, other = ((pixels == colour_of(code)).all(2).sum(1).max() for code in (1, 0, 2))
    assert sad / happy == pytest.approx(1.8, rel=0.1), "the bars are as long as the spans"
    assert other == 0


def test_a_face_in_every_frame_of_a_slow_video_has_one_span(tmp_path: Path) -> None:
    """A frame a second: the face is in eight of them, then in none of two, then in the last."""
    drawing = TimelineDrawing(tmp_path / "t.png", film(tmp_path, 11, rate=1), CLASSES)
    for n in range(11):
        drawing.add(Seen(n, float(n), [sighting((5, 5, 25, 25))] if n < 8 or n == 10 else []))
    assert [(span.start_s, span.end_s) for span in drawing.spans[1]] == [(0.0, 7.0), (10.0, 10.0)]


def test_a_closed_reader_of_the_rows_ends_neither_the_drawing_nor_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, given = film(tmp_path, 30), list[int]()

    def read_all(files: list[Source]) -> Iterator[tuple[Source, Seen]]:
        for n in range(30):
            given.append(n)
            yield files[0], Seen(n, n / 10, [])

    reader: Any = SimpleNamespace(recogniser=SimpleNamespace(classes=CLASSES), tally=Tally(), read_all=read_all)
    monkeypatch.setitem(write_rows.__globals__, "closed", [sys.stdout])
    write_rows(reader, [source], None, tmp_path / "t.avi")
    assert frame_count(tmp_path / "t.avi") == 30
    given.clear()
    write_rows(reader, [source], None, None)
    assert given == [0]
    monkeypatch.setitem(write_rows.__globals__, "closed", [sys.stderr])
    write_rows(reader, [source], None, None)
    assert len(given) == 31


def test_a_timeline_keeps_few_frames_and_the_faces_seen_longest(tmp_path: Path) -> None:
    lasting = [sighting((5, 5, 25, 25), 0, face) for face in range(1, MOST_FACES + 1)]
    brief = [sighting((5, 5, 25, 25), 2, face) for face in range(50, 60)]
    drawing = timeline(tmp_path, [Seen(n, n / 10, [*lasting, *(brief if n < 3 else [])]) for n in range(100)])
    assert len(drawing.frames) <= KEPT and drawing.frames[-1][0] > 7
    words = [text.get_text() for text in drawing.figure().findobj(lambda artist: hasattr(artist, "get_text"))]
    assert "face 1" in words and "face 12" in words and "face 50" not in words
    assert f"the {MOST_FACES} of {MOST_FACES + 10} faces seen longest" in words
    assert "a $film$.avi: class of each face over time" in words


def test_a_video_without_faces_and_with_an_odd_size_has_drawings(tmp_path: Path) -> None:
    source = film(tmp_path, 3)
    for name in ("t.png", "t.mp4", "t.avi"):
        with draw_into(tmp_path / name, source, CLASSES) as drawing:
            assert drawing is not None
            for number in range(3):
                drawing.add(Seen(number, number / 10, []))
        assert (tmp_path / name).stat().st_size > 500
    assert len(list(tmp_path.iterdir())) == 4


def test_only_fitting_drawings_are_begun(tmp_path: Path) -> None:
    picture, video = Source(Path("a.png"), "a.png", "image"), Source(Path("a.avi"), "a.avi", "video")
    for out in ("o.png", "o.PNG", "o.mp4", "o.avi"):
        check_drawing(Path(out), [video])
    check_drawing(Path("o.png"), [picture])
    for out, files in (("o.mp4", [picture]), ("o.jpg", [picture]), ("o", [video]), ("o.png", [picture, picture])):
        with pytest.raises(DataError, match=r"--out o"):
            check_drawing(Path(out), files)
