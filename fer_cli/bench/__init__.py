"""BENCHMARKS: how fast the suite is here, beside plain code, measured in one run.

Functions take compute settings, whose data root holds a small set of drawn faces, and a number of repeats, and return rows.
Ratios are of medians that take turns; nothing else should be at work on the machine.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fer_cli.bench.timing import Row
from fer_cli.blocks import Cell, Note, Number, Table
from fer_cli.config import Compute, load
from fer_cli.errors import FerError, nearest
from fer_cli.places import write_text

BENCHMARKS = {
    "start": "fer_cli.bench.suite:time_start",
    "training": "fer_cli.bench.networks:time_training",
    "inference": "fer_cli.bench.networks:time_inference",
    "features": "fer_cli.bench.features:time_features",
    "precision": "fer_cli.bench.precision:compare_precisions",
    "data": "fer_cli.bench.suite:time_data",
    "runs": "fer_cli.bench.suite:time_runs",
    "sweep": "fer_cli.bench.suite:time_sweep",
}
"""Name -> function of compute settings and repeats."""


def run_benchmarks(
    names: Iterable[str],
    compute: Compute,
    repeats: int,
    announce: Callable[[str], None] = lambda _: None,
    keep: Callable[[dict[str, Any]], object] = lambda _: None,
) -> dict[str, Any]:
    """Return the rows of each benchmark and a description of the machine; raises FerError for an unknown name.

    ``keep`` is called with all there is so far after each benchmark, so that a later one that fails loses nothing.
    """
    chosen = list(names) or list(BENCHMARKS)
    for name in chosen:
        if name not in BENCHMARKS:
            raise FerError(f"--only: no benchmark '{name}'{nearest(name, BENCHMARKS)}; known: {', '.join(BENCHMARKS)}")
    content: dict[str, Any] = {"version": 1, "date": time.strftime("%Y-%m-%d"), "machine": describe_machine(compute)}
    rows: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        here = compute.model_copy(update={"data_root": root / "data", "results": root / "results"})
        if set(chosen) & {"training", "inference", "features", "sweep"}:
            announce("faces")
            build_faces(here.data_root)
        for name in chosen:
            announce(name)
            found: list[Row] = load(BENCHMARKS[name])(here, repeats)
            rows[name] = [row.content() for row in found]
            keep({**content, "rows": rows})
    return {**content, "rows": rows}


def build_faces(root: Path) -> None:
    """Draw the faces that networks and features are timed on."""
    from fer_cli.bench.timing import call_fer

    drawn = ["--images", "320", "--subjects", "20", "--size", "48", "--jobs", "2"]
    call_fer(["data", "build", "synth-basic", *drawn, "--data-root", str(root)])


def describe_machine(compute: Compute) -> dict[str, Any]:
    """Return what figures depend on: processor, cores, instructions, precision, threads and library versions."""
    from fer_cli.learning.compute import resolve_compute
    from fer_cli.provenance import processor_name, provenance

    resolved = resolve_compute(compute).record()
    del resolved["processor"]
    made = provenance()
    code = {key: made[key] for key in ("fer", "commit", "dirty", "python", "libraries")}
    return {"processor": processor_name(), "cores": os.cpu_count(), "system": platform.system(), **resolved, **code}


def make_table(name: str, rows: list[dict[str, Any]]) -> Table:
    """Return the table of one benchmark."""
    lines: list[tuple[str, list[Cell]]] = []
    for row in rows:
        digits = 0 if (row["ours"] or 0) >= 100 else 2
        numbers = [Number(row[key], unit="plain", digits=digits) for key in ("ours", "plain")]
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        repeats = f"{row['repeats']}" + ("" if row["spread"] is None else f" (max/min {row['spread']:.2f})")
        plain: Cell = numbers[1] if row["plain"] is not None else ""
        lines.append((row["case"], [numbers[0], row["unit"], plain, ratio, row["against"], repeats, row["note"]]))
    return Table(name, ["fer", "unit", "plain", "ratio", "against", "repeats", "note"], lines)


def write_benchmarks(content: dict[str, Any], folder: Path) -> tuple[list[Path], str]:
    """Write ``bench.json``, ``bench.md`` and ``bench.png`` and return the files and the Markdown."""
    from fer_cli.bench.picture import draw_ratios
    from fer_cli.report.render import Report, render_markdown

    machine = content["machine"]
    facts = [f"{key}: {machine[key]}" for key in ("processor", "cores", "instructions", "precision", "threads", "commit")]
    meaning = "images/s: larger is better; s, ms/run and MiB: smaller is better; ratio: times better than the plain code"
    notes = [Note(f"{content['date']}; {', '.join(facts)}", head=True), Note(f"{meaning}; medians", head=True)]
    tables = [make_table(name, rows) for name, rows in content["rows"].items()]
    text = render_markdown(Report("Benchmarks", [*notes, *tables]))
    files = [folder / "bench.json", folder / "bench.md"]
    write_text(files[0], json.dumps(content, indent=1) + "\n")
    write_text(files[1], text)
    return [*files, *draw_ratios(content, folder / "bench.png")], text
