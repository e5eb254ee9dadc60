"""A built data set on disk: ``manifest.parquet``, ``images.npy`` and ``set.json`` in ``<data root>/<name>/``.

The manifest has one row per image, in the order of the packed array, which is that of the samples: sample (an id that no
path has a part in), name (what the source calls it), file, label (a name), subject, sequence, frame, split (official part
or "none"), sha256 of the source file; where faces were looked for, a last column says whether one was found. What the
fingerprint covers, and how the files are verified: see ``fer_cli.data.identity``.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from fer_cli import __version__
from fer_cli.config import Known, Section
from fer_cli.data.block import Block, open_block
from fer_cli.data.cards import Embedded, card_names, load_card
from fer_cli.data.files import why_unreadable
from fer_cli.data.identity import SCHEME, changed_files, file_hash, seal
from fer_cli.errors import DataError, nearest
from fer_cli.places import write_text
from fer_cli.yamls import explain

IMAGES, MANIFEST, INFO, TRUTH = "images.npy", "manifest.parquet", "set.json", "truth.parquet"
COLUMNS = ("sample", "name", "file", "label", "subject", "sequence", "frame", "split", "sha256")
MOST = 512 * 2**20
"""Bytes of the largest ``set.json`` that is read."""


class SetInfo(Section):
    """What ``set.json`` says of a built set."""

    scheme: Literal[2] = 2
    """How fingerprints are made; see ``fer_cli.data.identity``."""
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
    unreadable: dict[str, str]
    """Source files that could not be decoded and were left out by explicit choice -> why."""
    differences: list[str]
    """How the counts differ from the card's."""
    expected: dict[str, int] | None = None
    """Counts of the source's layout where they are not the card's; empty where none are known."""
    fingerprint: str
    fer_version: str
    files: dict[str, str]
    """Name of each file beside ``set.json`` -> its SHA-256."""
    own: dict[str, str] = {}
    """Of a user's own data: the options by which labels and people were found; see ``fer_cli.data.own``."""
    archive: dict[str, str] = {}
    """Name of the archive that the source was read from -> its SHA-256; empty for a folder."""
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
    """Reason -> pictures, films and rows below the source that no image of the set was made from."""
    others: dict[str, int] = {}
    """Suffix -> files below the source that are neither picture nor film; they are counted alone."""
    undetected: int | None = None
    """Images kept although no face was detected in them; None where none was looked for."""
    parts: dict[str, str] = {}
    """Of a combined set: name -> fingerprint of each set it was made from."""
    dropped: dict[str, int] = {}
    """Of a combined set: ``set: label`` -> images whose class is not in the common map."""

    @property
    def clips(self) -> int | None:
        """Return how many clips were drawn, whose frames are the images; None where the images are no drawn clips."""
        return int(self.embedded["images"]) if self.embedded and self.embedded.get("frames") else None

    @property
    def amount(self) -> str:
        """Return how much the set holds: ``213 images``; of clips, ``14 clips with 230 frames``."""
        return f"{self.kept} images" if self.clips is None else f"{self.clips} clips with {self.kept} frames"


@dataclass(frozen=True)
class FaceSet:
    """A built set, ready to use."""

    info: SetInfo
    manifest: pd.DataFrame
    images: Block
    """(N, T, C, H, W) uint8, memory-mapped: a sample for each row of the manifest."""

    def of_classes(self, classes: list[str]) -> FaceSet:
        """Return the images of ``classes`` alone, in that class order, of none given the whole set.

        Raises DataError for a class the set lacks.
        """
        if not classes:
            return self
        if unknown := [label for label in classes if label not in self.info.classes]:
            raise DataError(f"{self.info.name}: no class '{unknown[0]}'{nearest(unknown[0], self.info.classes)}")
        keep = self.manifest["label"].isin(classes).to_numpy()
        info = self.info.model_copy(update={"classes": list(classes), "kept": int(keep.sum())})
        return FaceSet(info, self.manifest[keep].reset_index(drop=True), self.images.select(keep))

    @property
    def codes(self) -> np.ndarray:
        """Return labels as positions in ``info.classes``: (N,) int64. For computing only; never stored."""
        order = {label: code for code, label in enumerate(self.info.classes)}
        return self.manifest["label"].map(order).to_numpy(dtype=np.int64)


