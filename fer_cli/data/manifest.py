"""A built data set on disk: ``manifest.parquet``, ``images.npy`` and ``set.json`` in ``<data root>/<name>/``.

The manifest has one row per image in sample order, as in the packed array: sample (path-independent id), name (in the
source), file, label (a name), subject, sequence, frame, split (official part or "none"), sha256 of the source file and,
after face detection, whether a face was found. Fingerprint and verification: see ``fer_cli.data.identity``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from pydantic import ValidationError

from fer_cli import __version__
from fer_cli.config import Known, Section
from fer_cli.data.block import Block, open_block
from fer_cli.data.cards import Embedded, has_card, load_card
from fer_cli.data.files import why_unreadable
from fer_cli.data.identity import SCHEME, changed_files, file_hash, seal
from fer_cli.data.rebuild import build_command
from fer_cli.errors import DataError, nearest
from fer_cli.places import inode_of, read_text, write_text
from fer_cli.yamls import explain

if TYPE_CHECKING:
    import pandas as pd

IMAGES, MANIFEST, INFO, TRUTH = "images.npy", "manifest.parquet", "set.json", "truth.parquet"
COLUMNS = ("sample", "name", "file", "label", "subject", "sequence", "frame", "split", "sha256")
TIME = "time_s"
"""Column of the time of each video frame in its clip, in seconds; not in other sets."""
TRIES = 40
"""Attempts, 0.05 s apart, to read a set that another process is replacing."""
Read = TypeVar("Read")
STALE = 60.0
"""Seconds after which a note of images being drawn is that of a killed process."""
MOST = 512 * 2**20
"""Size limit of ``set.json`` in bytes."""


class SetInfo(Section):
    """The content of ``set.json``."""

    scheme: Literal[2] = 2
    """Version of the fingerprint; see ``fer_cli.data.identity``."""
    name: str
    title: str
    card_version: int
    licence: str
    classes: list[str]
    """Labels in code order."""
    counts: dict[str, int]
    subjects: int
    sequences: int | None = None
    """Number of clips and sequences, if every image belongs to one; None also in sets of earlier versions."""
    image_size: int
    preprocessing: list[dict[str, Any]]
    """Steps from source file to packed array, in order."""
    found: int
    kept: int
    unreadable: dict[str, str]
    """Undecodable source files, left out by explicit choice -> reason."""
    differences: list[str]
    """Differences from the card's counts."""
    expected: dict[str, int] | None = None
    """Counts of the source's layout if not the card's; empty if unknown."""
    fingerprint: str
    fer_version: str
    files: dict[str, str]
    """Name of each file beside ``set.json`` -> SHA-256."""
    own: dict[str, str] = {}
    """Build options of a user's own data; see ``fer_cli.data.own``."""
    archive: dict[str, str] = {}
    """Name of the source archive -> SHA-256; empty for a folder."""
    embedded: dict[str, Any] | None = None
    """Rendering options of an embedded set."""
    drawn: int | None = None
    """Of an embedded set that is drawn on demand: images drawn so far; None: all."""
    layout: str = ""
    """Layout of the source."""
    no_face: list[str] = []
    """Source files left out because no face was detected."""
    duplicates: list[str] = []
    """Source files left out because an identical one was kept."""
    left_out: dict[str, dict[str, int]] = {}
    """Reason -> label -> number of images found but not kept."""
    skipped: dict[str, list[str]] = {}
    """Reason -> images, videos and rows of the source that are not in the set."""
    others: dict[str, int] = {}
    """Suffix -> number of other files below the source."""
    notes: dict[str, int] = {}
    """Observation -> number of kept images."""
    undetected: int | None = None
    """Number of kept images without a detected face; None without detection."""
    parts: dict[str, str] = {}
    """Of a combined set: name -> fingerprint of each source set."""
    dropped: dict[str, int] = {}
    """Of a combined set: ``set: label`` -> images whose class is not in the class map."""

    @property
    def clips(self) -> int | None:
        """Return the number of rendered clips, None for other sets."""
        return int(self.embedded["images"]) if self.embedded and self.embedded.get("frames") else None

    @property
    def amount(self) -> str:
        """Return the size of the set: ``213 images`` or ``14 clips with 230 frames``."""
        return f"{self.kept} images" if self.clips is None else f"{self.clips} clips with {self.kept} frames"

    @property
    def state(self) -> str:
        """Return the size of the set and how much of it is drawn: ``800 images, 100 drawn``."""
        return self.amount if self.drawn is None else f"{self.amount}, {self.drawn} drawn"


