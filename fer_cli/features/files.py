"""Read and write feature files, Parquet or ``.npz``: sample ids, one block per extractor, scaling and provenance.

Parquet has a column ``sample`` and one column of fixed-length float32 lists per block; scaling and provenance are JSON in
the schema metadata, under ``fer``. An ``.npz`` has the arrays ``samples``, one per block, and ``fer``, a JSON string. Both
have checksums and no timestamps, so equal features give equal bytes. Nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from fer_cli.errors import DataError
from fer_cli.features.extractor import ROWS
from fer_cli.features.fuse import Features, Scaling
from fer_cli.places import open_regular, whole_file

KEY = "fer"
SUFFIXES = (".parquet", ".npz")
TAKEN = ("sample", "samples", KEY)
DAMAGED = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError),
    *(RuntimeError, SyntaxError, TokenError, zipfile.BadZipFile),  # NotImplementedError is a RuntimeError
)
"""Exceptions that reading a damaged file may raise."""
AGAIN = "rewrite it with fer extract-features"


def write_features(path: Path, features: Features) -> None:
    """Write scaled features in the format of the suffix; raises DataError for other suffixes or a reserved block name."""
    check_suffix(path)
    if clash := [name for name in features.parts if name in TAKEN]:
        raise DataError(f"a block cannot be named '{clash[0]}'")
    with whole_file(path) as draft:
        (write_parquet if path.suffix == ".parquet" else write_npz)(draft, features)


def read_features(path: Path, fingerprint: str | None = None) -> Features:
    """Return the features in a file; raises DataError if it is missing, damaged or of data other than ``fingerprint``."""
    check_suffix(path)
    if not path.is_file():
        raise DataError(f"{path}: no such features file; write it with: fer extract-features --out {path}")
    try:
        samples, parts, metadata = (read_parquet if path.suffix == ".parquet" else read_npz)(path)
        low, span = (np.array(metadata["scaling"][name], np.float64) for name in ("low", "span"))
        scaling = Scaling(metadata["scaling"]["method"], low, span)
        features = Features(samples, parts, scaling, metadata["provenance"], metadata["empty"], scaled=True)
        if {name: part.shape[1] for name, part in parts.items()} != metadata["blocks"]:
            raise ValueError("blocks are missing")
    except DAMAGED as error:
        why = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:120]
        raise DataError(f"{path}: damaged or not a feature file ({why}); {AGAIN}") from None
    theirs = features.provenance.get("data", {}).get("fingerprint")
    if fingerprint is not None and theirs != fingerprint:
        raise DataError(f"{path}: features of different data (fingerprint {theirs}, not {fingerprint})")
    return features


def check_suffix(path: Path) -> None:
    """Raise DataError for an unsupported suffix."""
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: feature files must end in {' or '.join(SUFFIXES)}")


def check_target(path: Path) -> None:
    """Raise DataError for an unsupported suffix, or if anything but a feature file of ours would be overwritten."""
    check_suffix(path)
    if os.path.lexists(path) and not is_features(path):
        raise DataError(f"{path}: exists and is not a feature file; move it away, or choose another --out")


def is_features(path: Path) -> bool:
    """Return whether a file has the metadata of our features, whose blocks are not read."""
    import pyarrow.parquet as pq

    try:
        with open_regular(path) as stream:
            if path.suffix == ".npz":
                with zipfile.ZipFile(stream) as archive:
                    return f"{KEY}.npy" in archive.namelist()
            return KEY.encode() in (pq.read_schema(stream).metadata or {})
    except DAMAGED:  # pyarrow's errors are among them
        return False


def dump_metadata(features: Features) -> str:
    """Return scaling, provenance, empty counts and block sizes as JSON, floats at full precision."""
    scaling = features.scaling
    fitted = {"method": scaling.method, "low": scaling.low.tolist(), "span": scaling.span.tolist()}
    blocks = {name: part.shape[1] for name, part in features.parts.items()}
    metadata = {"provenance": features.provenance, "empty": features.empty, "scaling": fitted, "blocks": blocks}
    return json.dumps(metadata, sort_keys=True)


def write_parquet(path: Path, features: Features) -> None:
    """Write a Parquet file with 1024 images per row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = {name: pa.list_(pa.float32(), part.shape[1]) for name, part in features.parts.items()}
    schema = pa.schema([("sample", pa.string()), *lists.items()], metadata={KEY: dump_metadata(features)})
    how: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "write_page_checksum": True}
    with path.open("wb") as stream, pq.ParquetWriter(stream, schema, **how) as writer:  # by name, it takes UTF-8 alone
        for start in range(0, len(features.samples), ROWS):
            columns = [pa.array(features.samples[start : start + ROWS].tolist(), pa.string())]
            for name, kind in lists.items():
                flat = pa.array(features.block(name, start, start + ROWS).ravel())
                columns.append(pa.FixedSizeListArray.from_arrays(flat, type=kind))
            writer.write_batch(pa.record_batch(columns, schema=schema))


def read_parquet(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """Return sample ids (N,), blocks (N, d) float32 and the metadata."""
    import pyarrow.parquet as pq

    with path.open("rb") as stream:
        file = pq.ParquetFile(stream, page_checksum_verification=True)
        if KEY.encode() not in (found := file.schema_arrow.metadata or {}):
            raise ValueError("not written by fer")
        table = file.read(use_threads=False)  # threads at work when an error ends the process abort it
    metadata = json.loads(found[KEY.encode()])
    parts = {}
    for name in table.column_names[1:]:
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table[name].chunks])
        parts[name] = flat.reshape(-1, table.schema.field(name).type.list_size)
    return np.array(table["sample"].to_pylist(), str), parts, metadata


def write_npz(path: Path, features: Features) -> None:
    """Write an uncompressed ``.npz`` file like ``numpy.savez``, with a fixed date."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in (("samples", features.samples), (KEY, np.array(dump_metadata(features)))):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue())
        for name, part in features.parts.items():
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(features.samples), part.shape[1])}
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                for start in range(0, len(features.samples), ROWS):
                    stream.write(features.block(name, start, start + ROWS).astype("<f4").data)


def read_npz(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """Return sample ids (N,), blocks (N, d) float32 and the metadata."""
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        if KEY not in stored:
            raise ValueError("not written by fer")
        arrays = dict(stored)
    return arrays.pop("samples"), arrays, json.loads(str(arrays.pop(KEY)))
