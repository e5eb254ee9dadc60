"""What each run of a report answered, small enough to publish beside its table: ``results/predictions/<table>.parquet``.

Every score of the table's CSV can be computed from it, without the run folders, by the names of labels.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_cli.escape import one_line
from fer_cli.outputs import damage_error
from fer_cli.places import whole_file
from fer_cli.runs import RunFolder

if TYPE_CHECKING:
    import pyarrow as pa

    from fer_cli.report.collect import Cells

FOLDER = "predictions"
COLUMNS = ("part", "sample", "label", "predicted", "face")
RUNS = b"fer.runs"
"""Key of the file's metadata, JSON: ``shared``, the settings of all runs, and ``runs``, run id -> its others, both by dotted
name; ``classes``, the names of the classes, counts as a setting. See ``read_runs``."""


def gather_answers(results: Path, cells: Cells) -> pa.Table:
    """Return the answers of every run of a report outside its validation part: text columns ``run`` and ``COLUMNS``.

    ``face`` (bool, whether a face was detected) is there only where the runs have it. Raises DamagedError for predictions
    that cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    runs = {one.run_id: one for cell in cells.values() for one in cell.ordered}
    tables = []
    for name, result in sorted(runs.items()):
        read = read_answers(RunFolder(results, name).file(result.predictions))
        read = read.filter(pc.not_equal(read["part"], "val"))
        tables.append(read.add_column(0, "run", pa.array([name] * len(read), pa.string())))
    about = {name: {"classes": result.data.classes, **result.config.flat()} for name, result in sorted(runs.items())}
    return pa.concat_tables(tables, promote_options="default").replace_schema_metadata({RUNS: pack_runs(about)})


def pack_runs(about: dict[str, dict[str, Any]]) -> bytes:
    """Return settings by run as ``RUNS`` has them."""
    first = next(iter(about.values()))
    texts = [{key: json.dumps(value) for key, value in one.items()} for one in about.values()]  # 1 is not true
    shared = {key: value for key, value in first.items() if all(one.get(key) == texts[0][key] for one in texts)}
    own = {name: {key: value for key, value in one.items() if key not in shared} for name, one in about.items()}
    return json.dumps({"shared": shared, "runs": own}).encode()


def read_runs(path: Path) -> dict[str, dict[str, Any]]:
    """Return the settings of each run in a file of answers by dotted name, and ``classes``; empty groups are left out."""
    import pyarrow.parquet as pq

    content = json.loads(pq.read_metadata(path).metadata[RUNS])
    return {name: content["shared"] | own for name, own in content["runs"].items()}


def read_answers(path: Path) -> pa.Table:
    """Return the ``COLUMNS`` of a run's predictions, without probabilities; raises DamagedError if they cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        there = pq.read_schema(path).names
        return pq.read_table(path, columns=[name for name in COLUMNS if name in there]).replace_schema_metadata()
    except (OSError, pa.ArrowException) as error:
        raise damage_error(path, one_line(str(error))) from None


def write_answers(results: Path, stem: str, cells: Cells) -> Path:
    """Write the answers of a report's runs under a results folder and return the path."""
    path = results / FOLDER / f"{stem}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft:
        write_table(gather_answers(results, cells), draft)
    return path


def write_table(table: pa.Table, path: Path) -> None:
    """Write answers with their metadata, once: a stored Arrow schema would repeat it."""
    import pyarrow.parquet as pq

    packed = {"compression": "zstd", "compression_level": 19, "store_schema": False}
    with pq.ParquetWriter(path, table.schema.remove_metadata(), **packed) as writer:
        writer.add_key_value_metadata(table.schema.metadata)
        writer.write_table(table.replace_schema_metadata())
