"""The schema of ``result.json``, its reader, and the detection of damaged runs.

Results of all versions of fer are read through ``Result``; unknown keys are ignored. Scores are recomputed from predictions,
so old runs have new metrics too; if stored scores differ, the run is damaged.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator, model_validator
from pydantic_core import from_json

from fer_cli.checked import Files, is_verified, record_verified, sign_file, sign_files, stored_number
from fer_cli.config import METRICS, RunConfig, keep_valid
from fer_cli.errors import DamagedError
from fer_cli.metrics import score_counts
from fer_cli.outputs import (
    DETECTED,
    PREDICTIONS,
    RESULT,
    calibration_error,
    check_table,
    count_predictions,
    damage_error,
    final_training_accuracy,
)
from fer_cli.places import read_text
from fer_cli.yamls import explain

SCHEMA = 1
"""Version of ``result.json``. 0: unnumbered results, with ``seconds`` and network size at top level."""
PARTS = {"test": "test", "val": "validation"}
"""Part of ``Result.part`` -> its name in text."""
SIMULATED = "simulation"  # name and fingerprint of the data of runs without images
NO_SHARES = -1.0  # calibration error of predictions without probabilities, in the cache
ROUNDING = 1e-9  # tolerance between stored and recomputed scores

Share = Annotated[float, Field(ge=0, le=1 + 1e-9, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """A part of a result: strict types, unknown keys ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, ser_json_inf_nan="constants")


class Scores(BaseModel):
    """The scores of one part of the images; ``scores["accuracy"]`` is a metric in ``METRICS``."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    __pydantic_extra__: dict[str, Finite]

    recall: dict[str, Share | None] = {}
    confusion: list[list[Count]]
    n: Annotated[int, Field(ge=1)]

    def __getitem__(self, metric: str) -> float:
        """Return a metric by name; raises KeyError if missing."""
        return self.__pydantic_extra__[metric]

    @classmethod
    def of(cls, counts: np.ndarray, classes: list[str]) -> Scores:
        """Return the scores of a confusion matrix (K, K)."""
        return cls.model_construct(**score_counts(counts, classes))

    @model_validator(mode="after")
    def _square(self) -> Scores:
        if any(len(row) != len(self.confusion) for row in self.confusion) or not any(map(any, self.confusion)):
            raise ValueError("confusion: not a square matrix of counts")
        return self


class Drawn(Part):
    """Label noise seen in training (see ``DrawnNoise``)."""

    wrong: float
    rarest: str
    wrong_in_rarest: float | None


class Data(Part):
    """The data of a run; ``absent``: classes without training images (not in older results)."""

    fingerprint: str | None = None
    classes: Annotated[list[str], Field(min_length=1)]
    split_hash: str
    test_hash: str | None = None
    train: Annotated[int, Field(ge=1)]
    val: Count
    test: Count
    """0 for a trial only."""
    absent: list[str] = []
    shared_subjects: Count
    test_subjects: Count
    shared_sequences: Count = 0
    test_sequences: Count = 0
    noise_seed: int | None = None
    dropped: dict[str, Count] = {}
    flipped: Count = 0
    drawn: Drawn | None = None
    counted: dict[str, Count] = {}
    """Of runs on clips: what they make do with, such as frames without a face -> how often."""


class Selection(Part):
    """The selection rule and the selected checkpoint; None for fitted classifiers."""

    rule: str
    epoch: Count | None
    value: Finite | None = None
    relabel_margin: Finite | None = None
    weights: Annotated[str, Field(pattern=r"^best[^/]*\.pt$")] = "best.pt"


class Relabelled(Part):
    """Number and effect of replaced labels (older results only have the number)."""

    count: Count
    changed: Count = 0
    wrong_start: Share | None = None
    wrong_end: Share | None = None
    precision: Share | None = None
    recall: Share | None = None
    broken: Count | None = None  # correctly labelled training samples whose label is wrong after training


class MachineRecord(Part):
    """The machine that a run was computed on."""

    device: str
    precision: str
    threads: Annotated[int, Field(ge=1)]
    bf16: bool | None = None
    channels_last: bool | None = None
    processor: str | None = None
    instructions: str | None = None


class Code(Part):
    """The code, libraries and command that made a result."""

    fer: str
    commit: str | None
    dirty: bool | None
    python: str | None = None
    libraries: dict[str, str] = {}
    command: str | None = None

    @property
    def version(self) -> str:
        """Return the commit, else fer's version."""
        return self.commit or self.fer


class Origin(Part):
    """Machine and code of a training."""

    machine: MachineRecord
    provenance: Code


