"""A packed array written while decoding, in bounded memory, and resumed after an interruption.

The draft folder ``.<name>.building`` holds ``images.npy`` (its header is written at the end), ``done.jsonl`` (one line per
chunk: array size and the outcome of each image) and ``job.json`` (digest of the build; a draft of another build is
discarded).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from fer_cli.data.block import HEADER, Block, header, open_block
from fer_cli.data.decode import CHUNK, Decoded
from fer_cli.data.files import shorten
from fer_cli.data.identity import VERIFIED
from fer_cli.data.importers.found import Found
from fer_cli.data.manifest import IMAGES, INFO, MANIFEST, TRUTH
from fer_cli.errors import DataError

Row = tuple[str, str, bool | None, str, str, bool, float | None]
"""Outcome of an image: status, sha256, face found, crop, reason, transparency, time in its video."""
COPY = "another file has the same content"


def job_digest(found: list[Found], source: Path, about: dict[str, Any]) -> str:
    """Return a hash of a build: settings, and name, label, group, size and time of every source."""
    digest = hashlib.sha256(json.dumps([str(source), about], sort_keys=True).encode())
    stats: dict[Path, str] = {}
    for image in found:
        if image.file not in stats:
            try:
                stat = image.file.stat()
                stats[image.file] = f"{stat.st_size} {stat.st_mtime_ns}"
            except (OSError, ValueError):  # such as a dangling link; reported when read
                stats[image.file] = "gone"
        words = (image.sample, image.label, image.subject, image.sequence, image.split, image.box, stats[image.file])
        digest.update(repr(words).encode())
    return digest.hexdigest()


class Pack:
    """The draft of one set: rows so far, and the array they are appended to."""

    def __init__(self, folder: Path, tail: tuple[int, ...], job: str) -> None:
        """``tail``: shape of one image; ``job``: digest of the build. A draft of the same job is resumed."""
        self.folder, self.tail = folder, tail
        self.rows: list[Row] = []
        self.kept = 0
        self._array, self._done, self._sorted = folder / IMAGES, folder / "done.jsonl", folder / "sorted.npy"
        note = folder / "job.json"
        if self._array.is_file() and note.is_file() and note.read_bytes() == job.encode():
            self._take_up()
        else:
            for old in (self._array, self._done, self._sorted):
                old.unlink(missing_ok=True)
            self._array.write_bytes(bytes(HEADER))
            note.write_text(job, encoding="utf-8")

    def _take_up(self) -> None:
        """Read the complete chunks of an interrupted build and truncate the rest."""
        one = int(np.prod(self.tail))
        size = self._array.stat().st_size
        lines = self._done.read_bytes().splitlines() if self._done.is_file() else []
        whole = 0
        for line in lines:
            try:
                chunk = json.loads(line)
                kept = int(chunk["kept"])
                rows = [(str(s), str(h), f, str(cut), str(why), bool(a), t) for s, h, f, cut, why, a, t in chunk["rows"]]
            except (ValueError, TypeError, KeyError):  # truncated or damaged
                break
            if HEADER + kept * one > size:
                break
            self.rows += rows
            self.kept = kept
            whole += 1
        with self._array.open("r+b") as stream:
            stream.truncate(HEADER + self.kept * one)
        self._done.write_bytes(b"".join(line + b"\n" for line in lines[:whole]))

    def add(self, decoded: Iterable[tuple[Found, Decoded]], found: list[Found], drop_duplicates: bool) -> Iterator[None]:
        """Append images chunk by chunk, yielding once per image; ``found``: all images of the build, in order.

        Duplicates have the same content and, of several faces in one photograph, the same box.
        """
        known = {(row[1], image.box) for image, row in zip(found, self.rows, strict=False) if row[0] == "kept"}
        images: list[np.ndarray] = []
        rows: list[Row] = []
        with self._array.open("ab") as array, self._done.open("a", encoding="utf-8") as done:

            def write() -> None:
                for pixels in images:
                    array.write(np.ascontiguousarray(pixels).data)
                array.flush()
                self.kept += len(images)
                self.rows += rows
                done.write(json.dumps({"kept": self.kept, "rows": rows}) + "\n")
                done.flush()

            for image, result in decoded:
                status, reason = result.status, result.reason
                if status == "kept" and drop_duplicates:
                    if (result.sha256, image.box) in known:
                        status, reason = "duplicate", COPY
                    known.add((result.sha256, image.box))
                if status == "kept" and result.image is not None:
                    images.append(result.image)
                rows.append((status, result.sha256, result.face, result.cut, reason, result.clear, result.time))
                if len(rows) == CHUNK:
                    write()
                    images, rows = [], []
                yield None
            if rows:
                write()

    def finish(self, order: list[int]) -> Block:
        """Finish the array and return it memory-mapped; ``order``: index of the added image for each position.

        Reordering writes a second file, which needs disk space, one image at a time.
        """
        whole = self._array
        if order != sorted(order):
            whole = self._sorted
            self._write_in(order)
        with whole.open("r+b") as stream:
            stream.write(header((self.kept, *self.tail)))
            stream.flush()
            os.fsync(stream.fileno())
        for name in ("done.jsonl", "job.json"):  # before the array is replaced: a draft without them is discarded
            (self.folder / name).unlink()
        whole.replace(self._array)
        return open_block(self._array)

    def _write_in(self, order: list[int]) -> None:
        """Copy the images in ``order`` into a second file."""
        one = int(np.prod(self.tail))
        with self._array.open("rb") as source, self._sorted.open("wb") as target:
            target.write(bytes(HEADER))
            for place in order:
                target.write(os.pread(source.fileno(), one, HEADER + place * one))


OWN = {IMAGES, MANIFEST, INFO, TRUTH, VERIFIED, "left_out.csv", "audit.json", ".DS_Store"}
"""Files of a built set, and what macOS leaves in every folder."""
DRAFT = re.compile(r"\.(.+)\.\d+-[0-9a-f]{8}\.tmp")
"""Name of a file that a killed process was writing (``whole_file``), with its final name."""


def check_place(final: Path) -> None:
    """Raise DataError unless a set may be written at ``final``: nothing is there, or a folder of a set's own files alone.

    The folder is deleted once the set is built, so pictures of the user there, or the source itself, would be lost.
    """
    elsewhere = "give the set another name, or another --data-root"
    if final.is_symlink() or (final.exists() and not final.is_dir()):
        raise DataError(f"{final}: is {'a link' if final.is_symlink() else 'a file'}, not a built set; {elsewhere}")
    try:
        names = sorted(entry.name for entry in final.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{final}: {error.strerror}; {elsewhere}") from None
    if foreign := [name for name in names if DRAFT.sub(r"\1", name) not in OWN]:
        raise DataError(
            f"{final}: holds {shorten(foreign[0])}, which is no file of a built set; move it away, or {elsewhere}"
        )


@contextmanager
def draft_folder(data_root: Path, name: str, wait: bool = False) -> Iterator[Path]:
    """Lock and yield the draft folder of a set, deleted unless the process is interrupted or killed.

    Raises DataError where other files would be lost (``check_place``), and while another process builds the same set, for
    which it waits if ``wait``.
    """
    from filelock import FileLock, Timeout

    check_place(data_root / name)
    made = [folder for folder in (data_root, *data_root.parents) if not folder.exists()]
    draft = data_root / f".{name}.building"
    data_root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(data_root / f".{name}.lock")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise DataError(f"{data_root / name}: another process is building it; wait for it to finish") from None
    try:
        draft.mkdir(exist_ok=True)
        yield draft
        shutil.rmtree(draft, ignore_errors=True)
    except Exception:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    finally:
        (data_root / f".{name}.lock").unlink(missing_ok=True)  # while held: afterwards it may be another's
        lock.release()
        with suppress(OSError):  # one is not empty
            for folder in made:
                folder.rmdir()