def write_set(folder: Path, info: SetInfo, manifest: pd.DataFrame, images: Block) -> SetInfo:
    """Write the three files into an existing, empty folder; returns as ``write_info`` does."""
    with (folder / IMAGES).open("wb") as stream:
        stream.writelines(images.file_content())
    return write_info(folder, info, manifest)


def write_info(folder: Path, info: SetInfo, manifest: pd.DataFrame) -> SetInfo:
    """Write manifest and ``set.json`` beside the files that are already there; returns it with the hash of every file."""
    manifest.to_parquet(folder / MANIFEST, index=False)
    there = [name for name in (MANIFEST, TRUTH) if (folder / name).is_file()]
    files = info.files | {name: file_hash(folder / name, remembered=False) for name in there}
    whole = info.model_copy(update={"files": files})
    content = whole.model_dump(mode="json")
    write_text(folder / INFO, json.dumps({"seal": seal(content), **content}, indent=1) + "\n")
    return whole


def build_command(name: str, known: Mapping[str, Any] = {}) -> str:
    """Return the command that builds a set; ``known``: what is left of its ``set.json``, of which nothing is trusted."""
    steps = known.get("preprocessing")
    first = steps[0] if isinstance(steps, list) and steps and isinstance(steps[0], dict) else {}
    if first.get("step") == "combine" and isinstance(first.get("of"), list):
        command = ["fer", "data", "combine", name, "--of", ",".join(map(str, first["of"])), "--map", str(first.get("map"))]
        size, parts = known.get("image_size"), first.get("parts")
        for part in parts.items() if isinstance(parts, dict) else ():
            command += ["--part", "=".join(map(str, part))]
        return shlex.join([*command, *(["--size", str(size)] if isinstance(size, int) else [])])
    command = ["fer", "data", "build", name]
    card = load_card(name) if name in card_names() else None
    if card is not None and card.embedded is not None:
        drawn = known.get("embedded")
        for option in ("images", "subjects", "size", "difficulty", "seed"):
            usual = getattr(card.embedded, option)
            value = drawn.get(option, usual) if isinstance(drawn, dict) else usual
            command += [f"--{option}", str(value)[:20]] if value != usual else []
        return shlex.join(command)
    own = known.get("own")
    if not (isinstance(own, dict) and own):  # built by a version that did not note it
        own = {"layout": "csv" if str(known.get("layout")).startswith("table") else "folder"}
    options = [text for name, value in own.items() for text in (f"--{name}", str(value))]
    return shlex.join([*command, "--from", "FOLDER", *(options if card is None else [])])


def load_info(data_root: Path, name: str) -> SetInfo:
    """Return what is known of a built set.

    Raises DataError, with the command that builds the set, where it is not built, was built by an earlier version (its
    fingerprint would mean something else), or its ``set.json`` is damaged or edited.
    """
    path = data_root / name / INFO
    reason = why_unreadable(path, MOST)
    if reason == "no such file":
        raise DataError(f"data set '{name}' is not built under {data_root}; build it with: {build_command(name)}")
    content: Any = None
    if reason is None:
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            reason = f"not JSON ({error})" if path.stat().st_size else "empty file"
    if not isinstance(content, dict):
        raise DataError(f"{path}: {reason or 'no table of settings'}; build the set again with: {build_command(name)}")
    again = f"build the set again with: {build_command(name, content)}"
    if content.get("scheme") != SCHEME:
        raise DataError(
            f"{path}: built by another version of fer, whose fingerprints mean something else, as do results on it; {again}"
        )
    sealed = content.pop("seal", None)
    if sealed != seal(content):
        raise DataError(f"{path}: edited since the set was built; {again}")
    try:
        info = SetInfo.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{path}: {explain(error, SetInfo)}; {again}") from None
    if info.embedded is not None and info.fingerprint != expected_fingerprint(info):
        raise DataError(f"{path}: drawn by another version of fer, whose pictures differ from today's; {again}")
    return info


