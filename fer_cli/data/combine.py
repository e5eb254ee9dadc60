"""Several built sets as one, through a named map of classes; what the map has no place for is counted, never guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import pandas as pd

from fer_cli import __version__
from fer_cli.config import DataConfig
from fer_cli.data.block import Block, grey_block, header, open_block, picture_shape, pictures
from fer_cli.data.build import check_size, move_into_place
from fer_cli.data.cards import CANONICAL, card_names
from fer_cli.data.identity import fingerprint, image_hash
from fer_cli.data.manifest import COLUMNS, IMAGES, FaceSet, SetInfo, load_set, write_info
from fer_cli.data.pack import draft_folder
from fer_cli.data.splits import PARTS, UNUSED, official_parts
from fer_cli.errors import DataError, nearest

LEARNING = ("focused", "distracted", "curious", "confused", "tired", "happy")

LABEL_MAPS: dict[str, dict[str, str]] = {
    "basic-6": {label: label for label in CANONICAL[:6]},
    "basic-7": {label: label for label in CANONICAL[:7]},
    "basic-8": {label: label for label in CANONICAL},
    "learning-6": {label: label for label in LEARNING},
}
"""Name -> a set's label -> common label; other labels are dropped and counted.

Labels of a set are already ours (its card translated them), so a map here only chooses which classes are compared.
"""


def combine_sets(
    name: str,
    parts: list[str],
    label_map: str,
    data_root: Path,
    size: int | None = None,
    given: Mapping[str, str] = MappingProxyType({}),
    replace: bool = False,
) -> SetInfo:
    """Build data set ``name`` from built sets ``parts`` and return what was built.

    Samples, subjects and sequences carry their set's name, so nobody is mixed up; rows stand in the order of the samples,
    whatever that of ``parts``; images are grey, ``size`` pixels (default: the smallest set's). Official parts are each set's
    own, or that which ``given`` names for all of a set. Raises DataError for an unknown map or part, a name that cannot be
    taken, fewer than two sets, a map none of whose classes occur, and, unless ``replace``, in place of a larger set.
    """
    check_request(name, parts, label_map, given)
    parts = sorted(parts, key=lambda part: f"{part}/")
    sets = [load_set(data_root, part) for part in parts]
    manifests, dropped = map_labels(parts, sets, LABEL_MAPS[label_map], given)
    manifest = pd.concat(manifests, ignore_index=True)
    present = [label for label in dict.fromkeys(LABEL_MAPS[label_map].values()) if (manifest["label"] == label).any()]
    if len(present) < 2:
        raise DataError(f"--map {label_map}: fewer than two of its classes occur in {', '.join(parts)}")
    for needed in ("train", "test"):
        if given and not (manifest["split"] == needed).any():
            raise DataError(f"--part: no set gives images to the {needed} part; add --part NAME={needed}")
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
    """Raise DataError for a map that is not known, a name that cannot be taken, too few sets, and wrong official parts."""
    if label_map not in LABEL_MAPS:
        raise DataError(f"--map {label_map}: no such map{nearest(label_map, LABEL_MAPS)}")
    if name in card_names():
        raise DataError(f"{name}: is the name of a card; choose another for the combined set")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise DataError(f"{name}: the name of a set holds letters, digits, '-' and '_' only")
    if len(parts) < 2 or len(set(parts)) != len(parts):
        raise DataError(f"--of {','.join(parts)}: at least two different sets, separated by commas")
    if name in parts:
        raise DataError(f"{name}: is one of --of; choose another name for the combined set")
    for part, official in given.items():
        if part not in parts:
            raise DataError(f"--part {part}={official}: {part} is none of --of{nearest(part, parts)}")
        if official not in PARTS:
            raise DataError(f"--part {part}={official}: a part is one of {', '.join(PARTS)}{nearest(official, PARTS)}")


def parse_parts(values: list[str]) -> dict[str, str]:
    """Return set -> part of texts such as ``jaffe=test``; raises DataError for another text, and a set named twice."""
    given: dict[str, str] = {}
    for value in values:
        name, equals, part = value.partition("=")
        if not (name and equals and part):
            raise DataError(f"--part {value}: give it as NAME={' or NAME='.join(PARTS)}")
        if given.setdefault(name, part) != part:
            raise DataError(f"--part {value}: {name} is in the {given[name]} part already")
    return given


def map_labels(
    parts: list[str], sets: list[FaceSet], common: dict[str, str], given: Mapping[str, str]
) -> tuple[list[pd.DataFrame], dict[str, int]]:
    """Return the rows of each set that have a common label, and how many of which label of each set have none."""
    manifests: list[pd.DataFrame] = []
    dropped: dict[str, int] = {}
    for part, faces in zip(parts, sets, strict=True):
        labels = faces.manifest["label"].map(common)
        gone = Counter(faces.manifest["label"][labels.isna()])
        dropped |= {f"{part}: {label}": n for label, n in sorted(gone.items())}
        manifests.append(prefix_ids(part, faces, labels, given.get(part)))
    return manifests, dropped


def prefix_ids(part: str, faces: FaceSet, labels: pd.Series, given: str | None) -> pd.DataFrame:
    """Return the rows of a set that have a common label, with ids that carry the set's name; the index is kept.

    ``given``: the official part of all rows. Without it they keep their own; of two test parts the public one validates.
    """
    split: str | np.ndarray = given or UNUSED
    if given is None and not faces.manifest["split"].isin({UNUSED, ""}).all():
        split = official_parts(faces.manifest, DataConfig(name=part))
    rows = faces.manifest.assign(label=labels, split=split)[labels.notna()]
    prefix = f"{part}/"
    named = {column: prefix + rows[column] for column in ("sample", "name", "file")}
    named |= {column: rows[column].where(rows[column] == "", prefix + rows[column]) for column in ("subject", "sequence")}
    return rows.assign(**named)[list(COLUMNS)]


def parts_line(manifest: pd.DataFrame) -> str:
    """Return, in a line, how many images of each set are in which official part; empty where none is in any.

    ``manifest``: that of a combined set. The line says which sets have no part, and what can be done.
    """
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
    """Write the chosen images of all sets, grey and resized, and return them, memory-mapped."""
    with path.open("wb") as stream:
        stream.write(header((sum(map(len, manifests)), *picture_shape(side, 1))))
        for faces, rows in zip(sets, manifests, strict=True):
            for images in faces.images.select(rows.index.to_numpy()).chunks():
                for grey in pictures(grey_block(images)):
                    same = grey.shape == (side, side)
                    stream.write((grey if same else cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)).tobytes())
    return open_block(path)
