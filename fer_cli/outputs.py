"""Reads the other outputs of a run: predictions, histories, labels. Only regular files are opened, which cannot block."""

from __future__ import annotations

import csv
import math
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

import numpy as np

from fer_cli.errors import DamagedError
from fer_cli.metrics import confusion_counts
from fer_cli.places import open_regular, read_text

RESULT, PREDICTIONS, LABELS = "result.json", "predictions.parquet", "labels.parquet"
HISTORIES, CENTRES = "history*.csv", "centres*.csv"
BINS = 15
"""Bins of the calibration error."""
ROUNDING = 1e-3
"""By how much probabilities of half precision may leave [0, 1]."""
MAGIC = b"PAR1"  # first and last bytes of a Parquet file
DETECTED = "test, face detected"  # the part of a result with only test images with a detected face


def count_predictions(path: Path, classes: list[str]) -> dict[str, np.ndarray]:
    """Return the confusion matrix (K, K) of each part, ordered by ``classes``; raises DamagedError if invalid."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    try:
        with open_regular(path) as stream:
            file = parquet.ParquetFile(pa.BufferReader(stream.read()))
        names = [name for name in ("part", "label", "predicted", "face") if name in file.schema_arrow.names]
        table = file.read(columns=names, use_threads=False)
        parts = table["part"].unique().to_pylist()
        codes = [
            pc.fill_null(pc.index_in(table[name], pa.array(values)), -1).to_numpy()
            for name, values in (("part", parts), ("label", classes), ("predicted", classes))
        ]
        seen = pc.fill_null(table["face"], False).to_numpy() if "face" in names else None
    except FileNotFoundError:
        raise damage_error(path, "missing, so scores cannot be computed") from None
    except OSError as error:
        raise damage_error(path, str(error.strerror or error)) from None
    except (KeyError, pa.ArrowException, ValueError) as error:
        raise damage_error(path, f"not a table of predictions ({error})") from None
    if min(int(column.min()) for column in codes) < 0:
        raise damage_error(path, f"a label or a prediction is not one of {', '.join(classes)}")
    part, truth, answer = codes
    masks = {str(name): part == place for place, name in enumerate(parts)}
    if seen is not None and "test" in masks:
        masks[DETECTED] = masks["test"] & seen
    return {name: confusion_counts(truth[mask], answer[mask], len(classes)) for name, mask in masks.items() if mask.any()}


@lru_cache(maxsize=8192)
def calibration_error(path: Path, sign: tuple[int, ...]) -> float | None:
    """Return the expected calibration error of the test images, None without probabilities; cached by ``sign``.

    Images are binned by their highest probability in ``BINS`` equal intervals of [0, 1]; the error is the mean over images
    of |accuracy - mean probability| of their bin (Guo 2017, ICML, eq. 3). Raises DamagedError.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with open_regular(path) as stream:
            file = parquet.ParquetFile(pa.BufferReader(stream.read()))
        shares = [name for name in file.schema_arrow.names if name.startswith("p_")]
        if not shares:
            return None
        table = file.read(columns=["part", "label", "predicted", *shares], use_threads=False)
        tested = table["part"].to_numpy() == "test"
        right = (table["label"].to_numpy() == table["predicted"].to_numpy())[tested].astype(float)
        confidence = valid_shares(np.column_stack([table[name].to_numpy() for name in shares])[tested]).max(1).astype(float)
    except OSError as error:
        raise damage_error(path, str(error.strerror or error)) from None
    except (KeyError, pa.ArrowException, ValueError) as error:
        raise damage_error(path, f"not a table of predictions ({error})") from None
    if not np.isfinite(confidence).all() or not len(right):
        return None
    return bin_error(confidence, right)


def valid_shares(shares: np.ndarray) -> np.ndarray:
    """Return probabilities (N, K); raises ValueError unless they are numbers in [0, 1] up to rounding, or NaN."""
    if not np.issubdtype(shares.dtype, np.number):
        raise ValueError("its probabilities are not all numbers")
    if (off := (shares < -ROUNDING) | (shares > 1 + ROUNDING)).any():
        raise ValueError(f"probability {shares[off][0]:g} is not in 0 to 1")
    return shares


def bin_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error of probabilities (N,) in [0, 1] and right answers (N,), 0 or 1."""
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return float(np.abs(np.bincount(bins, right - confidence, BINS)).sum() / len(right))


def read_history(path: Path) -> list[dict[str, float]]:
    """Return a history's rows, with NaN for empty cells; raises DamagedError if invalid."""
    head, rows = _read_cells(path)
    return [dict(zip(head, row, strict=True)) for row in rows]


@lru_cache(maxsize=8192)
def final_training_accuracy(path: Path, sign: tuple[int, ...]) -> float:
    """Return the training accuracy of a history's last epoch, or NaN; cached by ``sign``, the file's signature."""
    head, rows = _read_cells(path)
    return dict(zip(head, rows[-1], strict=True)).get("train/accuracy", math.nan)


def read_centres(path: Path) -> dict[str, np.ndarray] | None:
    """Return the columns of a ``centres.csv``, (steps,) each; None if it is missing; raises DamagedError if invalid."""
    if not path.is_file():
        return None
    head, rows = _read_cells(path, "step")
    if lost := {"weight", "deviation", "loss"} - {*head}:
        raise damage_error(path, f"no column {min(lost)}")
    return dict(zip(head, np.array(rows).T, strict=True))


def _read_cells(path: Path, first: str = "epoch") -> tuple[list[str], list[list[float]]]:
    """Return column names and rows of a history, one per ``first``."""
    try:
        text = read_text(path)
        head, *lines = list(csv.reader(text.splitlines())) or [[]]
    except OSError as error:
        raise damage_error(path, str(error.strerror)) from None
    except (ValueError, csv.Error) as error:
        raise damage_error(path, str(error)) from None
    if first not in head or not lines:
        raise damage_error(path, "empty" if not text else f"no {first}s")
    if not text.endswith("\n"):
        raise damage_error(path, "truncated")
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            row = list(map(float, [cell or "nan" for cell in line] if "" in line else line))
        except ValueError:
            row = []
        if len(row) != len(head):
            raise damage_error(path, f"line {number} is not {len(head)} numbers")
        rows.append(row)
    return head, rows


def check_parquet(path: Path) -> None:
    """Raise DamagedError if a file does not begin and end like a complete Parquet file."""
    if not path.is_file():
        raise damage_error(path, "not a file")
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 8))
            tail = stream.read(8)
            stream.seek(0)
            whole = stream.read(4) == tail[4:] == MAGIC and int.from_bytes(tail[:4], "little") <= size - 12
    except OSError as error:
        raise damage_error(path, str(error.strerror)) from None
    if not whole:
        raise damage_error(path, "not a complete Parquet file" if size else "empty")


def check_table(path: Path, sign: tuple[int, ...]) -> dict[str, float]:
    """Raise DamagedError if labels, history or centres of a run are invalid; return a history's final training accuracy."""
    if path.name == LABELS:
        check_parquet(path)
    elif fnmatch(path.name, CENTRES):
        read_centres(path)
    else:
        return {path.name: final_training_accuracy(path, sign)}
    return {}


def damage_error(path: Path, reason: str) -> DamagedError:
    """Return the error for an invalid file of a run: file, reason and remedy in one line."""
    return DamagedError(
        f"{path}: {' '.join(reason.split())[:300]}; retrain it with fer ablate --retry-failed, or remove {path.parent}"
    )
