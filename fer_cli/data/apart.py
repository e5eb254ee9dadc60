"""Images that two data sets share, whatever the sets are called: no network is tested on what it has seen."""

from __future__ import annotations

from pathlib import Path

from fer_cli.data.manifest import SetInfo, load_set
from fer_cli.errors import DataError

MOST_SHARED = 0.01
"""Share of a tested set's images that may be in another set, as duplicates are across collections; told, not refused."""


def origins(info: SetInfo) -> set[str]:
    """Return the fingerprints of a set and of the sets that it is made of."""
    return {info.fingerprint, *info.parts.values()}


def check_apart(used: SetInfo, tested: SetInfo, how: str, data_root: Path) -> str:
    """Return a warning if a few images of a tested set are also in one that a network learns from; "" if none are.

    Compared are the fingerprints of the sets and of their parts, and the SHA-256 of the source of each image; images that
    are drawn have none. ``how``: the setting that names the set in use. Raises DataError for the same data, and for more
    than ``MOST_SHARED`` of the tested images.
    """
    if origins(used) & origins(tested):
        raise DataError(f"{how}: {used.name} and {tested.name} hold the same data, so test images would be learned from")
    if used.embedded is not None or tested.embedded is not None:
        return ""
    seen, asked = (set(load_set(data_root, info.name).manifest["sha256"]) - {""} for info in (used, tested))
    if not (shared := len(seen & asked)):
        return ""
    told = f"{how}: {shared:,} of {len(asked):,} images of {tested.name} are also in {used.name}"
    if shared > MOST_SHARED * len(asked):
        raise DataError(f"{told}, so test images would be learned from; use other sets")
    return told