class Seconds(Part):
    """Duration of a run, and of its training, in seconds."""

    total: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    training: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class Cost(Part):
    """Duration, trainable parameters and multiply-adds of a run, and the most bytes that its process had held by then."""

    seconds: Seconds
    parameters: Annotated[int, Field(ge=1)] | None = None
    multiply_adds: Count | None = None
    memory: Count | None = None


class Learned(Part):
    """The results of a training besides its weights, common to runs that share it."""

    selection: Selection
    health: dict[str, float]
    relabelled: Relabelled | None
    warnings: list[str]
    weights: str | None = None  # summary of the weights loaded from a file before training
    trained_on: Origin | None = None  # machine and code of a training by another run


class Result(Origin, Learned):
    """The content of ``result.json``."""

    schema_: Annotated[int, Field(alias="schema")] = SCHEMA
    kind: str
    """The name of the run's task in ``fer_cli.tasks.TASKS``."""
    run_id: str
    fingerprint: str
    pretrained_by: str | None = None
    trained_by: str | None = None
    config: Annotated[RunConfig, WrapValidator(keep_valid)]
    predictions: Annotated[str, Field(pattern=r"^[^/]+\.parquet$")] = PREDICTIONS
    metrics: dict[str, Scores]
    data: Data
    features: dict[str, Any] | None = None
    cost: Cost

    @property
    def part(self) -> str:
        """Return the part whose scores are the run's: ``test``, of a trial ``val``."""
        return "val" if self.config.trial else "test"

    @property
    def scores(self) -> Scores:
        """Return the scores of ``part``."""
        return self.metrics[self.part]

    @property
    def origin(self) -> Origin:
        """Return machine and code of the run's training."""
        return self.trained_on or self

    @model_validator(mode="before")
    @classmethod
    def _of_this_schema(cls, content: Any) -> Any:
        """Convert an older result to this schema; raise ValueError for an unknown schema."""
        if not isinstance(content, dict):
            return content
        if (schema := content.get("schema", 0)) not in range(SCHEMA + 1):
            raise ValueError(f"schema {str(schema)[:20]} is unknown: this fer reads up to {SCHEMA}; update fer")
        if schema or "seconds" not in content:
            return content
        cost = {name: content[name] for name in ("seconds", "parameters", "multiply_adds") if name in content}
        config = content.get("config")
        features = config.get("features") if isinstance(config, dict) else None
        fitted = isinstance(features, dict) and bool(features.get("blocks")) and features.get("classifier") != "network"
        return {"kind": "features" if fitted else "stills", "cost": cost, **content}

    @model_validator(mode="after")
    def _parts_agree(self) -> Result:
        if self.part not in self.metrics:
            raise ValueError(f"metrics.{self.part}: missing")
        if self.config.trial and ("test" in self.metrics or self.data.test):
            raise ValueError("metrics.test: of a trial, which has no test part")
        if not self.config.trial and not self.data.test:
            raise ValueError("data.test: 0, but the run is no trial")
        for name, scores in self.metrics.items():
            if len(scores.confusion) != len(self.data.classes):
                raise ValueError(f"metrics.{name}.confusion: not of the {len(self.data.classes)} classes of data.classes")
        if self.config.data.test is not None and "dropped" not in self.data.model_fields_set:
            raise ValueError("data.dropped: missing, but the test set is another set")
        if self.health.keys() & {"alpha/sd", "alpha/gap"} not in (set(), {"alpha/sd", "alpha/gap"}):
            raise ValueError("health: one of alpha/sd and alpha/gap is missing")
        return self

    def as_text(self) -> str:
        """Return the content of ``result.json``."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"


@dataclass(frozen=True)
class Planned:
    """The settings of a run in a plan; those of its result, if equal, are not validated again, and are this very object."""

    config: RunConfig | None = field(default=None, compare=False)  # not part of the key of a cache


def load_result(folder: Path, planned: RunConfig | None = None) -> Result | DamagedError:
    """Return a run's result with recomputed scores, or its damage; missing histories and labels are not damage."""
    return _load(folder, sign_files(folder), tuple(METRICS), Planned(planned))


def read_result(folder: Path) -> Result:
    """Return a run's result; raises DamagedError if a file of the run is damaged."""
    if isinstance(found := load_result(folder), DamagedError):
        raise found
    return found


def find_damage(folder: Path) -> DamagedError | None:
    """Return the damage of a run with a ``result.json``, or None."""
    if is_verified(folder, sign_files(folder)):
        return None
    found = load_result(folder)
    return found if isinstance(found, DamagedError) else None


