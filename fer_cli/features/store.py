"""A store of computed features, addressed by all that decides them, so that nothing is computed twice.

An entry is one or more ``.npy`` files and a JSON file, written last, that says of each its shape, type and SHA-256. Its name
is a hash over the set's fingerprint, the samples, the extractor with its version and settings, and the versions of the
libraries; of features with a learned part also over the training samples. An entry that is cut short or altered is made
anew, never trusted; nothing is unpickled.

Descriptions of images are entries of their own, since no split changes them: SIFT's key points are found once for all
splits and all codebooks.
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

"""Title, items, how many: the same items, shown as they pass."""
Origin = Literal["found", "computed", "mended"]
FORMAT = 1
"""Raised when entries are written differently."""


@dataclass(frozen=True)
class Extracted:
    """Features of every image of a set, not yet scaled."""

    values: np.ndarray
    """(N, D) float32, memory-mapped, read-only."""
    state: State
    """What was learned from the training images."""
    empty: int
    """How many rows are all zeros: images without key points, or without any gradient."""
    origin: Origin
    """Found in the store, computed, or computed because the entry was damaged."""
    key: str


@dataclass(frozen=True)
class Entry:
    """Named arrays of the store, memory-mapped, and for each how many of its rows are all zeros."""

    arrays: dict[str, np.ndarray]
    empty: dict[str, int]
    origin: Origin


@dataclass(frozen=True)
class Store:
    """Computes features, or finds them; jobs, chunks and progress change no value."""

    folder: Path = field(default_factory=lambda: cache_folder() / "features")
    jobs: int = 1
    chunk: int = CHUNK
    progress: Callable[[str], Progress] = lambda _: silent
    """Title -> what shows how far work under that title is."""

    def extract(self, faces: FaceSet, extractor: Extractor, train: np.ndarray | None = None) -> Extracted:
        """Return the features of all images of ``faces``.

        ``train``: (n,) positions of the training images; extractors that learn need it, others ignore it. Raises DataError
        where the images cannot be described or learned from.
        """
        extractor.check(faces.images)
        key = describe_key(faces, extractor)
        if not extractor.learns:
            entry = self.get_or_make(key, lambda drafts: self._describe(faces, extractor, drafts))
            return Extracted(entry.arrays["values"], {}, entry.empty["values"], entry.origin, key)
        if train is None or not len(train):
            raise DataError(f"{extractor.name}: learns from training images, and none are given")
        learned_key = learn_key(key, faces, extractor, train)
        entry = self.get_or_make(learned_key, lambda drafts: self._learn(faces, extractor, train, drafts))
        state = {name.removeprefix("state-"): np.array(a) for name, a in entry.arrays.items() if name != "values"}
        return Extracted(entry.arrays["values"], state, entry.empty["values"], entry.origin, learned_key)

    def describe(self, faces: FaceSet, extractor: Extractor) -> Descriptions:
        """Return the descriptions of all images, from the store or made now."""
        key = describe_key(faces, extractor)
        entry = self.get_or_make(key, lambda drafts: self._describe(faces, extractor, drafts))
        return Descriptions(entry.arrays["values"], entry.arrays["counts"])

    def get_or_make(self, key: str, make: Callable[[Drafts], None]) -> Entry:
        """Return the entry ``key``; where it is missing or damaged, ``make`` writes it, once, whoever comes first."""
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
            raise DataError(f"{self.folder}: what was just written cannot be read back; is the disk full or failing?")
        return Entry(made.arrays, made.empty, "mended" if damaged else "computed")

    def _describe(self, faces: FaceSet, extractor: Extractor, drafts: Drafts) -> None:
        """Write what ``extractor`` makes of each image."""
        total, before = -(-len(faces.images) // self.chunk), 0
        with closing(describe_images(extractor, faces.images, self.jobs, self.chunk)) as parts:
            for part in self.progress(extractor.name)(parts, total):
                if part.values.dtype.kind == "f" and not (good := np.isfinite(part.values).all(1)).all():
                    row = int(np.repeat(np.arange(len(part.counts)), part.counts)[~good][0])
                    name = faces.manifest["name"].iloc[before + row]
                    raise DataError(f"{extractor.name}: image '{name}' gives a value that is no number")
                drafts.add("values", part.values)
                drafts.add("counts", part.counts)
                before += len(part.counts)

    def _learn(self, faces: FaceSet, extractor: Extractor, train: np.ndarray, drafts: Drafts) -> None:
        """Write what is learned from the training images, and every image's features by it."""
        made = self.describe(faces, extractor)
        state = extractor.learn(made, np.sort(train))
        for name, array in state.items():
            drafts.add(f"state-{name}", array)
        for block in extractor.gather(made, state):
            drafts.add("values", block)


