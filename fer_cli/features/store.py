"""Content-addressed cache of computed features.

An entry is one or more ``.npy`` files and a JSON record, written last, with the shape, dtype and SHA-256 of each. Its key
hashes the set's fingerprint, the sample ids, the extractor's version and settings, and the library versions; for features
with a learned state also the training samples. Truncated or modified entries are recomputed; nothing is unpickled.

Descriptors have their own entries, as they do not depend on the split: SIFT key points are detected once for all splits and
codebooks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from filelock import FileLock

from fer_cli.data.block import load_rows
from fer_cli.data.manifest import FaceSet
from fer_cli.errors import DataError
from fer_cli.features.extractor import ROWS, Descriptions, Extractor, State
from fer_cli.features.parallel import CHUNK, describe_images
from fer_cli.places import cache_folder, whole_file, write_text
from fer_cli.progress import Progress, silent

Origin = Literal["found", "computed", "mended"]
FORMAT = 1
"""Increment when the format of entries changes."""


@dataclass(frozen=True)
class Extracted:
    """Features of every image of a set, not yet scaled."""

    values: np.ndarray
    """(N, D) float32, memory-mapped, read-only."""
    state: State
    """Learned from the training images."""
    empty: int
    """Number of all-zero rows: images without key points, or without any gradient."""
    origin: Origin
    """Found in the cache, computed, or recomputed because the entry was damaged."""
    key: str


@dataclass(frozen=True)
class Entry:
    """Named memory-mapped arrays of an entry, with the number of all-zero rows of each."""

    arrays: dict[str, np.ndarray]
    empty: dict[str, int]
    origin: Origin


@dataclass(frozen=True)
class Store:
    """Computes features or reads them from the cache; ``jobs``, ``chunk`` and ``progress`` do not affect values."""

    folder: Path = field(default_factory=lambda: cache_folder() / "features")
    jobs: int = 1
    chunk: int = CHUNK
    progress: Callable[[str], Progress] = lambda _: silent
    """Title -> progress display."""

    def extract(self, faces: FaceSet, extractor: Extractor, train: np.ndarray | None = None) -> Extracted:
        """Return all images' features; ``train``: (n,) positions, required to learn. Raises DataError for unfit images."""
        extractor.check(faces.images)
        key = describe_key(faces, extractor)
        if not extractor.learns:
            entry = self.get_or_make(key, lambda drafts: self._describe(faces, extractor, drafts))
            return Extracted(entry.arrays["values"], {}, entry.empty["values"], entry.origin, key)
        if train is None or not len(train):
            raise DataError(f"{extractor.name}: learns from training images, but none are given")
        learned_key = learn_key(key, faces, extractor, train)
        entry = self.get_or_make(learned_key, lambda drafts: self._learn(faces, extractor, train, drafts))
        state = {name.removeprefix("state-"): np.array(a) for name, a in entry.arrays.items() if name != "values"}
        return Extracted(entry.arrays["values"], state, entry.empty["values"], entry.origin, learned_key)

    def describe(self, faces: FaceSet, extractor: Extractor) -> Descriptions:
        """Return the descriptors of all images, cached or computed."""
        key = describe_key(faces, extractor)
        entry = self.get_or_make(key, lambda drafts: self._describe(faces, extractor, drafts))
        return Descriptions(entry.arrays["values"], entry.arrays["counts"])

    def get_or_make(self, key: str, make: Callable[[Drafts], None]) -> Entry:
        """Return the entry ``key``; if it is missing or damaged, ``make`` writes it, under a lock across processes."""
        if (found := read_entry(self.folder, key)) is not None:
            return found
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{key}.lock"):
            if (found := read_entry(self.folder, key)) is not None:
                return found
            damaged = (self.folder / f"{key}.json").exists()
            with Drafts(self.folder, key) as drafts:
                make(drafts)
            write_text(self.folder / f"{key}.json", json.dumps({"format": FORMAT, "arrays": drafts.records()}) + "\n")
        made = read_entry(self.folder, key)
        if made is None:
            raise DataError(f"{self.folder}: cannot read back the entry just written; is the disk full or failing?")
        return Entry(made.arrays, made.empty, "mended" if damaged else "computed")

    def _describe(self, faces: FaceSet, extractor: Extractor, drafts: Drafts) -> None:
        """Write the descriptors of each image."""
        total, before = -(-len(faces.images) // self.chunk), 0
        with closing(describe_images(extractor, faces.images, self.jobs, self.chunk)) as parts:
            for part in self.progress(extractor.name)(parts, total):
                if part.values.dtype.kind == "f" and not (good := np.isfinite(part.values).all(1)).all():
                    row = int(np.repeat(np.arange(len(part.counts)), part.counts)[~good][0])
                    name = faces.manifest["name"].iloc[before + row]
                    raise DataError(f"{extractor.name}: NaN or infinite values for image '{name}'")
                drafts.add("values", part.values)
                drafts.add("counts", part.counts)
                before += len(part.counts)

    def _learn(self, faces: FaceSet, extractor: Extractor, train: np.ndarray, drafts: Drafts) -> None:
        """Write the state learned from the training images, and every image's features."""
        made = self.describe(faces, extractor)
        state = extractor.learn(made, np.sort(train))
        for name, array in state.items():
            drafts.add(f"state-{name}", array)
        for block in extractor.gather(made, state):
            drafts.add("values", block)


class Drafts:
    """Arrays of an entry being written row by row; files are renamed into place when all are complete."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.growing: dict[str, Growing] = {}
        self.stack = ExitStack()

    def __enter__(self) -> Drafts:
        self.stack.__enter__()
        return self

    def add(self, name: str, rows: np.ndarray) -> None:
        """Append rows to the array ``name``."""
        if name not in self.growing:
            draft = self.stack.enter_context(whole_file(array_file(self.folder, self.key, name)))
            stream = self.stack.enter_context(draft.open("wb"))
            self.growing[name] = Growing(stream, rows)
        self.growing[name].add(rows)

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the JSON record of each array."""
        return {name: growing.record() for name, growing in self.growing.items()}

    def __exit__(self, *error: Any) -> bool | None:
        if error[0] is None:
            for growing in self.growing.values():
                growing.finish()
        return self.stack.__exit__(*error)


class Growing:
    """An ``.npy`` file whose row count is filled in at the end; numpy leaves room for it in the header."""

    def __init__(self, stream: IO[bytes], like: np.ndarray) -> None:
        self.stream, self.dtype, self.tail = stream, like.dtype, like.shape[1:]
        self.rows = self.empty = 0
        self.digest = hashlib.sha256()
        self.start = self._header()

    def _header(self) -> int:
        """Write the header and return its end position."""
        self.stream.seek(0)
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.rows, *self.tail)}
        np.lib.format.write_array_header_1_0(self.stream, header)
        return self.stream.tell()

    def add(self, rows: np.ndarray) -> None:
        """Append rows of the same dtype and shape."""
        if rows.dtype != self.dtype or rows.shape[1:] != self.tail:
            raise DataError(f"rows of {rows.shape[1:]} {rows.dtype} appended to rows of {self.tail} {self.dtype}")
        data = np.ascontiguousarray(rows)
        self.stream.write(data.data)
        self.digest.update(data.data)
        self.rows += len(data)
        self.empty += int((~data.reshape(len(data), -1).any(1)).sum()) if data.size else 0

    def finish(self) -> None:
        """Rewrite the header with the final number of rows."""
        if self._header() != self.start:
            raise DataError("this version of numpy leaves no room in array headers; install another one")
        self.stream.flush()

    def record(self) -> dict[str, Any]:
        """Return shape, dtype, SHA-256 and number of all-zero rows."""
        shape = [self.rows, *self.tail]
        return {"shape": shape, "dtype": self.dtype.str, "sha256": self.digest.hexdigest(), "empty": self.empty}


