"""Attention maps of a few faces, as columns of a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fer_cli.analysis.reopen import Reopened, stages_of, watch
from fer_cli.models.gates import Gate, watch_gates

SPAN = 0.1  # shortest colour scale of gates, which are in [0, 1]
WHEN = ("in", "out")


@dataclass(frozen=True)
class Column:
    """One map per face, on a shared scale; ``overlay``: the maps are gates, drawn over the face."""

    title: str
    values: np.ndarray  # (N, h, w) float32
    low: float
    high: float
    overlay: bool


def select_faces(labels: list[int], most: int) -> list[int]:
    """Return positions of at most ``most`` images, ordered by class: the first of each class, then the second."""
    ranked = []
    counts: dict[int, int] = {}
    for place, label in enumerate(labels):
        counts[label] = counts.get(label, 0) + 1
        ranked.append((counts[label], label, place))
    return [place for _, label, place in sorted(sorted(ranked)[:most], key=lambda one: (one[1], one[0]))]


@torch.no_grad()
def columns_of(run: Reopened, images: Tensor) -> list[Column]:
    """Return each stage's attention maps of images (N, 1, C, S, S) uint8: spatial gates, else input and output."""
    blocks: list[tuple[int, nn.Module]] = []
    for number, stage in enumerate(stages_of(run.network), start=1):
        found = [module for name, module in stage.named_modules() if name.rpartition(".")[2] == "attention"]
        blocks += [(number, found[-1])] if found else []
    names = {id(module): name for name, module in run.network.named_modules() if isinstance(module, Gate)}
    with watch_gates(run.network) as gates, watch([block for _, block in blocks]) as passed:
        run.network.pooled(next(run.batches(images)))
    columns = []
    for (number, block), (before, after) in zip(blocks, passed, strict=True):
        values = [gates[names[id(module)]] for module in block.modules() if isinstance(module, Gate)]
        placed = [gate for gate in values if gate.shape[2:] != (1, 1)]
        if placed:
            columns.append(gate_column(f"stage {number}", placed[-1]))
        else:
            columns += activity_columns(f"stage {number}", before, after)
    return columns


def gate_column(title: str, gate: Tensor) -> Column:
    """Return the mean over groups of gates (N, G, h, w), on a scale of at least 0.1; the title states their range."""
    values = gate.float().mean(1).cpu().numpy()
    low, high = float(values.min()), float(values.max())
    wider = max(0.0, SPAN - (high - low)) / 2
    title = f"{title}\n{low:.3f}–{high:.3f}".replace("0.", ".")
    return Column(title, values, max(0.0, low - wider), min(1.0, high + wider), overlay=True)


def activity_columns(title: str, before: Tensor, after: Tensor) -> list[Column]:
    """Return mean |x| over channels of a block's input and output (N, C, h, w), both scaled to the input's 98 % quantile."""
    maps = [each.float().abs().mean(1).cpu().numpy() for each in (before, after)]
    high = max(float(np.quantile(maps[0], 0.98)), 1e-6)
    return [Column(f"{title}\n{when}", each, 0.0, high, overlay=False) for when, each in zip(WHEN, maps, strict=True)]
