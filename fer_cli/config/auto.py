"""What ``data.split: auto`` of a study becomes: chosen by what a set says of its images, before runs get their identity."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

from fer_cli.config.data import K_FOLD, SplitName

AUTO = "auto"
SPLITS: tuple[str, ...] = get_args(SplitName)


class Known(NamedTuple):
    """What a data set says of its images that a split can be made by."""

    parts: frozenset[str] = frozenset()
    """Official parts, where each image is in one; else none, as the others would never be used."""
    people: int = 0
    """How many, where each image has one; else 0."""
    sequences: int = 0
    """How many, where each image has one; else 0."""

    @property
    def validates(self) -> bool:
        """Return whether one of the official parts is there to choose the checkpoint."""
        return "val" in self.parts or {"public", "private"} <= self.parts


def auto_split(known: Known) -> tuple[str, str]:
    """Return the strictest split that a set allows, and why it is this one."""
    if "train" in known.parts and known.parts & {"test", "private"}:
        return "official", "the set was published with parts"
    lacks = "its official parts do not include one to train and one to test on"
    lacks = lacks if known.parts else "the set has no official parts that hold all of its images"
    if known.people > 1:
        return "subject", f"{lacks}; the person in each image is known"
    if known.sequences > 1:
        return "sequence", f"{lacks} and does not name its people; the sequence of each image is known"
    return "random", f"{lacks} and names neither people nor sequences"


def drop_idle(settings: dict[str, Any], known: Known) -> dict[str, Any]:
    """Return dotted settings without those of ``data`` that have no effect under their ``data.split``.

    A study that leaves the split open so has folds and a share to validate on where the set needs them.
    """
    split = settings["data.split"]
    idle = set() if split in K_FOLD else {"data.folds"}
    idle |= set() if split == "holdout" else {"data.test_fraction"}
    idle |= set() if split == "official" else {"data.test_part"}
    validated = split == "official" and known.validates and settings.get("data.test_part") != "public"
    idle |= {"data.val_fraction"} if validated else set()
    return {name: value for name, value in settings.items() if name not in idle}
