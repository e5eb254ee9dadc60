"""Test predictions of a finished run with a column of its data set's manifest, such as subject."""

from __future__ import annotations

import pandas as pd

from fer_cli.config import Compute
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


def factor_levels(run_id: str, column: str, compute: Compute, positive: tuple[str, ...] = ()) -> Levels:
    """Return the levels of a run's units by their predicted expressions.

    Raises ResultsError if the run is not done, DataError if its set is missing or changed, or the column is unusable.
    """
    result = find_result(run_id, compute)
    chosen = choose_positive(result.data.classes, positive)
    predictions = read_predictions(RunFolder(compute.results, run_id), result)
    units = read_units(result, compute, column)
    found = predictions["sample"].map(units).fillna("")
    if (lost := int((found == "").sum())) == len(found):
        raise DataError(f"--by {cut(column)}: no test image of run {run_id} has a value in this column of its data set")
    kept = (found != "").to_numpy()
    if lost:
        raise DataError(f"--by {cut(column)}: {lost} of {len(found)} test images have no value in this column")
    return split_units(found[kept].tolist(), predictions["predicted"][kept].tolist(), chosen, column)


def find_result(run_id: str, compute: Compute) -> Result:
    """Return the result of a finished run; raises ResultsError, with the nearest id, for another."""
    runs = compute.results / "runs"
    known = [path.name for path in runs.iterdir() if path.is_dir()] if runs.is_dir() else []
    if run_id not in known:
        hint = nearest(run_id, known) if known else "; train one with fer ablate, or give --results"
        raise ResultsError(f"no run '{cut(run_id)}' under {runs}{hint}")
    folder = RunFolder(compute.results, run_id)
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


def read_units(result: Result, compute: Compute, column: str) -> dict[str, str]:
    """Return sample -> unit of the set that a run was tested on; raises DataError if it changed, or lacks the column."""
    sets = result.config.data.sets
    name = sets[-1]
    info = load_info(compute.data_root, name)
    recorded = result.fingerprint.split("+")[-1]
    if info.fingerprint != recorded:
        raise DataError(f"{name}: the run was tested on other data ({recorded}, now {info.fingerprint}); train it again")
    verify_files(compute.data_root / name, info, (MANIFEST,))
    manifest = read_manifest(compute.data_root / name, info)
    usable = [key for key in manifest.columns if key not in NOT_UNITS]
    if column not in usable:
        why = "does not group images into units" if column in manifest.columns else f"is no column of {name}"
        raise DataError(f"--by: '{cut(column)}' {why}{nearest(column, usable)}")
    return dict(zip(manifest["sample"].astype(str), manifest[column].astype(str), strict=True))