def built_sets(data_root: Path) -> tuple[dict[str, SetInfo], dict[str, str]]:
    """Return what is known of all sets built under ``data_root``, by name, and why each of the others cannot be used."""
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
    """Return the fingerprint that an embedded set of these options has today; None where there are no such options."""
    from fer_cli.synthetic.recipe import recipe_fingerprint

    try:
        return recipe_fingerprint(Embedded.model_validate(info.embedded), info.classes)
    except ValidationError:
        return None


def verify_files(folder: Path, info: SetInfo, names: tuple[str, ...] = (IMAGES, MANIFEST), remembered: bool = True) -> None:
    """Raise DataError unless the files of a set, which lies in ``folder``, are those that were built.

    What was hashed before is not hashed again until it changes, unless ``remembered`` is False.
    """
    for problem in changed_files(folder, info.files, names, remembered):
        raise DataError(f"{problem}; build the set again with: {build_command(folder.name, info.model_dump(mode='json'))}")


def verified_info(data_root: Path, name: str) -> SetInfo:
    """Return what is known of a built set; raises DataError as ``load_info`` does, and where its files were changed."""
    info = load_info(data_root, name)
    verify_files(data_root / name, info)
    return info


def expected_info(data_root: Path, name: str) -> SetInfo:
    """Return what is known of a set, built or not: an embedded one's card says all but the files, before it is drawn.

    Raises DataError as ``verified_info`` does.
    """
    from fer_cli.synthetic.recipe import recipe_fingerprint

    card = load_card(name) if name in card_names() else None
    if card is None or card.embedded is None or os.path.lexists(data_root / name / INFO):
        return verified_info(data_root, name)
    options = card.embedded
    return SetInfo(
        name=name,
        title=card.title,
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


def load_known(data_root: Path, name: str) -> Known:
    """Return what a set, built or not, says of its images that a split can be made by; raises DataError as ``load_info``.

    An embedded set that is not drawn yet names its people and was published without parts.
    """
    from fer_cli.data.splits import known_of

    info = expected_info(data_root, name)
    if not info.files:
        return Known(people=info.subjects)
    return known_of(read_manifest(data_root / name, info, ["subject", "sequence", "split"]))


def load_set(data_root: Path, name: str) -> FaceSet:
    """Return a built set with its images memory-mapped; raises DataError when it is not whole and as it was built."""
    info, folder = verified_info(data_root, name), data_root / name
    manifest = read_manifest(folder, info)
    try:
        images = open_block(folder / IMAGES)
    except Exception as error:  # as above
        raise unreadable(folder, info, error) from None
    return FaceSet(info, manifest, images)


def read_manifest(folder: Path, info: SetInfo, columns: list[str] | None = None) -> pd.DataFrame:
    """Return the manifest of a set whose files were verified, or some of its columns; raises DataError."""
    try:
        return pd.read_parquet(folder / MANIFEST, columns=columns)
    except Exception as error:  # the bytes are those that were written, so that this is the disk's or a library's fault
        raise unreadable(folder, info, error) from None


def unreadable(folder: Path, info: SetInfo, error: Exception) -> DataError:
    """Return the error of a set whose files are as they were built and yet cannot be read."""
    again = f"build the set again with: {build_command(folder.name, info.model_dump(mode='json'))}"
    return DataError(f"{folder}: cannot be read ({' '.join(str(error).split())}); {again}")
