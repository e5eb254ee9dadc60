"""Images that two data sets have in common, whatever the sets are called: no network is tested on what it has seen.

Sets are compared by their fingerprints and those of the sets that they are made of; images by the SHA-256 of their sources.
Of embedded sets the fingerprints alone are compared: they have no sources.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fer_cli.data.manifest import SetInfo, load_set
from fer_cli.errors import DataError

MOST_SHARED = 0.01
"""Up to this share of the tested images may be copies of learned ones, as across collections: a warning, not an error."""


def origins(info: SetInfo) -> set[str]:
    """Return the fingerprints of a set and of the sets that it is made of."""
    return {info.fingerprint, *info.parts.values()}


def check_origins(used: SetInfo, tested: SetInfo, how: str) -> None:
    """Raise DataError if two sets hold the same data; ``how``: the setting that names the set in use."""
    if origins(used) & origins(tested):
        raise DataError(f"{how}: {used.name} and {tested.name} hold the same data, so test images would be learned from")


def sources_of(data_root: Path, info: SetInfo, classes: list[str] | None = None) -> set[str]:
    """Return the SHA-256 of the sources of a set's images, of some classes; none of an embedded set."""
    if info.embedded is not None:
        return set()
    return set(load_set(data_root, info.name).of_classes(classes or []).manifest["sha256"]) - {""}


def compare_sources(learned: set[str], tested: Iterable[str], how: str, words: str, remedy: str) -> str:
    """Return a warning if a few tested images are among those that are learned from, "" if none are.

    ``how``: the setting or run in question; ``words``: what is tested and learned from, as ``images of a are also in b``.
    Raises DataError, which ends in ``remedy``, for more than ``MOST_SHARED`` of the tested images.
    """
    asked = set(tested) - {""}
    if not (shared := len(learned & asked)):
        return ""
    told = f"{how}: {shared:,} of {len(asked):,} {words}"
    if shared > MOST_SHARED * len(asked):
        raise DataError(f"{told}{remedy}")
    return told
