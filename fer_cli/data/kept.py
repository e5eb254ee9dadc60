"""Records of data sets in the results folder, ``sets/<name>.json``, for reports where the data are not available.

Every training command records ``set.json`` without its lists of files, what splits are possible, and the audits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import ValidationError

from fer_cli.config import Section
from fer_cli.config.auto import Known
from fer_cli.data.manifest import INFO, SetInfo, expected_info, load_info, load_known
from fer_cli.errors import ResultsError
from fer_cli.places import read_text, write_text
from fer_cli.yamls import explain


class KeptSet(Section):
    """The record of one set."""

    info: SetInfo
    """Without the names of files that were left out."""
    skipped: dict[str, int]
    """Reason -> number of images, videos and rows of the source that are not in the set."""
    parts: list[str]
    people: int
    sequences: int
    """As in ``Known``."""
    audits: dict[str, str]
    """Split -> summary of its audit."""

    @property
    def known(self) -> Known:
        """Return the parts and groups that splits can use."""
        return Known(frozenset(self.parts), self.people, self.sequences)

    def audit(self, split: str) -> str:
        """Return the audit summary of a split, or how to run the audit."""
        return self.audits.get(split) or f"audit: not done; run fer data audit {self.info.name} --split {split}"


About = Callable[[str], KeptSet]
"""Returns the record of a set by name."""


def is_built(data_root: Path, name: str) -> bool:
    """Return whether a set exists under the data root, in any state."""
    return os.path.lexists(data_root / name / INFO)


def look_up_set(results: Path, data_root: Path, name: str) -> KeptSet:
    """Return the record of a set: under ``data_root``, else in ``results``, else of an embedded set not rendered yet.

    Raises DataError for a missing or changed set, ResultsError for an unreadable record.
    """
    kept = None if is_built(data_root, name) else read_kept(results, name)
    return describe_built_set(data_root, name) if kept is None else kept


def describe_built_set(data_root: Path, name: str) -> KeptSet:
    """Return the record of a set under ``data_root``, or of an embedded set; raises DataError."""
    from fer_cli.data.audit import audit_lines

    info, known = expected_info(data_root, name), load_known(data_root, name)
    bare = info.model_copy(update={"unreadable": {}, "no_face": [], "duplicates": [], "skipped": {}})
    return KeptSet(
        info=bare,
        skipped={reason: len(files) for reason, files in info.skipped.items() if files},
        parts=sorted(known.parts),
        people=known.people,
        sequences=known.sequences,
        audits=audit_lines(data_root, name),
    )


def keep_sets(results: Path, data_root: Path, sets: Iterable[str], about: About | None = None) -> None:
    """Write the records of those of the sets that are built; ``about``: returns a record (default: computed)."""
    for name in sorted(set(sets)):
        if is_built(data_root, name):
            known = describe_built_set(data_root, name) if about is None else about(name)
            write_text(place_of(results, name), known.model_dump_json(indent=1) + "\n")


def info_of(results: Path, data_root: Path, name: str) -> SetInfo:
    """Return the info of a built or recorded set; raises DataError if it is neither."""
    kept = None if is_built(data_root, name) else read_kept(results, name)
    return load_info(data_root, name) if kept is None else kept.info


def read_kept(results: Path, name: str) -> KeptSet | None:
    """Return the record of a set, or None; raises ResultsError if it cannot be read."""
    path = place_of(results, name)
    remedy = f"remove it, and build {name} again, or restore it from a copy"
    try:
        kept = KeptSet.model_validate_json(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}; {remedy}") from None
    except ValueError as error:
        what = explain(error, KeptSet)[:200] if isinstance(error, ValidationError) else "not UTF-8"
        raise ResultsError(f"{path}: {what}; {remedy}") from None
    if kept.info.name != name:
        raise ResultsError(f"{path}: describes another set, {kept.info.name[:80]!r}; {remedy}")
    return kept


def place_of(results: Path, name: str) -> Path:
    """Return the path of a set's record."""
    return results / "sets" / f"{name}.json"