def read_final_accuracy(history: Path) -> float | None:
    """Return the training accuracy of a history's last epoch; None if it has none, or is missing or damaged."""
    if not (sign := sign_file(history)):
        return None
    accuracy = stored_number(history, sign)
    if accuracy is None:
        try:
            accuracy = final_training_accuracy(history, sign)
        except DamagedError:
            return None
    return None if math.isnan(accuracy) else accuracy


def read_calibration(folder: Path, result: Result) -> float | None:
    """Return the expected calibration error of a run's test images; None without probabilities, or if damaged."""
    path = folder / result.predictions
    sign = sign_file(path)
    if sign and (kept := stored_number(path, sign)) is not None:
        return None if kept == NO_SHARES else kept
    try:
        return calibration_error(path, sign)
    except DamagedError:
        return None


@lru_cache(maxsize=8192)
def _load(folder: Path, files: Files, metrics: tuple[str, ...], planned: Planned) -> Result | DamagedError:
    """Read and check the files of a run; if verified before, its stored confusion matrices are used."""
    try:
        if is_verified(folder, files):
            return rescore(_parse(folder / RESULT, planned.config))
        final = dict[str, float]()
        for name, sign in files:
            if name not in {RESULT, PREDICTIONS}:
                final |= check_table(folder / name, sign)
        result = _parse(folder / RESULT, planned.config)
        result = result.model_copy(update={"metrics": score_again(result, folder)})
        if (found := dict(files).get(PREDICTIONS)) and result.predictions == PREDICTIONS:
            error = calibration_error(folder / PREDICTIONS, found)
            final[PREDICTIONS] = NO_SHARES if error is None else error
    except DamagedError as damage:
        return damage
    record_verified(folder, files, final)
    return result


def rescore(result: Result) -> Result:
    """Return a result with missing metrics computed from its confusion matrices."""
    if all(scores.model_extra and scores.model_extra.keys() >= METRICS.keys() for scores in result.metrics.values()):
        return result
    again = {part: Scores.of(np.array(scores.confusion), result.data.classes) for part, scores in result.metrics.items()}
    return result.model_copy(update={"metrics": again})


def _parse(path: Path, planned: RunConfig | None) -> Result:
    """Return the content of a ``result.json``; raises DamagedError if it is missing or invalid."""
    try:
        text = read_text(path)
        result = _validate(text, planned)
    except FileNotFoundError:
        raise damage_error(path, "missing") from None
    except OSError as error:
        raise damage_error(path, str(error.strerror)) from None
    except ValidationError as error:
        raise damage_error(path, explain(error, Result) if text else "empty") from None
    except ValueError as error:
        raise damage_error(path, str(error)) from None
    if result.run_id != path.parent.name:
        raise damage_error(path, f"the result of another run, {result.run_id[:80]!r}")
    return result


def _validate(text: str, planned: RunConfig | None) -> Result:
    """Return the result in ``text``, with the settings ``planned`` if it has the same; raises ValidationError."""
    if planned is not None:
        with suppress(ValueError):  # the reason is found again below
            content = from_json(text)
            if isinstance(content, dict) and content.get("config") == planned.model_dump(mode="json"):
                return Result.model_validate(content | {"config": planned})
    return Result.model_validate_json(text)


def score_again(result: Result, folder: Path) -> dict[str, Scores]:
    """Return scores recomputed from predictions, by part; raises DamagedError if stored scores differ."""
    path, classes = folder / RESULT, result.data.classes
    counts = count_predictions(folder / result.predictions, classes)
    if lost := {*result.metrics, result.part} - {*counts, DETECTED}:
        raise damage_error(path, f"metrics.{min(lost)[:80]}: {result.predictions} has no such part")
    if DETECTED in result.metrics and DETECTED not in counts:
        counts[DETECTED] = np.array(result.metrics[DETECTED].confusion)  # predictions of older runs lack face detections
        if (counts[DETECTED] > counts["test"]).any():
            raise damage_error(path, f"metrics.{DETECTED}.confusion: counts exceed those of {result.predictions}")
    found = {part: Scores.of(matrix, classes) for part, matrix in counts.items()}
    for part, stored in result.metrics.items():
        for name in METRICS.keys() & stored.model_extra.keys() if stored.model_extra else ():
            if abs(stored[name] - found[part][name]) > ROUNDING:
                values = f"{stored[name]:.6g}, but {result.predictions} gives {found[part][name]:.6g}"
                raise damage_error(path, f"metrics.{part}.{name}: {values}")
        if stored.confusion != found[part].confusion:
            raise damage_error(path, f"metrics.{part}.confusion: differs from {result.predictions}")
    return found