@dataclass(frozen=True)
class FaceSet:
    """A built set in use."""

    info: SetInfo
    manifest: pd.DataFrame
    images: Block
    """(N, T, C, H, W) uint8, memory-mapped: one sample per row of the manifest."""
    folder: Path | None = None
    """The set's folder; None for a set held in memory."""

    def of_classes(self, classes: list[str]) -> FaceSet:
        """Return the images of ``classes`` in that order, the whole set if empty; raises DataError for an unknown class."""
        if not classes:
            return self
        if unknown := [label for label in classes if label not in self.info.classes]:
            raise DataError(f"{self.info.name}: no class '{unknown[0]}'{nearest(unknown[0], self.info.classes)}")
        keep = self.manifest["label"].isin(classes).to_numpy()
        info = self.info.model_copy(update={"classes": list(classes), "kept": int(keep.sum())})
        manifest = self.manifest[keep].reset_index(drop=True)
        return replace(self, info=info, manifest=manifest, images=self.images.select(keep))

    def undrawn(self, positions: np.ndarray | None = None) -> np.ndarray:
        """Return those of the ``positions`` (n,) int64 (default: all) whose images are not drawn yet."""
        every = np.arange(len(self.images)) if positions is None else positions
        return every[(self.images.rows[every] < 0).any(1)]

    @property
    def codes(self) -> np.ndarray:
        """Return labels as positions in ``info.classes``, (N,) int64; never stored."""
        order = {label: code for code, label in enumerate(self.info.classes)}
        return self.manifest["label"].map(order).to_numpy(dtype=np.int64)


def write_set(folder: Path, info: SetInfo, manifest: pd.DataFrame, images: Block) -> SetInfo:
    """Write the three files into an existing, empty folder; see ``write_info``."""
    with (folder / IMAGES).open("wb") as stream:
        stream.writelines(images.file_content())
    return write_info(folder, info, manifest)


def write_info(folder: Path, info: SetInfo, manifest: pd.DataFrame) -> SetInfo:
    """Write manifest and ``set.json`` and return the info with the hash of every file in the folder."""
    manifest.to_parquet(folder / MANIFEST, index=False)
    there = [name for name in (MANIFEST, TRUTH) if (folder / name).is_file()]
    files = info.files | {name: file_hash(folder / name, remembered=False) for name in there}
    whole = info.model_copy(update={"files": files})
    content = whole.model_dump(mode="json")
    write_text(folder / INFO, json.dumps({"seal": seal(content), **content}, indent=1) + "\n")
    return whole


def load_info(data_root: Path, name: str) -> SetInfo:
    """Return the info of a built set.

    Raises DataError, with the build command, if it is not built, was built by another version (with another fingerprint
    scheme), or its ``set.json`` is damaged or edited.
    """
    path = data_root / name / INFO
    reason = why_unreadable(path, MOST)
    if reason == "no such file":
        again = build_command(name, root=data_root)
        raise DataError(f"data set '{name}' is not built under {data_root}; build it with: {again}")
    content: Any = None
    if reason is None:
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            reason = f"not JSON ({error})" if path.stat().st_size else "empty file"
    if not isinstance(content, dict):
        again = build_command(name, root=data_root)
        raise DataError(f"{path}: {reason or 'no table of settings'}; build the set again with: {again}")
    again = f"build the set again with: {build_command(name, content, data_root)}"
    if content.get("scheme") != SCHEME:
        raise DataError(
            f"{path}: built by another version of fer, whose fingerprints and results are not comparable; {again}"
        )
    sealed = content.pop("seal", None)
    if sealed != seal(content):
        raise DataError(f"{path}: edited since the set was built; {again}")
    try:
        info = SetInfo.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{path}: {explain(error, SetInfo)}; {again}") from None
    if info.embedded is not None and info.fingerprint != expected_fingerprint(info):
        raise DataError(f"{path}: rendered by another version of fer, with other images; {again}")
    return info


def built_sets(data_root: Path) -> tuple[dict[str, SetInfo], dict[str, str]]:
    """Return the usable sets under ``data_root`` by name, and why each of the others is unusable."""
    built: dict[str, SetInfo] = {}
    unusable: dict[str, str] = {}
    for path in sorted(data_root.glob("*/set.json")):
        name = path.parent.name
        if not name.startswith("."):
            try:
                built[name] = load_info(data_root, name)
            except DataError as error:
                unusable[name] = str(error)
    return built, unusable


def expected_fingerprint(info: SetInfo) -> str | None:
    """Return the current fingerprint of an embedded set with these options; None for invalid options."""
    from fer_cli.synthetic.recipe import recipe_fingerprint

    try:
        return recipe_fingerprint(Embedded.model_validate(info.embedded), info.classes)
    except ValidationError:
        return None


