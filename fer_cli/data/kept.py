"""What results keep of the sets that their runs are of: ``sets/<name>.json`` below the results folder.

A table says which data its numbers come from. So that it can be made where the data are not, or no longer, every call that
trains notes what is known of each set: all of ``set.json`` but the lists of files, what a split can be made by, and what
audits found.
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
    """What is known of one set, whether or not it is there."""

    info: SetInfo
    """Without the names of files that were left out."""
    skipped: dict[str, int]
    """Reason -> pictures, films and rows of the source that no image of the set was made from."""
    parts: list[str]
    people: int
    sequences: int
    """As in ``Known``."""
    audits: dict[str, str]
    """Split -> what its audit found, in a line."""

    @property
    def known(self) -> Known:
        """Return what a split can be made by."""
        return Known(frozenset(self.parts), self.people, self.sequences)

    def audit(self, split: str) -> str:
        """Return what the audit of a split found, or how to make it."""
        return self.audits.get(split) or f"audit: not done; run fer data audit {self.info.name} --split {split}"


About = Callable[[str], KeptSet]
"""Returns what is known of a set."""


def is_built(data_root: Path, name: str) -> bool:
    """Return whether a set lies under the data root, in whatever state."""
    return os.path.lexists(data_root / name / INFO)


def look_up_set(results: Path, data_root: Path, name: str) -> KeptSet:
    """Return what is known of a set: of the one under ``data_root``, else what ``results`` keep of it.

    A set that neither has is one that can be drawn. Raises DataError where it cannot, or is not as it was built;
    ResultsError where what is kept cannot be read.
    """
    kept = None if is_built(data_root, name) else read_kept(results, name)
    return describe_built_set(data_root, name) if kept is None else kept


def describe_built_set(data_root: Path, name: str) -> KeptSet:
    """Return what is known of a set under ``data_root``, or of one that can be drawn; raises DataError."""
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
    """Note what is known of those of the sets that are built, for reports where they are not.

    ``about``: returns what is known of a set; by default it is looked up.
    """
    for name in sorted(set(sets)):
        if is_built(data_root, name):
            known = describe_built_set(data_root, name) if about is None else about(name)
            write_text(place_of(results, name), known.model_dump_json(indent=1) + "\n")


def info_of(results: Path, data_root: Path, name: str) -> SetInfo:
    """Return what is known of a built set, or of one that results keep; raises DataError, where it is neither, too."""
    kept = None if is_built(data_root, name) else read_kept(results, name)
    return load_info(data_root, name) if kept is None else kept.info


def read_kept(results: Path, name: str) -> KeptSet | None:
    """Return what is kept of a set, None where nothing is; raises ResultsError where it cannot be read."""
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
        raise ResultsError(f"{path}: of another set, {kept.info.name[:80]!r}; {remedy}")
    return kept


def place_of(results: Path, name: str) -> Path:
    """Return where results keep what they know of a set."""
    return results / "sets" / f"{name}.json"
