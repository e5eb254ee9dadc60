"""Which studies use a run, ``studies.json`` in its folder: study, arm and grid point, and the plan that contains it.

Written whenever a study trains the run or finds it done. It never enters the run's id, no score depends on it, and runs of
earlier versions lack it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from fer_cli.places import read_text, write_text

USES = "studies.json"
SCHEMA = 1
log = logging.getLogger("fer")


class Use(BaseModel):
    """One use of a run; ``table``: false for a run that others start from, which is in no table."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    study: str
    title: str
    """Of the plan, e.g. ``scn-cs on ck48 (small)``: the parent run in MLflow."""
    stem: str = ""
    """Prefix of the plan's tables and figures."""
    profile: str = ""
    data: str = ""
    arm: str
    at: tuple[tuple[str, Any], ...] = ()
    """Grid factors and values."""
    table: bool = True
    metric: str = "accuracy"
    """The study's first metric, whose means MLflow shows."""

    @property
    def place(self) -> str:
        """Return arm and grid point, e.g. ``SCN · data.label_noise 0.2``."""
        return " · ".join([self.arm, *(f"{key} {value}" for key, value in self.at)])


class Uses(BaseModel):
    """The content of ``studies.json``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_: int = SCHEMA
    uses: list[Use] = []


def read_uses(folder: Path) -> list[Use]:
    """Return the recorded uses of a run; none if there is no valid record, which costs a run nothing else."""
    try:
        return Uses.model_validate_json(read_text(folder / USES)).uses
    except (OSError, ValidationError, ValueError):
        return []


def add_use(folder: Path, use: Use) -> None:
    """Record a use of a run whose folder exists, unless it is recorded; a folder that is not writable costs a warning."""
    if use in read_uses(folder) or not folder.is_dir():
        return
    try:
        with FileLock(folder / ".lock"):
            kept = [one for one in read_uses(folder) if (one.title, one.place) != (use.title, use.place)]
            write_text(folder / USES, Uses(uses=[*kept, use]).model_dump_json(indent=1) + "\n")
    except OSError as error:
        log.warning("%s: study and arm are not recorded (%s)", folder / USES, error.strerror)


def find_places(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the recorded uses of a run as study, and arm with grid point."""
    return tuple(dict.fromkeys((use.study, use.place) for use in read_uses(folder)))
