"""What an importer finds: one record per image file, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.errors import DataError, nearest

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Found:
    """One image file: where it is, and what its name and folder say of it."""

    sample: str
    """Unique id within the data set."""
    file: Path
    """Absolute path."""
    label: str
    subject: str
    sequence: str
    frame: int
    split: str = "none"
    """Official part, where the data set has one."""


def class_folders(source: Path, card: Card) -> dict[Path, str]:
    """Return the class folders under ``source`` (or under its only known parent folder) with their label names.

    Raises DataError when the folder is missing, holds no class folder, or holds one the card does not know.
    """
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; --from takes the folder that holds {', '.join(card.folders)}")
    known = {folder.lower(): label for folder, label in card.folders.items()}
    for root in [source, *visible_folders(source)]:
        folders = visible_folders(root)
        if not any(folder.name.lower() in known for folder in folders):
            continue
        for folder in folders:
            if folder.name.lower() not in known:
                hint = nearest(folder.name.lower(), known)
                raise DataError(f"{folder}: class folder unknown to the card of {card.name}{hint}")
        return {folder: known[folder.name.lower()] for folder in folders}
    raise DataError(f"{source}: no class folder of {card.name} in it; looked for {', '.join(card.folders)}")


def visible_folders(root: Path) -> list[Path]:
    """Return the sub-folders of ``root`` in name order, hidden ones left out."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def image_files(folder: Path) -> list[Path]:
    """Return the image files directly in ``folder`` in name order, AppleDouble and other hidden files left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
