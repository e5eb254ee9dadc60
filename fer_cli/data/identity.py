"""Identity of a data set, independent of paths: sample ids, fingerprint, and verification of stored files.

The fingerprint of a set read from files covers its content (pixels, labels, subjects, sequences as groups, frame numbers,
official parts, sample ids) and preparation; that of an embedded set its recipe (``fer_cli.synthetic.recipe``). ``set.json``
holds the SHA-256 of the files beside it, which every command verifies; hashes are cached by inode, size and times.
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
from fer_cli.data.files import UNKNOWN, why_unreadable
from fer_cli.places import cache_folder, write_text

if TYPE_CHECKING:
    import pandas as pd

    from fer_cli.data.importers.found import Found

SCHEME = 2
"""Version of the fingerprint scheme; sets of other versions are refused."""
ID = 16
"""Hex digits of sample ids and fingerprints."""
NAMED = ("sample", "label", "subject", "frame", "split")
"""Manifest columns covered by the fingerprint as is."""
VERIFIED = ".verified.json"
"""Hash cache beside the set, or in the cache folder if that is not writable."""

SETTLED = 100_000_000
"""Minimum age of a file in ns before its hash is cached: two writes within one clock tick have the same time."""

Mark = list[int]
"""State of a file: inode, size, mtime and ctime (ns)."""


def image_hash(images: Block) -> str:
    """Return the SHA-256 of the content of ``images.npy``."""
    digest = hashlib.sha256()
    for part in images.file_content():
        digest.update(part)
    return digest.hexdigest()


def sample_ids(found: list[Found], digests: list[str]) -> list[str]:
    """Return path-independent ids of the images; ``digests``: SHA-256 of each image's source.

    The data set's own number, else the first 16 hex digits of the digest; identical files are numbered in the order of their
    labels, parts and groups.
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
    """Return a number per name, (N,) int64; -1 for unknown ones."""
    import pandas as pd  # deferred: worker processes use this module without it

    text = names.astype(str)
    return pd.factorize(text.mask(text.str.lower().isin(UNKNOWN)))[0].astype(np.int64)


def clip_codes(manifest: pd.DataFrame) -> np.ndarray:
    """Return the clip number of each image, (N,) int64, in order of first occurrence; -1 for none."""
    import pandas as pd  # deferred: worker processes use this module without it

    clips = manifest["sequence"].astype(str)
    names = (manifest["subject"].astype(str) + "\x1f" + clips).mask(clips == "")
    return pd.factorize(names)[0].astype(np.int64)


def fingerprint(manifest: pd.DataFrame, images_sha256: str, preprocessing: list[dict[str, Any]], classes: list[str]) -> str:
    """Return 16 hex digits over the content and preparation of a set, whose rows are in sample order."""
    digest = hashlib.sha256(json.dumps([SCHEME, preprocessing, classes], sort_keys=True).encode())
    for column in NAMED:
        digest.update("\x1f".join([column, *manifest[column].astype(str)]).encode() + b"\x1e")
    digest.update(clip_codes(manifest).astype("<i8").tobytes())
    digest.update(images_sha256.encode())
    return digest.hexdigest()[:ID]


def seal(content: dict[str, Any]) -> str:
    """Return the SHA-256 of the content of ``set.json``, to detect edits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def file_hash(path: Path, remembered: bool = True) -> str:
    """Return the SHA-256 of a file, from the cache if it is unchanged and ``remembered`` is True."""
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
    """Return the state of a file, which differs after a change."""
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


_notes: dict[Path, dict[str, Any]] = {}
"""Hashes of this process, used where no cache can be written."""


def places_of_notes(folder: Path) -> list[Path]:
    """Return the possible hash caches of a folder, in order of preference."""
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:ID]
    return [folder / VERIFIED, cache_folder() / "verified" / f"{name}.json"]


def notes_of(folder: Path) -> dict[str, Any]:
    """Return file name -> [mark, SHA-256] from the hash caches of a folder; the newer cache takes precedence."""
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
    """Write the hashes of a folder to the first writable cache."""
    _notes[folder] = notes
    for path in places_of_notes(folder):
        with suppress(OSError):
            write_text(path, json.dumps(notes) + "\n")
            return


def changed_files(folder: Path, files: dict[str, str], names: Iterable[str], remembered: bool = True) -> list[str]:
    """Return a message for each file of ``names`` that is unreadable or differs from its SHA-256 in ``files``."""
    problems = []
    for name in names:
        if (reason := why_unreadable(folder / name)) is not None:
            problems.append(f"{folder / name}: {reason}")
        elif (found := file_hash(folder / name, remembered)) != files.get(name):
            was = str(files.get(name))[:12]
            problems.append(f"{folder / name}: changed since the set was built (SHA-256 was {was}, is {found[:12]})")
    return problems
