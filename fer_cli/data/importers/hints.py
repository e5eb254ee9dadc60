"""Hints in messages about a wrong ``--from``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fer_cli.data.archive import SUFFIX, archive_of
from fer_cli.data.files import shorten
from fer_cli.data.importers.own import PARTS, SPELLINGS

ARCHIVES = {SUFFIX, ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}
TABLES = {".csv", ".txt", ".tsv", ".xls", ".xlsx"}
LABELS = re.compile(r"label|legend|annotation|emotion|partition|^(train|test|val|valid|validation|training)$", re.IGNORECASE)
"""Names, without suffix, of label tables."""
FOLDERS = re.compile(r"([a-z]+[ _-]?)?(emo(tion)?)?[ _-]?(labels?|annotations?|emotion)", re.IGNORECASE)
"""Names of label folders, such as ``EmoLabel``, ``Emotion_labels`` and ``source_emotion``."""
FEW = 5
"""Items of a list shown in a line."""


def where_to_point(source: Path, words: Iterable[str] = ()) -> str:
    """Return a hint if a folder above ``source`` is likely meant, else ""; ``words``: further names of class folders."""
    if hint := archive_in(source):
        return hint
    classes = {word.lower() for word in words} | set(SPELLINGS)
    for home in list(source.parents)[:2]:
        try:
            beside = sorted(path for path in home.iterdir() if not path.name.startswith((".", "__MACOSX")))
        except OSError:
            return ""
        mine = home / source.relative_to(home).parts[0]
        others = [path for path in beside if path != mine]
        folders = [path for path in others if path.is_dir()]
        tables = [path for path in others if path.suffix.lower() in TABLES and path.is_file()]
        for kind, known in (("class", classes), ("part", set(PARTS))):
            if mine.name.lower() in known and (more := [f for f in folders if f.name.lower() in known]):
                return f"; {mine.name} is one {kind} of several ({more[0].name} is beside it): give --from {home}"
        labels = [path for path in tables if LABELS.search(path.stem)]
        labels += [path for path in folders if FOLDERS.fullmatch(path.name)]
        if labels:
            return f"; {labels[0].name} is beside {mine.name}: if it holds the labels, give --from {home}"
    return ""


def archive_in(source: Path) -> str:
    """Return a hint at the first archive in the folder ``source``, which is not opened; empty without one."""
    try:
        names = sorted(path.name for path in source.iterdir() if not path.name.startswith("."))
    except OSError:
        return ""
    archive = next((name for name in names if Path(name).suffix.lower() in ARCHIVES), None)
    if archive is None:
        return ""
    readable = Path(archive).suffix.lower() == SUFFIX and archive_of(source) is None
    what = f"give --from {source / archive}" if readable else "unpack it"
    return f"; it contains {shorten(archive)}, which is not opened: {what}"


def few(phrases: Sequence[str], most: int = FEW) -> str:
    """Return the first items of a list and the number of further ones."""
    more = f" and {len(phrases) - most} more" if len(phrases) > most else ""
    return ", ".join(phrases[:most]) + more
