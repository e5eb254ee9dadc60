"""The files of a finished run, read through one schema, and the reason why a run counts as damaged.

A result that an older or newer version wrote may have more or fewer optional keys; what tables, figures and analyses read
must be there, of the right type and in range. Only regular files are opened, so that no device or pipe can hold a reader up.
"""

from __future__ import annotations

import csv
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fer_cli.config import RunConfig
from fer_cli.errors import DamagedError
from fer_cli.places import read_text
from fer_cli.yamls import explain

RESULT = "result.json"
HISTORIES, PARQUETS = "history*.csv", ("predictions.parquet", "labels.parquet")
MAGIC = b"PAR1"
"""First and last bytes of a Parquet file."""

Share = Annotated[float, Field(ge=0, le=1 + 1e-9, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """A part of a result: types are strict, further keys are tolerated."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Scores(Part):
    """The scores of one part of the images."""

    accuracy: Share
    macro_f1: Share
    weighted_f1: Share
    macro_precision: Share
    macro_recall: Share
    recall: dict[str, Share | None] = {}
    confusion: list[list[Count]]
    n: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _square(self) -> Scores:
        if any(len(row) != len(self.confusion) for row in self.confusion) or not any(map(any, self.confusion)):
            raise ValueError("confusion: not a square matrix of counts")
        return self


class Data(Part):
    """What a result says of its images."""

    classes: Annotated[list[str], Field(min_length=1)]
    split_hash: str
    test_hash: str | None = None
    train: Annotated[int, Field(ge=1)]
    val: Count
    test: Annotated[int, Field(ge=1)]
    absent: list[str] = []
    """Classes that no training image is of; older results do not say."""
    shared_subjects: Count
    test_subjects: Count
    shared_sequences: Count = 0
    test_sequences: Count = 0
    noise_seed: int | None = None
    dropped: dict[str, Count] = {}
    flipped: Count = 0


class Selection(Part):
    """What chose the checkpoint, and which it is; nothing is chosen where a classifier is fitted."""

    rule: str
    epoch: Count | None
    value: Finite | None = None
    relabel_margin: Finite | None = None
    weights: Annotated[str, Field(pattern=r"^best[^/]*\.pt$")] = "best.pt"


class Relabelled(Part):
    """How many labels were replaced, and what that did to them, which older results do not say."""

    count: Count
    changed: Count = 0
    wrong_start: Share | None = None
    wrong_end: Share | None = None
    precision: Share | None = None
    recall: Share | None = None


class MachineRecord(Part):
    """What a run was computed on."""

    device: str
    precision: str
    threads: Annotated[int, Field(ge=1)]


class Code(Part):
    """Which code made a result."""

    fer: str
    commit: str | None
    dirty: bool | None


class Origin(Part):
    """Where the training behind a result was computed."""

    machine: MachineRecord
    provenance: Code


class Seconds(Part):
    """How long a run took."""

    total: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Result(Origin):
    """The content of ``result.json``, as far as it is read back."""

    run_id: str
    fingerprint: str
    pretrained_by: str | None = None
    trained_by: str | None = None
    config: dict[str, Any]
    metrics: dict[str, Scores]
    data: Data
    selection: Selection
    health: dict[str, float]
    relabelled: Relabelled | None
    warnings: list[str]
    weights: str | None = None
    trained_on: Origin | None = None
    features: dict[str, Any] | None = None
    parameters: Annotated[int, Field(ge=1)] = 1
    multiply_adds: Count = 0
    seconds: Seconds

    @model_validator(mode="after")
    def _parts_agree(self) -> Result:
        if "test" not in self.metrics:
            raise ValueError("metrics.test: missing")
        for name, scores in self.metrics.items():
            if len(scores.confusion) != len(self.data.classes):
                raise ValueError(f"metrics.{name}.confusion: not of the {len(self.data.classes)} classes of data.classes")
        try:
            config = RunConfig.model_validate_json(json.dumps(self.config))
        except ValidationError as error:
            raise ValueError(f"{explain(error, RunConfig, 'config')}; damaged, or of another version of fer") from None
        if config.data.test is not None and "dropped" not in self.data.model_fields_set:
            raise ValueError("data.dropped: missing, though another set is tested on")
        if self.health.keys() & {"alpha/sd", "alpha/gap"} not in (set(), {"alpha/sd", "alpha/gap"}):
            raise ValueError("health: one of alpha/sd and alpha/gap is missing")
        return self


def read_result(path: Path) -> dict[str, Any]:
    """Return the content of a ``result.json``; raises DamagedError when it is not there, not JSON or not of the schema."""
    try:
        content = json.loads(read_text(path))
        Result.model_validate(content)
    except FileNotFoundError:
        raise damaged(path, "missing") from None
    except OSError as error:
        raise damaged(path, str(error.strerror)) from None
    except ValidationError as error:
        raise damaged(path, explain(error, Result)) from None
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not JSON ({error})" if path.stat().st_size else "empty") from None
    if content["run_id"] != path.parent.name:
        raise damaged(path, f"the result of another run, {content['run_id'][:80]!r}")
    return content  # type: ignore[no-any-return]


def read_config(path: Path) -> RunConfig:
    """Return the settings in a ``config.json``; raises DamagedError when they cannot be read or are not of this version."""
    try:
        return RunConfig.model_validate_json(read_text(path))
    except OSError as error:
        raise damaged(path, str(error.strerror)) from None
    except ValidationError as error:
        raise damaged(path, f"{explain(error, RunConfig)}; damaged, or of another version of fer") from None
    except ValueError as error:
        raise damaged(path, str(error)) from None


def read_history(path: Path) -> list[dict[str, float]]:
    """Return a history's rows, NaN for an empty cell; raises DamagedError when it is no whole table of numbers."""
    try:
        text = read_text(path)
        head, *lines = list(csv.reader(text.splitlines())) or [[]]
    except OSError as error:
        raise damaged(path, str(error.strerror)) from None
    except (ValueError, csv.Error) as error:
        raise damaged(path, str(error)) from None
    if "epoch" not in head or not lines:
        raise damaged(path, "empty" if not text else "holds no epochs")
    if not text.endswith("\n"):
        raise damaged(path, "cut short")
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            rows.append({name: float(cell or math.nan) for name, cell in zip(head, line, strict=True)})
        except ValueError:
            raise damaged(path, f"line {number} is not {len(head)} numbers") from None
    return rows


def check_parquet(path: Path) -> None:
    """Raise DamagedError when a file is not a whole Parquet file, judged by its two ends."""
    if not path.is_file():
        raise damaged(path, "not a file")
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 8))
            tail = stream.read(8)
            stream.seek(0)
            whole = stream.read(4) == tail[4:] == MAGIC and int.from_bytes(tail[:4], "little") <= size - 12
    except OSError as error:
        raise damaged(path, str(error.strerror)) from None
    if not whole:
        raise damaged(path, "not a whole Parquet file" if size else "empty")


def damaged(path: Path, reason: str) -> DamagedError:
    """Return the error of a run's file that cannot be used: file, reason and remedy in one line."""
    return DamagedError(
        f"{path}: {' '.join(reason.split())[:300]}; train it again with fer ablate --retry-failed, or remove {path.parent}"
    )


def find_damage(folder: Path) -> DamagedError | None:
    """Return why a run with a ``result.json`` counts as damaged, or None; a file that was removed is no damage."""
    checked = [folder / RESULT, *sorted(folder.glob(HISTORIES)), *(folder / name for name in PARQUETS)]
    return _damage(folder, tuple((path.name, _sign(path)) for path in checked if path.exists() or path.is_symlink()))


@lru_cache(maxsize=8192)
def _damage(folder: Path, files: tuple[tuple[str, tuple[int, ...]], ...]) -> DamagedError | None:
    """Check the files of a run, once for each state of them."""
    try:
        for name, _ in files:
            path = folder / name
            (read_result if name == RESULT else check_parquet if name in PARQUETS else read_history)(path)
    except DamagedError as error:
        return error
    return None


def _sign(path: Path) -> tuple[int, ...]:
    """Return what changes with a file's content: time, size and inode; nothing for one that cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
