"""How fast and how large the networks of a study are at inference (Aly 2023, Table 5; experiment D11).

One finished network per arm is timed in its own process: three warm-up passes, then the median of five, with batches of 1
and 16 images. Seconds for 1,492 images (the paper's CK+) and 2,920 (its RAF-DB) are those of
batches of sixteen. Peak memory is that of the whole process. The paper's figures are of an unnamed machine.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from fer_cli.analysis.outcome import TRAINS, cache_result, note_clips, note_none, select_runs, takes_clips
from fer_cli.blocks import Block, Number, Table
from fer_cli.config import Compute
from fer_cli.plan import Item, Plan
from fer_cli.provenance import peak_memory, processor_name

VERSION = 2
COUNTS = (1492, 2920)
BATCHES = (1, 16)
WARM_UP, PASSES, IMAGES = 3, 5, 64
MIB = 2**20


def efficiency_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return a table of speed, memory and size of each arm's network on still images, on this machine."""
    selected = select_runs(plan)
    if not selected:
        return [note_none(plan, "efficiency", TRAINS)]
    omitted = note_clips("efficiency", [group for group, _ in selected])
    runs = [(group, item) for group, item in selected if not takes_clips(group)]
    if not runs:
        return omitted
    here = {"processor": processor_name(), "threads": compute.threads}
    rows = []
    for group, item in runs:
        found = cache_result(item, "efficiency", VERSION, here, partial(time_apart, item, compute))
        single, batch = found["seconds"]["1"], found["seconds"]["16"]
        numbers = [Number(1 / single, unit="plain", digits=1), Number(1 / batch, unit="plain", digits=1)]
        numbers += [Number(1000 * single, unit="plain", digits=1)]
        numbers += [Number(count * batch, unit="plain", digits=1) for count in COUNTS]
        share = 100 * found["peak"] / found["memory"]
        numbers += [Number(found["peak"] / MIB, unit="count"), Number(share, unit="plain", digits=1)]
        rows.append((group.label, [*numbers, Number(found["parameters"], unit="count")]))
    columns = ["images/s, batch 1", "images/s, batch 16", "ms per image, batch 1"]
    columns += [f"s for {count:,} images" for count in COUNTS]
    side = runs[0][1].run.config.data.image_size
    notes = [
        f"images of {side} px; medians of {PASSES} passes over {IMAGES} images after {WARM_UP}; {here['processor']}, "
        f"{compute.threads} threads, fp32; seconds at batch 16; peak memory of the process, also as % of this machine's",
        "published (Aly 2023, Table 5, other machine and 224 px): proposed 61 s for 1,492 images of CK+, 115 s for 2,920 of "
        "RAF-DB; SCN 522 s there",
    ]
    columns += ["peak MiB", "peak %", "trainable parameters"]
    return [Table("Efficiency at inference", columns, rows, notes), *omitted]


def time_apart(item: Item, compute: Compute) -> dict[str, Any]:
    """Return what ``time_network`` measures, in a process that has done nothing else."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(time_network, item, compute).result()


def time_network(item: Item, compute: Compute) -> dict[str, Any]:
    """Return seconds per image by batch size, peak and total memory in bytes, and parameters of a run's network."""
    import torch

    from fer_cli.analysis.reopen import reopen
    from fer_cli.models.counts import count_parameters

    run = reopen(item, compute.model_copy(update={"precision": "fp32", "device": "cpu"}))
    config = item.run.config
    images = torch.rand(IMAGES, config.model.channels, config.data.image_size, config.data.image_size)
    seconds = {}
    with torch.inference_mode():
        for size in BATCHES:
            taken = []
            for _ in range(WARM_UP + PASSES):
                began = time.perf_counter()
                for start in range(0, IMAGES, size):
                    run.network(images[start : start + size])
                taken.append((time.perf_counter() - began) / IMAGES)
            seconds[str(size)] = statistics.median(taken[WARM_UP:])
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"seconds": seconds, "peak": peak_memory(), "memory": memory, "parameters": count_parameters(run.network)}
