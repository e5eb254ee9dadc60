"""What each run of a report answered, small enough to publish beside its table: ``results/predictions/<table>.parquet``.

Every score of the table's CSV can be computed from it, without the run folders, by the names of labels.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

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
"""Key of the file's metadata: run id -> its config and the names of its classes, as JSON."""


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
    about = {
        name: {"classes": result.data.classes, "config": result.config.model_dump(mode="json")}
        for name, result in sorted(runs.items())
    }
    return pa.concat_tables(tables, promote_options="default").replace_schema_metadata({RUNS: json.dumps(about).encode()})


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
    import pyarrow.parquet as pq

    path = results / FOLDER / f"{stem}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = gather_answers(results, cells)
    with whole_file(path) as draft:
        pq.write_table(table, draft, compression="zstd", compression_level=19)
    return path
