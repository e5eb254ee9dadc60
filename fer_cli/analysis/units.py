"""Test predictions of a finished run with a column of its data set's manifest, such as subject."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer_cli.data.manifest import MANIFEST, load_info, read_manifest, verify_files
from fer_cli.errors import DataError, ResultsError, nearest
from fer_cli.escape import cut
from fer_cli.interaction.factors import Levels, choose_positive, split_units
from fer_cli.outputs import damage_error
from fer_cli.places import open_regular
from fer_cli.results import Result
from fer_cli.runs import RunFolder

NOT_UNITS = ("sample", "name", "file", "sha256", "frame", "label", "face", "time_s")
"""Columns that name an image, its truth or its time, not a unit of many images."""


def factor_levels(folder: RunFolder, column: str, data_root: Path, positive: tuple[str, ...] = ()) -> Levels:
    """Return the levels of a run's units by their predicted expressions.

    Raises ResultsError if the run is not done, DataError if its set is missing or changed, or the column is unusable.
    """
    result = read_finished(folder)
    chosen = choose_positive(result.data.classes, positive)
    predictions = read_predictions(folder, result)
    units = read_units(result, data_root, column)
    found = predictions["sample"].map(units).fillna("")
    if (lost := int((found == "").sum())) == len(found):
        raise DataError(
            f"--by {cut(column)}: no test image of run {folder.run_id} has a value in this column of its data set"
        )
    if lost:
        raise DataError(f"--by {cut(column)}: {lost} of {len(found)} test images have no value in this column")
    return split_units(found.tolist(), predictions["predicted"].tolist(), chosen, column)


def read_finished(folder: RunFolder) -> Result:
    """Return the result of a finished run; raises ResultsError for another."""
    if folder.damage is not None:
        raise folder.damage
    if folder.status != "done":
        raise ResultsError(f"{folder.path}: not a finished run (its state is {folder.status}); run fer ablate")
    return folder.result()


def read_predictions(folder: RunFolder, result: Result) -> pd.DataFrame:
    """Return the rows ``sample`` and ``predicted`` of the test part; raises DamagedError for an unreadable file."""
    path = folder.file(result.predictions)
    try:
        with open_regular(path) as stream:
            frame = pd.read_parquet(stream, columns=["part", "sample", "predicted"])
    except (OSError, ValueError) as error:  # of pyarrow too
        raise damage_error(path, str(error)) from None
    return frame[frame["part"] == "test"].astype({"sample": str, "predicted": str}).reset_index(drop=True)


def read_units(result: Result, data_root: Path, column: str) -> dict[str, str]:
    """Return sample -> unit of the set that a run was tested on; raises DataError if it changed, or lacks the column."""
    sets = result.config.data.sets
    name = sets[-1]
    info = load_info(data_root, name)
    recorded = result.fingerprint.split("+")[-1]
    if info.fingerprint != recorded:
        raise DataError(f"{name}: the run was tested on other data ({recorded}, now {info.fingerprint}); train it again")
    verify_files(data_root / name, info, (MANIFEST,))
    manifest = read_manifest(data_root / name, info)
    usable = [key for key in manifest.columns if key not in NOT_UNITS]
    if column not in usable:
        why = "does not group images into units" if column in manifest.columns else f"is no column of {name}"
        raise DataError(f"--by: '{cut(column)}' {why}{nearest(column, usable)}")
    return dict(zip(manifest["sample"].astype(str), manifest[column].astype(str), strict=True))