def verify_files(folder: Path, info: SetInfo, names: tuple[str, ...] = (IMAGES, MANIFEST), remembered: bool = True) -> None:
    """Raise DataError if files of the set in ``folder`` changed since the build; ``remembered``: use cached hashes."""
    for problem in changed_files(folder, info.files, names, remembered):
        again = build_command(folder.name, info.model_dump(mode="json"), folder.parent)
        raise DataError(f"{problem}; build the set again with: {again}")


def verified_info(data_root: Path, name: str) -> SetInfo:
    """Return the info of a built set; raises DataError as ``load_info`` does, and if its files were changed."""
    return settled(data_root, name, read_info)


def read_info(data_root: Path, name: str) -> SetInfo:
    """Return the info of a built set whose files are verified."""
    info = load_info(data_root, name)
    verify_files(data_root / name, info)
    return info


def settled(data_root: Path, name: str, read: Callable[[Path, str], Read]) -> Read:
    """Return what ``read`` finds of a set, read again while another process replaces it with one of more images."""
    info, lock = data_root / name / INFO, data_root / f".{name}.lock"
    left = TRIES
    while True:
        left -= 1
        before = inode_of(info)
        try:
            found = read(data_root, name)
        except DataError:
            if not left or not lock.exists():
                raise
        else:
            if not left or inode_of(info) == before:
                return found
        time.sleep(0.05)


def expected_info(data_root: Path, name: str) -> SetInfo:
    """Return the info of a set, or of an embedded set before it is rendered; raises DataError as ``verified_info``."""
    from fer_cli.synthetic.recipe import recipe_fingerprint

    card = load_card(name) if has_card(name) else None
    if card is None or card.embedded is None or os.path.lexists(data_root / name / INFO):
        return verified_info(data_root, name)
    options = card.embedded
    return SetInfo(
        name=name,
        title=card.pretty_name,
        card_version=card.version,
        licence=card.licence,
        classes=card.classes,
        counts={},
        subjects=options.subjects,
        image_size=options.size,
        preprocessing=[],
        found=options.images,
        kept=options.images,
        unreadable={},
        differences=[],
        fingerprint=recipe_fingerprint(options, card.classes),
        fer_version=__version__,
        files={},
        embedded=options.model_dump(),
    )


def drawing_note(data_root: Path, name: str) -> Path:
    """Return the file in which a process that draws a set's images notes how many people it has drawn of how many."""
    return data_root / f".{name}.drawing"


def read_drawing(data_root: Path, name: str) -> tuple[int, int] | None:
    """Return how many people of how many are drawn, or None while no images of a set are being drawn."""
    note = drawing_note(data_root, name)
    with suppress(OSError, ValueError):
        if time.time() - note.stat().st_mtime < STALE:
            done, total = map(int, read_text(note).split())
            return done, total
    return None


def load_known(data_root: Path, name: str) -> Known:
    """Return the parts and groups available for splits, also of an embedded set before rendering; raises DataError."""
    from fer_cli.data.splits import known_of

    info = expected_info(data_root, name)
    if not info.files:
        return Known(people=info.subjects)
    return known_of(read_manifest(data_root / name, info, ["subject", "sequence", "split"]))


def load_set(data_root: Path, name: str) -> FaceSet:
    """Return a built set with memory-mapped images; raises DataError if it is incomplete or changed.

    Of an embedded set, some images may not be drawn yet; see ``FaceSet.undrawn``.
    """
    return settled(data_root, name, read_set)


def read_set(data_root: Path, name: str) -> FaceSet:
    """Return a built set as it is now."""
    info, folder = read_info(data_root, name), data_root / name
    manifest = read_manifest(folder, info)
    try:
        images = open_block(folder / IMAGES)
    except Exception as error:  # as above
        raise unreadable(folder, info, error) from None
    if info.drawn is not None:
        drawn = manifest["sha256"].to_numpy() != ""
        images = Block(images.packed, np.where(drawn, np.cumsum(drawn) - 1, -1)[:, None])
    return FaceSet(info, manifest, images, folder)


def read_manifest(folder: Path, info: SetInfo, columns: list[str] | None = None) -> pd.DataFrame:
    """Return the manifest (or some columns) of a verified set; raises DataError."""
    import pandas as pd

    try:
        return pd.read_parquet(folder / MANIFEST, columns=columns)
    except Exception as error:  # the bytes are verified, so the disk or a library is at fault
        raise unreadable(folder, info, error) from None


def unreadable(folder: Path, info: SetInfo, error: Exception) -> DataError:
    """Return the error of a set whose files are unchanged but unreadable."""
    again = f"build the set again with: {build_command(folder.name, info.model_dump(mode='json'), folder.parent)}"
    return DataError(f"{folder}: cannot be read ({' '.join(str(error).split())}); {again}")
