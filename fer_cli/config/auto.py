"""Resolve ``data.split: auto`` of a study from a set's metadata, before run ids are computed."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

from fer_cli.config.data import K_FOLD, SplitName

AUTO = "auto"
SPLITS: tuple[str, ...] = get_args(SplitName)


class Known(NamedTuple):
    """Metadata of a data set that splits can use."""

    parts: frozenset[str] = frozenset()
    """Official parts if every image is in one; else empty, as other images would never be used."""
    people: int = 0
    """Number of people if known for every image, else 0."""
    sequences: int = 0
    """Number of sequences if known for every image, else 0."""

    @property
    def validates(self) -> bool:
        """Return whether an official part can select the checkpoint."""
        return "val" in self.parts or {"public", "private"} <= self.parts


def auto_split(known: Known) -> tuple[str, str]:
    """Return the strictest split that a set allows, and the reason."""
    if "train" in known.parts and known.parts & {"test", "private"}:
        return "official", "the set was published with parts"
    lacks = "its official parts include no training or no test part" if known.parts else "no official parts cover all images"
    if known.people > 1:
        return "subject", f"{lacks}; the person in each image is known"
    if known.sequences > 1:
        return "sequence", f"{lacks}, people are unknown; the sequence of each image is known"
    return "random", f"{lacks}; people and sequences are unknown"


def drop_idle(settings: dict[str, Any], known: Known) -> dict[str, Any]:
    """Return dotted settings without those of ``data`` that have no effect with their ``data.split``, which may be auto."""
    split = settings["data.split"]
    idle = set() if split in K_FOLD else {"data.folds"}
    idle |= set() if split == "holdout" else {"data.test_fraction"}
    idle |= set() if split == "official" else {"data.test_part"}
    validated = split == "official" and known.validates and settings.get("data.test_part") != "public"
    idle |= {"data.val_fraction"} if validated else set()
    return {name: value for name, value in settings.items() if name not in idle}
