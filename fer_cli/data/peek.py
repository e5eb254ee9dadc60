"""A contact sheet of a data set: one row of faces per class, or rows of frames of its clips."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import cv2
import numpy as np

from fer_cli.data.block import colour_picture, pictures
from fer_cli.data.clips import choose_frames
from fer_cli.data.manifest import FaceSet, load_set
from fer_cli.errors import DataError
from fer_cli.marks import write_png

LEAST_SIDE = 64
"""Smaller faces are enlarged to this side."""
TEXT = 14
"""Font size in pixels."""
GAP = 8
"""Padding around text in pixels."""
STRIPS = 2
"""Clips per class on a sheet of filmstrips."""


def contact_sheet(data_root: Path, name: str, path: Path, columns: int, strips: bool = False) -> None:
    """Write a PNG with up to ``columns`` faces per class, in colour if the set is; raises DataError if it is not built.

    The header shows title, counts and fingerprint; each row its class and number of images, or with ``strips`` its class and
    clip.
    """
    faces = load_set(data_root, name)
    side = max(LEAST_SIDE, faces.info.image_size)
    chosen = choose_rows(faces, columns, strips)
    names = [render_text(caption) for caption, _ in chosen]
    lines = [pad_line(render_text(line)) for line in heading(faces)]
    most = max(line.shape[1] for line in lines)
    head = np.concatenate([widen(line, most) for line in lines])
    left = max(text.shape[1] for text in names) + 2 * GAP
    width = max(head.shape[1], left + columns * side)
    rows = [widen(head, width)]
    for (_, positions), text in zip(chosen, names, strict=True):
        row = np.full((side, width, 3), 255, np.uint8)
        top = (side - text.shape[0]) // 2
        row[top : top + text.shape[0], GAP : GAP + text.shape[1]] = text
        images = faces.images[positions]
        for column, picture in enumerate(pictures(images[:, :1])):
            row[:, left + column * side : left + (column + 1) * side] = enlarge(picture, side)
        rows.append(row)
    sheet = np.concatenate(rows)
    write_png(path, sheet if faces.images.channels == 3 else sheet[..., 0])


def heading(faces: FaceSet) -> list[str]:
    """Return the header lines: title, size and fingerprint."""
    info = faces.info
    colour = "colour" if faces.images.channels == 3 else "grey"
    size = f"{info.image_size} x {info.image_size} {colour}"
    return [info.title, f"{amount(faces)}, {len(info.classes)} classes, {size}, fingerprint {info.fingerprint}"]


def amount(faces: FaceSet) -> str:
    """Return the size of a set: ``213 images, 10 subjects`` or ``14 clips with 230 frames, 7 subjects``."""
    info = faces.info
    return f"{info.state}, {info.subjects} subjects" if info.subjects else info.state


def choose_images(faces: FaceSet, columns: int) -> dict[str, np.ndarray]:
    """Return class -> positions of up to ``columns`` images, in a random order that alternates between people.

    Of a clip, the frame in its middle is chosen.
    """
    rng, chosen = np.random.default_rng(0), {}
    for label in faces.info.classes:
        own = faces.manifest[faces.manifest["label"] == label]
        if faces.info.clips is not None:
            clips = own.groupby("sequence", sort=False)["frame"]
            own = own[clips.cumcount() == (clips.transform("size") // 2)]
        mixed = own.iloc[rng.permutation(len(own))]
        turns = mixed.groupby("subject").cumcount().argsort(kind="stable").to_numpy()
        chosen[label] = mixed.index.to_numpy()[turns][:columns]
    return chosen


def choose_rows(faces: FaceSet, columns: int, strips: bool) -> list[tuple[str, np.ndarray]]:
    """Return the caption of each row of a sheet and the positions of its up to ``columns`` images.

    With ``strips``, a row is a clip, in evenly spaced frames, and a class has up to STRIPS of them. Raises DataError if the
    set has no clips.
    """
    if not strips:
        counts = faces.manifest["label"].value_counts()
        return [(f"{label}  {counts.get(label, 0)}", chosen) for label, chosen in choose_images(faces, columns).items()]
    if faces.info.clips is None:
        raise DataError(f"{faces.info.name}: no clips, which --strips shows")
    clips, rows = faces.manifest["sequence"].to_numpy(), []
    for label, middles in choose_images(faces, STRIPS).items():
        for middle in middles:
            frames = np.flatnonzero(clips == clips[middle])
            frames = frames[np.argsort(faces.manifest["frame"].to_numpy()[frames], kind="stable")]
            rows.append((f"{label}  {clips[middle]}", frames[choose_frames(len(frames), min(columns, len(frames)))]))
    return rows


def enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """Return an image (S, S) or (S, S, 3) uint8 as (side, side, 3)."""
    return colour_picture(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC))


def render_text(text: str) -> np.ndarray:
    """Return a text rendered black on white, (h, w, 3) uint8."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", TEXT)
    seen = "".join(letter if unicodedata.category(letter)[0] != "C" else "?" for letter in text)
    _, _, right, bottom = font.getbbox(seen)
    picture = Image.new("RGB", (int(right) + 2, max(int(bottom), TEXT) + 2), "white")
    ImageDraw.Draw(picture).text((0, 0), seen, fill="black", font=font)
    return np.asarray(picture)


def pad_line(text: np.ndarray) -> np.ndarray:
    """Return a rendered line with padding on the left, right and top."""
    return np.pad(text, ((GAP, 2), (GAP, GAP), (0, 0)), constant_values=255)


def widen(block: np.ndarray, width: int) -> np.ndarray:
    """Return a block padded with white on the right to ``width``."""
    return np.pad(block, ((0, 0), (0, width - block.shape[1]), (0, 0)), constant_values=255)
