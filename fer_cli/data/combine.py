"""Combining built sets through a named class map; images of unmapped classes are dropped and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from fer_cli import __version__
from fer_cli.config import DataConfig
from fer_cli.data.block import Block, grey_block, header, open_block, picture_shape, pictures, resize_picture
from fer_cli.data.build import check_size, move_into_place
from fer_cli.data.cards import CANONICAL, has_card
from fer_cli.data.files import known_name
from fer_cli.data.identity import fingerprint, image_hash
from fer_cli.data.manifest import COLUMNS, IMAGES, FaceSet, SetInfo, load_set, write_info
from fer_cli.data.pack import draft_folder
from fer_cli.data.splits import PARTS, UNUSED, official_parts
from fer_cli.errors import DataError, nearest
from fer_cli.escape import cut

LEARNING = ("focused", "distracted", "curious", "confused", "tired", "happy")

LABEL_MAPS: dict[str, dict[str, str]] = {
    "basic-6": {label: label for label in CANONICAL[:6]},
    "basic-7": {label: label for label in CANONICAL[:7]},
    "basic-8": {label: label for label in CANONICAL},
    "learning-6": {label: label for label in LEARNING},
}
"""Name -> label -> common label; other labels are dropped and counted. Cards have already translated the labels to ours."""


def combine_sets(
    name: str,
    parts: list[str],
    label_map: str,
    data_root: Path,
    size: int | None = None,
    given: Mapping[str, str] = MappingProxyType({}),
    replace: bool = False,
) -> SetInfo:
    """Build data set ``name`` from the built sets ``parts``.

    Samples, subjects and sequences are prefixed with their set's name; rows are ordered by sample, independent of the order
    of ``parts``; images are grey, ``size`` pixels (default: the smallest set's). Official parts are each set's own, or the
    one that ``given`` assigns to a whole set. Raises DataError for an unknown map or part, an invalid name, fewer than two
    sets, fewer than two mapped classes, a set without any, and a larger existing set unless ``replace``.
    """
    check_request(name, parts, label_map, given)
    parts = sorted(parts, key=lambda part: f"{part}/")
    sets = [load_set(data_root, part) for part in parts]
    manifests, dropped = map_labels(parts, sets, LABEL_MAPS[label_map], given)
    manifest = pd.concat(manifests, ignore_index=True)
    present = [label for label in dict.fromkeys(LABEL_MAPS[label_map].values()) if (manifest["label"] == label).any()]
    check_contributions(parts, sets, manifests, present, label_map)
    for needed in ("train", "test"):
        if given and not (manifest["split"] == needed).any():
            raise DataError(f"--part: the {needed} part is empty; add --part NAME={needed}")
    check_size(data_root, name, len(manifest), replace)
    side = size or min(faces.info.image_size for faces in sets)
    steps: list[dict[str, Any]] = [{"step": "combine", "of": parts, "map": label_map}]
    if given:
        steps[0]["parts"] = dict(sorted(given.items()))
    steps.append({"step": "resize", "size": side, "interpolation": "area"})
    with draft_folder(data_root, name) as draft:
        images_sha256 = image_hash(pack_images(draft / IMAGES, sets, manifests, side))
        counts = Counter(manifest["label"])
        info = SetInfo(
            name=name,
            title=f"{name} ({', '.join(parts)}; map {label_map})",
            card_version=1,
            licence="; ".join(f"{part}: {faces.info.licence}" for part, faces in zip(parts, sets, strict=True)),
            classes=present,
            counts={label: counts[label] for label in present},
            subjects=manifest.loc[manifest["subject"] != "", "subject"].nunique(),
            image_size=side,
            preprocessing=steps,
            found=len(manifest),
            kept=len(manifest),
            unreadable={},
            differences=[],
            fingerprint=fingerprint(manifest, images_sha256, steps, present),
            fer_version=__version__,
            files={IMAGES: images_sha256},
            layout="built sets",
            parts={part: faces.info.fingerprint for part, faces in zip(parts, sets, strict=True)},
            dropped=dropped,
        )
        info = write_info(draft, info, manifest)
        move_into_place(draft, data_root / name)
    return info


def check_request(name: str, parts: list[str], label_map: str, given: Mapping[str, str]) -> None:
    """Raise DataError for an unknown map, an invalid name, fewer than two sets, and wrong official parts."""
    if label_map not in LABEL_MAPS:
        raise DataError(f"--map {label_map}: no such map{nearest(label_map, LABEL_MAPS)}")
    if has_card(name):
        raise DataError(f"{name}: is the name of a card; choose another for the combined set")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise DataError(f"{name}: set names consist of letters, digits, '-' and '_'")
    if len(parts) < 2 or len(set(parts)) != len(parts):
        raise DataError(f"--of {','.join(parts)}: give at least two different sets, separated by commas")
    if name in parts:
        raise DataError(f"{name}: is one of --of; choose another name for the combined set")
    for part, official in given.items():
        if part not in parts:
            raise DataError(f"--part {part}={official}: {part} is not in --of{nearest(part, parts)}")
        if official not in PARTS:
            raise DataError(f"--part {part}={official}: unknown part; use {', '.join(PARTS)}{nearest(official, PARTS)}")


def parse_parts(values: list[str]) -> dict[str, str]:
    """Return set -> part from texts such as ``jaffe=test``; raises DataError for malformed and contradictory ones."""
    given: dict[str, str] = {}
    for value in values:
        name, equals, part = value.partition("=")
        if not (name and equals and part):
            raise DataError(f"--part {value}: expected NAME={' or NAME='.join(PARTS)}")
        if given.setdefault(name, part) != part:
            raise DataError(f"--part {value}: {name} is already in the {given[name]} part")
    return given


def map_labels(
    parts: list[str], sets: list[FaceSet], common: dict[str, str], given: Mapping[str, str]
) -> tuple[list[pd.DataFrame], dict[str, int]]:
    """Return the rows of each set with a common label, and the number of dropped images per set and label."""
    manifests: list[pd.DataFrame] = []
    dropped: dict[str, int] = {}
    for part, faces in zip(parts, sets, strict=True):
        labels = faces.manifest["label"].map(common)
        gone = Counter(faces.manifest["label"][labels.isna()])
        dropped |= {f"{part}: {label}": n for label, n in sorted(gone.items())}
        manifests.append(prefix_ids(part, faces, labels, given.get(part)))
    return manifests, dropped


def check_contributions(
    parts: list[str], sets: list[FaceSet], manifests: list[pd.DataFrame], present: list[str], label_map: str
) -> None:
    """Raise DataError for fewer than two mapped classes, and for a set without any image of one."""
    if len(present) < 2:
        raise DataError(f"--map {label_map}: fewer than two of its classes occur in {', '.join(parts)}")
    for part, faces, rows in zip(parts, sets, manifests, strict=True):
        if rows.empty:
            own = cut(", ".join(faces.info.classes))
            raise DataError(
                f"--of {part}: none of its classes ({own}) is in --map {label_map}; leave it out or change the map"
            )


def prefix_ids(part: str, faces: FaceSet, labels: pd.Series, given: str | None) -> pd.DataFrame:
    """Return the rows of a set with a common label, ids prefixed with the set's name; the index is kept.

    ``given``: official part of all rows (default: their own, with the public of two test parts for validation).
    """
    split: str | np.ndarray = given or UNUSED
    if given is None and not faces.manifest["split"].isin({UNUSED, ""}).all():
        split = official_parts(faces.manifest, DataConfig(name=part))
    rows = faces.manifest.assign(label=labels, split=split)[labels.notna()]
    prefix = f"{part}/"
    named = {column: prefix + rows[column] for column in ("sample", "name", "file")}
    for column in ("subject", "sequence"):
        known = rows[column].map(known_name)  # those of older builds may be written "unknown"
        named[column] = known.where(known == "", prefix + known)
    return rows.assign(**named)[list(COLUMNS)]


def parts_line(manifest: pd.DataFrame) -> str:
    """Return a line with the images per set and official part and a hint for sets without; empty if none has parts."""
    if (manifest["split"] == UNUSED).all():
        return ""
    sources = manifest["sample"].str.partition("/")[0]
    counts = manifest["split"].groupby([sources, manifest["split"]]).size()
    given = {}
    for source, rows in counts.groupby(level=0):
        given[source] = ", ".join(f"{part} {rows[source, part]}" for part in PARTS if (source, part) in rows)
    without = [str(source) for source, text in given.items() if not text]
    line = "official parts: " + "; ".join(f"{source} {text}" for source, text in given.items() if text)
    if not without:
        return line
    unused = int((sources.isin(without)).sum())
    verb = "has" if len(without) == 1 else "have"
    which = f"{', '.join(without)} {verb} none, so {unused} images are in no part"
    return f"{line}; {which}: give one with --part {without[0]}=train, val or test"


def pack_images(path: Path, sets: list[FaceSet], manifests: list[pd.DataFrame], side: int) -> Block:
    """Write the selected images of all sets, grey and resized, and return them memory-mapped."""
    with path.open("wb") as stream:
        stream.write(header((sum(map(len, manifests)), *picture_shape(side, 1))))
        for faces, rows in zip(sets, manifests, strict=True):
            for images in faces.images.select(rows.index.to_numpy()).chunks():
                for grey in pictures(grey_block(images)):
                    same = grey.shape == (side, side)
                    stream.write((grey if same else resize_picture(grey, (side, side))).tobytes())
    return open_block(path)
