"""The cost of spatiotemporal disentanglement as frames and cells grow (teacher study 2024, section 3.2 and Table 5).

Multiply-adds of the attention maps over cells and over frames, and the measured time of both for 16 clips on this machine,
without the layers around them, which are the same in every mode. The paper gives one formula for the scheme that it rejects
(all pairs of frames) and for the one that it chooses.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path

from fer_cli.analysis.outcome import TRAINS, cache_result, note_none, select_runs
from fer_cli.blocks import Block, Number, Table
from fer_cli.config import Compute
from fer_cli.plan import Plan
from fer_cli.provenance import processor_name

VERSION = 1
CLIPS, WIDTH = 16, 32
"""Clips at once, and channels of queries and keys: those of 128 channels, the paper's size."""
SIZES = ((16, 9), (64, 9), (32, 49))
"""Frames and cells."""
MODES = {
    "avg_tanh": "average of frames, tanh",
    "avg_softmax": "average of frames, softmax",
    "frame": "each frame",
    "all_pairs": "all pairs, factored",
    "all_pairs_naive": "all pairs, one by one",
}
PASSES = 3


def mixing_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return a table of multiply-adds and milliseconds of each mode's maps at a few sizes."""
    runs = select_runs(plan)
    if not runs:
        return [note_none(plan, "mixing", TRAINS)]
    here = {"processor": processor_name(), "threads": compute.threads}
    found = cache_result(runs[0][1], "mixing", VERSION, here, partial(measure_costs, compute.threads))
    rows = []
    for mode, words in MODES.items():
        cells: list[Number | str] = []
        for adds, seconds in found[mode]:
            cells += [Number(adds, unit="count"), Number(1000 * seconds, unit="plain", digits=1)]
        rows.append((f"{words} (`{mode}`)", cells))
    columns = [f"{frames} frames, {places} cells: {what}" for frames, places in SIZES for what in ("multiply-adds", "ms")]
    notes = [
        f"maps over cells and over frames, queries of {WIDTH} channels; multiply-adds of one clip; ms for {CLIPS} clips, "
        f"median of {PASSES}, on {processor_name()}, {compute.threads} threads",
        "the sum over all pairs of frames factors into two sums, so its cost need not grow with their number",
    ]
    return [Table("Cost of the maps of spatiotemporal disentanglement", columns, rows, notes)]


def measure_costs(threads: int) -> dict[str, list[tuple[int, float]]]:
    """Return the multiply-adds and seconds of each mode's maps at each of SIZES."""
    from fer_cli.models.disentangle import map_multiply_adds

    return {
        mode: [
            (map_multiply_adds(mode, frames, places, WIDTH), time_maps(mode, frames, places, threads))
            for frames, places in SIZES
        ]
        for mode in MODES
    }


def time_maps(mode: str, frames: int, places: int, threads: int) -> float:
    """Return the median seconds of a mode's maps over ``places`` cells and over ``frames`` frames, for CLIPS clips."""
    import torch

    from fer_cli.models.disentangle import attention_map

    torch.set_num_threads(threads)
    queries = torch.rand(CLIPS, frames, places, WIDTH, generator=torch.Generator().manual_seed(0))
    turned, seconds = queries.transpose(1, 2), []
    with torch.inference_mode():
        for _ in range(PASSES + 1):
            began = time.perf_counter()
            attention_map(queries, queries, mode)
            attention_map(turned, turned, mode)
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])
