"""A built data set on disk: ``manifest.parquet``, ``images.npy`` and ``set.json`` in ``<data root>/<name>/``.

The manifest has one row per image, in the order of the packed array: sample, file, label (a name), subject, sequence,
frame, split (official part or "none"), sha256 of the source file; where faces were looked for, a last column says whether
one was found. The fingerprint covers the first eight, every pixel and the preprocessing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from fer_cli.config import Section
from fer_cli.data.cards import card_names, load_card
from fer_cli.errors import DataError, nearest

BLOCK = 1024
"""Images read at a time."""
COLUMNS = ("sample", "file", "label", "subject", "sequence", "frame", "split", "sha256")


class SetInfo(Section):
    """What ``set.json`` says of a built set."""

    name: str
    title: str
    card_version: int
    licence: str
    classes: list[str]
    """Label names in code order."""
    counts: dict[str, int]
    subjects: int
    image_size: int
    preprocessing: list[dict[str, Any]]
    """Steps from source file to packed array, in order."""
    found: int
    kept: int
    unreadable: list[str]
    """Source files that could not be decoded and were left out by explicit choice."""
    differences: list[str]
    """How the counts differ from the card's."""
    fingerprint: str
    fer_version: str
    embedded: dict[str, Any] | None = None
    """Options of a set the suite drew itself."""
    layout: str = ""
    """Which of the known layouts the source had."""
    no_face: list[str] = []
    """Source files left out because no face was detected."""
    duplicates: list[str] = []
    """Source files left out because an identical one was kept."""
    left_out: dict[str, dict[str, int]] = {}
    """Reason -> label -> images of that label that were found and not kept."""
    skipped: dict[str, list[str]] = {}
    """Reason -> files that belong to the data set but are no labelled image."""
    undetected: int | None = None
    """Images kept although no face was detected in them; None where none was looked for."""
    parts: dict[str, str] = {}
    """Of a combined set: name -> fingerprint of each set it was made from."""
    dropped: dict[str, int] = {}
    """Of a combined set: ``set: label`` -> images whose class is not in the common map."""


@dataclass(frozen=True)
class FaceSet:
    """A built set, ready to use."""

    info: SetInfo
    manifest: pd.DataFrame
    images: np.ndarray
    """(N, S, S) grey or (N, S, S, 3) RGB, uint8, memory-mapped."""

    def of_classes(self, classes: list[str]) -> FaceSet:
        """Return the images of ``classes`` alone, in that class order; raises DataError for a class the set lacks."""
        if unknown := [label for label in classes if label not in self.info.classes]:
            raise DataError(f"{self.info.name}: no class '{unknown[0]}'{nearest(unknown[0], self.info.classes)}")
        keep = self.manifest["label"].isin(classes).to_numpy()
        info = self.info.model_copy(update={"classes": list(classes), "kept": int(keep.sum())})
        return FaceSet(info, self.manifest[keep].reset_index(drop=True), self.images[keep])

    @property
    def codes(self) -> np.ndarray:
        """Return labels as positions in ``info.classes``: (N,) int64. For computing only; never stored."""
        order = {label: code for code, label in enumerate(self.info.classes)}
        return self.manifest["label"].map(order).to_numpy(dtype=np.int64)


def fingerprint(manifest: pd.DataFrame, images: np.ndarray, preprocessing: list[dict[str, Any]]) -> str:
    """Return 16 hex digits over every manifest cell, every pixel and the preprocessing; independent of file formats."""
    digest = hashlib.sha256()
    digest.update(json.dumps(preprocessing, sort_keys=True).encode())
    for column in COLUMNS:
        digest.update("\x1f".join([column, *manifest[column].astype(str)]).encode() + b"\x1e")
    digest.update(f"{images.shape}{images.dtype}".encode())
    for start in range(0, len(images), BLOCK):
        digest.update(read_block(images, start, start + BLOCK).data)
    return digest.hexdigest()[:16]


def read_block(images: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return images ``start`` to ``stop`` (n, S, S[, 3]) uint8, contiguous.

    A memory-mapped array is read from its file instead: pages once mapped would count as this process's memory, and a
    large set has more of them than there may be room for.
    """
    whole_file: Any = images if isinstance(images, np.memmap) else None
    if whole_file is None or not images.flags.c_contiguous or not isinstance(whole_file.base, mmap):
        return np.ascontiguousarray(images[start:stop])
    shape = (max(0, min(stop, len(images)) - start), *images.shape[1:])
    with Path(str(whole_file.filename)).open("rb") as stream:
        stream.seek(whole_file.offset + start * int(np.prod(shape[1:])) * images.itemsize)
        return np.fromfile(stream, images.dtype, int(np.prod(shape))).reshape(shape)


def write_set(folder: Path, info: SetInfo, manifest: pd.DataFrame, images: np.ndarray) -> None:
    """Write the three files into an existing, empty folder."""
    np.save(folder / "images.npy", images, allow_pickle=False)
    write_info(folder, info, manifest)


def write_info(folder: Path, info: SetInfo, manifest: pd.DataFrame) -> None:
    """Write manifest and ``set.json`` beside an array that is already there."""
    manifest.to_parquet(folder / "manifest.parquet", index=False)
    (folder / "set.json").write_text(json.dumps(info.model_dump(), indent=1) + "\n", encoding="utf-8")


def built_names(data_root: Path) -> list[str]:
    """Return the names of all sets built under ``data_root``."""
    return sorted(path.parent.name for path in data_root.glob("*/set.json") if not path.parent.name.startswith("."))


def how_to_build(name: str) -> str:
    """Return the sentence that tells a user how to get a missing set."""
    drawn = name in card_names() and load_card(name).embedded is not None
    return f"build it with: fer data build {name}{'' if drawn else ' --from FOLDER'}"


def load_info(data_root: Path, name: str) -> SetInfo:
    """Return what is known of a built set; raises DataError when it is not built or its files are not whole."""
    folder = data_root / name
    if not (folder / "set.json").is_file():
        raise DataError(f"data set '{name}' is not built under {data_root}; {how_to_build(name)}")
    try:
        return SetInfo.model_validate_json((folder / "set.json").read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError):
        raise DataError(f"{folder / 'set.json'}: not written by this version; {how_to_build(name)}") from None


def load_set(data_root: Path, name: str) -> FaceSet:
    """Return a built set with its images memory-mapped; raises DataError when it is missing or its parts disagree."""
    info = load_info(data_root, name)
    folder = data_root / name
    try:
        manifest = pd.read_parquet(folder / "manifest.parquet")
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: cannot be read ({error}); {how_to_build(name)}") from None
    if len(manifest) != len(images) or len(images) != info.kept or images.dtype != np.uint8:
        raise DataError(f"{folder}: manifest, images and set.json disagree; {how_to_build(name)}")
    return FaceSet(info, manifest, images)