class Drafts:
    """Arrays of an entry being written row by row; they get their names when all are complete."""

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
        """Return shape, type and digest of each array."""
        return {name: growing.record() for name, growing in self.growing.items()}

    def __exit__(self, *error: Any) -> bool | None:
        if error[0] is None:
            for growing in self.growing.values():
                growing.finish()
        return self.stack.__exit__(*error)


class Growing:
    """An ``.npy`` file whose number of rows is known at the end; numpy leaves room for it in the header."""

    def __init__(self, stream: IO[bytes], like: np.ndarray) -> None:
        self.stream, self.dtype, self.tail = stream, like.dtype, like.shape[1:]
        self.rows = self.empty = 0
        self.digest = hashlib.sha256()
        self.start = self._header()

    def _header(self) -> int:
        """Write the header at the beginning and return where it ends."""
        self.stream.seek(0)
        about = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.rows, *self.tail)}
        np.lib.format.write_array_header_1_0(self.stream, about)
        return self.stream.tell()

    def add(self, rows: np.ndarray) -> None:
        """Append rows of the same type and shape."""
        if rows.dtype != self.dtype or rows.shape[1:] != self.tail:
            raise DataError(f"rows of {rows.shape[1:]} {rows.dtype} among rows of {self.tail} {self.dtype}")
        data = np.ascontiguousarray(rows)
        self.stream.write(data.data)
        self.digest.update(data.data)
        self.rows += len(data)
        self.empty += int((~data.reshape(len(data), -1).any(1)).sum()) if data.size else 0

    def finish(self) -> None:
        """Write the header again, with the final number of rows."""
        if self._header() != self.start:
            raise DataError("this version of numpy leaves no room in the header of an array; another one is needed")
        self.stream.flush()

    def record(self) -> dict[str, Any]:
        """Return what the entry's JSON says of the array."""
        shape = [self.rows, *self.tail]
        return {"shape": shape, "dtype": self.dtype.str, "sha256": self.digest.hexdigest(), "empty": self.empty}


def read_entry(folder: Path, key: str) -> Entry | None:
    """Return an entry whose every byte is as it was written; None where it is missing, cut short or altered."""
    try:
        about = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            return None
        arrays = {name: read_array(array_file(folder, key, name), record) for name, record in about["arrays"].items()}
        empty = {name: int(record["empty"]) for name, record in about["arrays"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None
    return Entry(arrays, empty, "found")


def read_array(path: Path, record: dict[str, Any]) -> np.ndarray:
    """Return an array memory-mapped; raises ValueError or OSError where it is not what ``record`` says."""
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    if list(array.shape) != record["shape"] or array.dtype.str != record["dtype"] or not array.flags.c_contiguous:
        raise ValueError(f"{path}: shape or type changed")
    digest = hashlib.sha256()
    for start in range(0, len(array), ROWS):
        digest.update(load_rows(array, slice(start, start + ROWS)).data)
    if digest.hexdigest() != record["sha256"]:
        raise ValueError(f"{path}: content changed")
    return array


def array_file(folder: Path, key: str, name: str) -> Path:
    """Return where an array of an entry is kept."""
    return folder / f"{key}.{name}.npy"


def describe_key(faces: FaceSet, extractor: Extractor) -> str:
    """Return the name of the entry that holds the descriptions of a set's images."""
    return hash_key(
        extractor.name,
        data=faces.info.fingerprint,
        samples=hash_samples(faces, np.arange(len(faces.images))),
        version=extractor.version,
        settings=extractor.description_settings(),
        libraries=library_versions(extractor),
    )


def learn_key(described_key: str, faces: FaceSet, extractor: Extractor, train: np.ndarray) -> str:
    """Return the name of the entry that holds features with a part learned from the images at ``train``."""
    settings = {**extractor.model_dump(mode="json"), **extractor.description_settings()}
    return hash_key(extractor.name, described=described_key, train=hash_samples(faces, np.sort(train)), settings=settings)


def hash_key(name: str, **parts: Any) -> str:
    """Return ``<name>-<32 hex digits>`` over all parts."""
    return f"{name}-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]}"


def hash_samples(faces: FaceSet, positions: np.ndarray) -> str:
    """Return 16 hex digits over the sample ids at ``positions``, in that order."""
    return hashlib.sha256("\x1f".join(faces.manifest["sample"].iloc[positions]).encode()).hexdigest()[:16]


def library_versions(extractor: Extractor) -> dict[str, str]:
    """Return the versions of the libraries that may change a value."""
    return {name: metadata.version(name) for name in extractor.libraries}
