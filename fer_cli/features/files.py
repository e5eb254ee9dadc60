"""Features in one file, Parquet or ``.npz``: sample ids, one block per extractor, the scaling and where it all came from.

Parquet has a column ``sample`` and a column of float32 lists of fixed length per block; scaling and provenance are JSON in
the schema's metadata, under ``fer``. An ``.npz`` has the arrays ``samples``, one per block, and ``fer``, a JSON string. Both
carry checksums, and are written a few rows at a time without a clock: equal features give equal bytes. Nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from fer_cli.errors import DataError
from fer_cli.features.extractor import ROWS
from fer_cli.features.fuse import Features, Scaling
from fer_cli.places import whole_file

KEY = "fer"
SUFFIXES = (".parquet", ".npz")
TAKEN = ("sample", "samples", KEY)
DAMAGED = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError),
    *(RuntimeError, SyntaxError, TokenError, zipfile.BadZipFile),  # NotImplementedError is a RuntimeError
)
"""What a file that is not whole may raise where it is read."""
AGAIN = "write it again with fer extract-features"


def write_features(path: Path, features: Features) -> None:
    """Write scaled features; the name's ending says how. Raises DataError for another ending or a block's name in use."""
    check_suffix(path)
    if clash := [name for name in features.parts if name in TAKEN]:
        raise DataError(f"a block cannot be named '{clash[0]}'")
    with whole_file(path) as draft:
        (write_parquet if path.suffix == ".parquet" else write_npz)(draft, features)


def read_features(path: Path, fingerprint: str | None = None) -> Features:
    """Return the features in a file, in memory.

    Raises DataError where the file is missing, no features file or not whole, and where ``fingerprint`` is given and the
    features are of other data.
    """
    check_suffix(path)
    if not path.is_file():
        raise DataError(f"{path}: no such features file; write it with: fer extract-features --out {path}")
    try:
        samples, parts, about = (read_parquet if path.suffix == ".parquet" else read_npz)(path)
        low, span = (np.array(about["scaling"][name], np.float64) for name in ("low", "span"))
        scaling = Scaling(about["scaling"]["method"], low, span)
        features = Features(samples, parts, scaling, about["provenance"], about["empty"], scaled=True)
        if {name: part.shape[1] for name, part in parts.items()} != about["blocks"]:
            raise ValueError("blocks are missing")
    except DAMAGED as error:
        raise DataError(
            f"{path}: not a features file, or not whole ({' '.join(str(error).split())[:120]}); {AGAIN}"
        ) from None
    theirs = features.provenance.get("data", {}).get("fingerprint")
    if fingerprint is not None and theirs != fingerprint:
        raise DataError(f"{path}: features of other data (fingerprint {theirs}, not {fingerprint})")
    return features


def check_suffix(path: Path) -> None:
    """Raise DataError where a name does not say which kind of file it is."""
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: a features file ends in {' or '.join(SUFFIXES)}")


def about(features: Features) -> str:
    """Return what is kept beside the values, as JSON; numbers keep every digit."""
    scaling = features.scaling
    fitted = {"method": scaling.method, "low": scaling.low.tolist(), "span": scaling.span.tolist()}
    blocks = {name: part.shape[1] for name, part in features.parts.items()}
    kept = {"provenance": features.provenance, "empty": features.empty, "scaling": fitted, "blocks": blocks}
    return json.dumps(kept, sort_keys=True)


def starts(features: Features) -> Iterator[int]:
    """Yield where each group of rows begins."""
    yield from range(0, len(features.samples), ROWS)


def write_parquet(path: Path, features: Features) -> None:
    """Write a Parquet file with a row group per 1024 images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = {name: pa.list_(pa.float32(), part.shape[1]) for name, part in features.parts.items()}
    schema = pa.schema([("sample", pa.string()), *lists.items()], metadata={KEY: about(features)})
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, write_page_checksum=True) as writer:
        for start in starts(features):
            columns = [pa.array(features.samples[start : start + ROWS].tolist(), pa.string())]
            for name, kind in lists.items():
                flat = pa.array(features.block(name, start, start + ROWS).ravel())
                columns.append(pa.FixedSizeListArray.from_arrays(flat, type=kind))
            writer.write_batch(pa.record_batch(columns, schema=schema))


def read_parquet(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """Return sample ids (N,), blocks (N, d) float32 and what is kept beside them."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, page_checksum_verification=True)
    kept = json.loads((table.schema.metadata or {})[KEY.encode()])
    parts = {}
    for name in table.column_names[1:]:
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table[name].chunks])
        parts[name] = flat.reshape(-1, table.schema.field(name).type.list_size)
    return np.array(table["sample"].to_pylist(), str), parts, kept


def write_npz(path: Path, features: Features) -> None:
    """Write an uncompressed ``.npz`` file, as ``numpy.savez`` would, with a fixed date."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in (("samples", features.samples), (KEY, np.array(about(features)))):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue())
        for name, part in features.parts.items():
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(features.samples), part.shape[1])}
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                for start in starts(features):
                    stream.write(features.block(name, start, start + ROWS).astype("<f4").data)


def read_npz(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """Return sample ids (N,), blocks (N, d) float32 and what is kept beside them."""
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        arrays = dict(stored)
    samples, kept = arrays.pop("samples"), json.loads(str(arrays.pop(KEY)))
    return samples, arrays, kept
