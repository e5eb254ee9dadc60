"""What a data set is, whatever its folders and files are called: sample ids, fingerprint, and the proof of stored files.

The fingerprint of a set read from files covers its content (pixels, labels, subjects, sequences as groups, frame numbers,
official parts, sample ids) and how it was prepared; never a path. That of an embedded set is its recipe's: see
``fer_cli.synthetic.recipe``. ``set.json`` holds the SHA-256 of the files beside it, and every command verifies those it
reads; what was hashed once is remembered by inode, size and times.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_cli.data.block import Block
from fer_cli.data.files import why_unreadable
from fer_cli.places import cache_folder, write_text

if TYPE_CHECKING:
    import pandas as pd

    from fer_cli.data.importers.found import Found

SCHEME = 2
"""Raised when fingerprints are made in another way: sets built under another number are refused."""
ID = 16
"""Hex digits of a sample's id, and of a fingerprint."""
NAMED = ("sample", "label", "subject", "frame", "split")
"""Columns of the manifest that a fingerprint covers as they are."""
VERIFIED = ".verified.json"
"""Beside the set (or, where that cannot be written, in the cache): SHA-256 of its files and what they were then."""

SETTLED = 100_000_000
"""Nanoseconds since a file was written before its hash is kept: two contents within one tick of the clock have one time."""

Mark = list[int]
"""What tells a changed file from an unchanged one: inode, size, time of its content, time of its status (ns)."""
UNKNOWN = ("", "none", "unknown", "nan")
"""What a manifest says where it does not know a person, a sequence or a part; compared in small letters."""


def image_hash(images: Block) -> str:
    """Return the SHA-256 of images as ``images.npy`` holds them: their shape and every pixel."""
    digest = hashlib.sha256()
    for part in images.file_content():
        digest.update(part)
    return digest.hexdigest()


def sample_ids(found: list[Found], digests: list[str]) -> list[str]:
    """Return an id for each image that no path has a part in; ``digests``: SHA-256 of each image's source.

    The data set's own number where it has one, else the first 16 hex digits of the digest; identical files are numbered
    in the order of their labels, parts and groups.
    """
    ids = [image.sample for image in found]
    copies: dict[str, list[int]] = defaultdict(list)
    for place, image in enumerate(found):
        if not image.own:
            copies[digests[place][:ID]].append(place)

    def order_of(place: int) -> tuple[object, ...]:
        one = found[place]
        return (digests[place], one.box or (), one.label, one.split, one.subject, one.frame, one.sequence, one.sample)

    for name, places in copies.items():
        for number, place in enumerate(sorted(places, key=order_of), 1):
            ids[place] = name if number == 1 else f"{name}-{number}"
    return ids


def known_codes(names: pd.Series) -> np.ndarray:
    """Return a number per name, (N,) int64; -1 where the name says that it is not known."""
    import pandas as pd  # here, since worker processes use this module without it

    text = names.astype(str)
    return pd.factorize(text.mask(text.str.lower().isin(UNKNOWN)))[0].astype(np.int64)


def clip_codes(manifest: pd.DataFrame) -> np.ndarray:
    """Return a number per image, (N,) int64: which clip it belongs to, -1 for none.

    Clips are numbered as they first occur, so that only what belongs together counts, not what a clip is called.
    """
    import pandas as pd  # here, since worker processes use this module without it

    clips = manifest["sequence"].astype(str)
    names = (manifest["subject"].astype(str) + "\x1f" + clips).mask(clips == "")
    return pd.factorize(names)[0].astype(np.int64)


def fingerprint(manifest: pd.DataFrame, images_sha256: str, preprocessing: list[dict[str, Any]], classes: list[str]) -> str:
    """Return 16 hex digits over the content of a set and its preparation; the rows stand in the order of their samples."""
    digest = hashlib.sha256(json.dumps([SCHEME, preprocessing, classes], sort_keys=True).encode())
    for column in NAMED:
        digest.update("\x1f".join([column, *manifest[column].astype(str)]).encode() + b"\x1e")
    digest.update(clip_codes(manifest).astype("<i8").tobytes())
    digest.update(images_sha256.encode())
    return digest.hexdigest()[:ID]


def seal(content: dict[str, Any]) -> str:
    """Return the SHA-256 of what ``set.json`` says, so that an edited one is noticed."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def file_hash(path: Path, remembered: bool = True) -> str:
    """Return the SHA-256 of a file; hashed again only where it changed since (or ``remembered`` is False)."""
    mark = mark_of(path)
    notes = notes_of(path.parent) if remembered else {}
    if notes.get(path.name, [None])[0] == mark:
        return str(notes[path.name][1])
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if mark_of(path) == mark and time.time_ns() - max(mark[2:]) > SETTLED:
        note(path.parent, notes_of(path.parent) | {path.name: [mark, sha256]})
    return sha256


def mark_of(path: Path) -> Mark:
    """Return what would differ if the file had been changed."""
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


_notes: dict[Path, dict[str, Any]] = {}
"""What this process hashed: all there is where nothing can be written."""


def places_of_notes(folder: Path) -> list[Path]:
    """Return where the hashes of a folder's files may be kept, the first choice first."""
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:ID]
    return [folder / VERIFIED, cache_folder() / "verified" / f"{name}.json"]


def notes_of(folder: Path) -> dict[str, Any]:
    """Return file name -> [mark, SHA-256] of what was hashed in a folder; nothing where no note can be read.

    Of notes in both places the younger one counts: a folder that was writable once need not be so now.
    """
    if folder in _notes:
        return _notes[folder]
    found: list[tuple[int, dict[str, Any]]] = []
    for path in places_of_notes(folder):
        if why_unreadable(path, 2**20) is None:
            with suppress(OSError, ValueError, RecursionError):
                content = json.loads(path.read_text(encoding="utf-8"))
                if isinstance(content, dict) and all(isinstance(one, list) and len(one) == 2 for one in content.values()):
                    found.append((path.stat().st_mtime_ns, content))
    return {name: one for _, content in sorted(found, key=lambda pair: pair[0]) for name, one in content.items()}


def note(folder: Path, notes: dict[str, Any]) -> None:
    """Keep what was hashed in a folder, wherever that can be written."""
    _notes[folder] = notes
    for path in places_of_notes(folder):
        with suppress(OSError):
            write_text(path, json.dumps(notes) + "\n")
            return


def changed_files(folder: Path, files: dict[str, str], names: Iterable[str], remembered: bool = True) -> list[str]:
    """Return, a phrase each, what is wrong with the files of these names: ``files`` says which SHA-256 each had."""
    problems = []
    for name in names:
        if (reason := why_unreadable(folder / name)) is not None:
            problems.append(f"{folder / name}: {reason}")
        elif (found := file_hash(folder / name, remembered)) != files.get(name):
            was = str(files.get(name))[:12]
            problems.append(f"{folder / name}: changed since the set was built (SHA-256 was {was}, is {found[:12]})")
    return problems