def read_entry(folder: Path, key: str) -> Entry | None:
    """Return an entry with verified checksums, or None if it is missing, truncated or modified."""
    try:
        content = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            return None
        arrays = {name: read_array(array_file(folder, key, name), record) for name, record in content["arrays"].items()}
        empty = {name: int(record["empty"]) for name, record in content["arrays"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None
    return Entry(arrays, empty, "found")


def read_array(path: Path, record: dict[str, Any]) -> np.ndarray:
    """Return an array memory-mapped; raises ValueError or OSError if it does not match ``record``."""
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    if list(array.shape) != record["shape"] or array.dtype.str != record["dtype"] or not array.flags.c_contiguous:
        raise ValueError(f"{path}: shape or dtype changed")
    digest = hashlib.sha256()
    for start in range(0, len(array), ROWS):
        digest.update(load_rows(array, slice(start, start + ROWS)).data)
    if digest.hexdigest() != record["sha256"]:
        raise ValueError(f"{path}: content changed")
    return array


def array_file(folder: Path, key: str, name: str) -> Path:
    """Return the path of one array of an entry."""
    return folder / f"{key}.{name}.npy"


def describe_key(faces: FaceSet, extractor: Extractor) -> str:
    """Return the key of the descriptors of a set's images."""
    return hash_key(
        extractor.name,
        data=faces.info.fingerprint,
        samples=hash_samples(faces, np.arange(len(faces.images))),
        version=extractor.version,
        settings=extractor.description_settings(),
        libraries=library_versions(extractor),
    )


def learn_key(described_key: str, faces: FaceSet, extractor: Extractor, train: np.ndarray) -> str:
    """Return the key of features whose state is learned from the images at positions ``train``."""
    settings = {**extractor.model_dump(mode="json"), **extractor.description_settings()}
    return hash_key(extractor.name, described=described_key, train=hash_samples(faces, np.sort(train)), settings=settings)


def hash_key(name: str, **parts: Any) -> str:
    """Return ``<name>-<32 hex digits>``, a hash of all parts."""
    return f"{name}-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]}"


def hash_samples(faces: FaceSet, positions: np.ndarray) -> str:
    """Return 16 hex digits, a hash of the sample ids at ``positions`` in this order."""
    return hashlib.sha256("\x1f".join(faces.manifest["sample"].iloc[positions]).encode()).hexdigest()[:16]


def library_versions(extractor: Extractor) -> dict[str, str]:
    """Return the versions of the extractor's libraries."""
    return {name: metadata.version(name) for name in extractor.libraries}
