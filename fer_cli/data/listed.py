"""CSV tables of labels or parts, given by path (from the working folder) and SHA-256.

Their column ``sample`` holds sample ids, or names of images in the source (the manifest's column ``name``).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from fer_cli.errors import DataError
from fer_cli.places import open_regular, user_path

if TYPE_CHECKING:
    import pandas as pd


def read_sample_table(path: str, sha256: str, column: str) -> pd.Series:
    """Return ``column`` by sample; raises DataError if the file is missing, invalid or changed since planning."""
    import pandas as pd  # deferred: reports use this module without it

    try:
        with open_regular(user_path(path)) as stream:
            content = stream.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read from {Path.cwd()} ({error.strerror})") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        change = f"SHA-256 was {sha256[:12]}, is {found[:12]}"
        raise DataError(f"{path}: changed since the run was planned ({change}); plan it again")
    try:
        # With a header, pandas takes the first of surplus cells as an index, which shifts the columns.
        cells = pd.read_csv(io.BytesIO(content), header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV table ({' '.join(str(error).split())})") from None
    header = cells.iloc[0].tolist()
    for name in ("sample", column):
        if header.count(name) != 1:
            what = f"{header.count(name)} columns" if name in header else "no column"
            raise DataError(f"{path}: {what} '{name}'; the header must name sample and {column} once")
    table = cells.iloc[1:].set_axis(header, axis=1)
    twice = table["sample"][table["sample"].duplicated()]
    if len(twice):
        raise DataError(f"{path}: duplicate sample '{twice.iloc[0]}'")
    return table.set_index("sample")[column].str.strip()


def keep_known(listed: pd.Series, manifest: pd.DataFrame, path: str, complete: bool) -> pd.Series:
    """Return the rows of images in the data set, by sample; ``complete``: False if only some of its classes are used.

    Raises DataError for an image that is not in the set (if not ``complete``: only if all are), and for one listed twice.
    """
    import pandas as pd  # deferred: reports use this module without it

    samples = manifest["sample"]
    names = dict(zip(manifest["name"], samples, strict=True)) | dict(zip(samples, samples, strict=True))
    unknown = listed.index[~listed.index.isin(list(names))]
    if len(unknown) and (complete or len(unknown) == len(listed)):
        like = "" if samples.empty else f"; its names look like '{manifest['name'].iloc[0]}'"
        raise DataError(f"{path}: the data set has no sample '{unknown[0]}' ({len(unknown)} such){like}")
    known = listed[listed.index.isin(list(names))]
    known.index = pd.Index([names[name] for name in known.index], name="sample")
    if (twice := known.index[known.index.duplicated()]).size:
        raise DataError(f"{path}: duplicate sample '{twice[0]}', also listed as '{name_of(twice[0], manifest)}'")
    return known


def name_of(sample: object, manifest: pd.DataFrame) -> str:
    """Return the name of a sample in the source."""
    return str(manifest.loc[manifest["sample"] == sample, "name"].iloc[0])
