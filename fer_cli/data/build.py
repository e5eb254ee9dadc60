"""From a source folder to a built set: scan, decode, compare with the card, write whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from fer_cli import __version__
from fer_cli.data.cards import Card, load_card
from fer_cli.data.importers import IMPORTERS
from fer_cli.data.importers.found import Found
from fer_cli.data.manifest import COLUMNS, SetInfo, fingerprint, write_set
from fer_cli.errors import DataError, nearest

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of known length, e.g. in a progress bar."""

ALLOW = "pass --allow-incomplete to build without them"


def preprocessing_steps(card: Card) -> list[dict[str, Any]]:
    """Return the recorded steps from a source file to a packed image."""
    return [
        {"step": "decode", "colour": "grey"},
        {"step": "resize", "size": card.image_size, "interpolation": "area", "when": "the size differs"},
    ]


def decode_grey(file: Path, size: int) -> tuple[np.ndarray | None, str]:
    """Return a (size, size) uint8 grey image, or None where it cannot be decoded, and the file's sha256."""
    content = file.read_bytes()
    buffer = np.frombuffer(content, np.uint8)
    try:
        image = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE) if len(buffer) else None
    except cv2.error:
        image = None
    if image is not None and image.shape != (size, size):
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return image, hashlib.sha256(content).hexdigest()


def differences_from_card(card: Card, kept: list[Found]) -> list[str]:
    """Return how the kept images differ from what the card expects, a phrase each; empty when nothing differs."""
    counts = Counter(image.label for image in kept)
    differences = [
        f"{label} {counts[label]} (card: {expected})" for label, expected in card.counts.items() if counts[label] != expected
    ]
    subjects = len({image.subject for image in kept})
    if subjects != card.subjects:
        differences.append(f"subjects {subjects} (card: {card.subjects})")
    sequences = len({image.sequence for image in kept})
    if card.sequences is not None and sequences != card.sequences:
        differences.append(f"sequences {sequences} (card: {card.sequences})")
    return differences


def build_set(
    name: str,
    source: Path,
    data_root: Path,
    allow_incomplete: bool = False,
    progress: Progress = lambda items, _: items,
) -> SetInfo:
    """Build data set ``name`` from ``source`` into ``data_root`` and return what was built.

    Raises DataError, leaving nothing behind, when the card or importer is unknown, the folder holds no images or unknown
    classes, and, unless ``allow_incomplete``, when images cannot be decoded or counts differ from the card's.
    """
    card = load_card(name)
    if card.embedded is not None:
        raise DataError(f"data set '{name}' is drawn, not read from files; build it without --from")
    if name not in IMPORTERS:
        raise DataError(f"data set '{name}' has a card but no importer{nearest(name, IMPORTERS)}")
    source = source.expanduser().resolve()
    found = IMPORTERS[name](source, card)
    if not found:
        raise DataError(f"{source}: no images in it; expected class folders {', '.join(card.folders)} with image files")
    with ThreadPoolExecutor() as pool:
        decoded = list(progress(pool.map(lambda image: decode_grey(image.file, card.image_size), found), len(found)))
    pairs = [(f, image, sha) for f, (image, sha) in zip(found, decoded, strict=True) if image is not None]
    lost = [f for f, (image, _) in zip(found, decoded, strict=True) if image is None]
    unreadable = [str(f.file.relative_to(source)) for f in lost]
    if unreadable and not allow_incomplete:
        named = ", ".join(unreadable[:5]) + (", ..." if len(unreadable) > 5 else "")
        raise DataError(f"{len(unreadable)} of {len(found)} images in {source} cannot be read: {named}; {ALLOW}")
    differences = differences_from_card(card, [f for f, _, _ in pairs])
    if differences and not allow_incomplete:
        raise DataError(f"{source} differs from the card of {name}: {', '.join(differences)}; {ALLOW}")
    if not pairs:
        raise DataError(f"{source}: none of {len(found)} images can be read")
    images = np.stack([image for _, image, _ in pairs])
    rows = [
        (f.sample, f.file.relative_to(source).as_posix(), f.label, f.subject, f.sequence, f.frame, f.split, sha)
        for f, _, sha in pairs
    ]
    manifest = pd.DataFrame(rows, columns=list(COLUMNS))
    info = describe_set(card, manifest, images, preprocessing_steps(card), unreadable, differences)
    place_set(data_root, info, manifest, images)
    return info


def describe_set(
    card: Card,
    manifest: pd.DataFrame,
    images: np.ndarray,
    steps: list[dict[str, Any]],
    unreadable: list[str] | None = None,
    differences: list[str] | None = None,
    embedded: dict[str, Any] | None = None,
) -> SetInfo:
    """Return what ``set.json`` says of images (N, S, S) and their manifest."""
    counts = Counter(manifest["label"])
    return SetInfo(
        name=card.name,
        title=card.title,
        card_version=card.version,
        licence=card.licence,
        classes=card.classes,
        counts={label: counts[label] for label in card.classes},
        subjects=manifest["subject"].nunique(),
        image_size=images.shape[-1],
        preprocessing=steps,
        found=len(manifest) + len(unreadable or []),
        kept=len(manifest),
        unreadable=unreadable or [],
        differences=differences or [],
        fingerprint=fingerprint(manifest, images, steps),
        fer_version=__version__,
        embedded=embedded,
    )


def place_set(
    data_root: Path, info: SetInfo, manifest: pd.DataFrame, images: np.ndarray, truth: pd.DataFrame | None = None
) -> None:
    """Write the set under a temporary name and move it into place; an older build is replaced only at the end.

    ``truth``: what is known of every drawn image, kept beside the set as ``truth.parquet``.
    """
    data_root.mkdir(parents=True, exist_ok=True)
    draft = data_root / f".{info.name}.{os.getpid()}.tmp"
    final, old = data_root / info.name, data_root / f".{info.name}.{os.getpid()}.old"
    try:
        draft.mkdir()
        write_set(draft, info, manifest, images)
        if truth is not None:
            truth.to_parquet(draft / "truth.parquet", index=False)
        if final.exists():
            final.rename(old)
        draft.rename(final)
    except OSError:
        if old.exists() and not final.exists():
            old.rename(final)
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
