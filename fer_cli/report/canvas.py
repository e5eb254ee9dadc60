"""Shared by all figures of a study: arm styles, and labels of arms, grid points and seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fer_cli.drawing import class_styles, format_seeds
from fer_cli.plan import Plan
from fer_cli.report.collect import Cell, Cells, Point
from fer_cli.report.doubts import find_leak
from fer_cli.report.tables import factor_label

FACTORS = {
    "data.label_noise": "label noise (share of training labels)",
    "data.max_images": "training images (at most)",
    "train.epochs": "training epochs",
    "corrupt.occlusion": "occlusion (share of the image area)",
    "corrupt.light": "brightness (factor)",
    "corrupt.blur": "blur (sd in pixels)",
    "corrupt.downscale": "downscaling (factor)",
    "corrupt.noise": "image noise (sd, share of the range)",
    "corrupt.jpeg": "JPEG quality",
}
"""Grid factor -> axis label, whose text before the bracket is the factor's name. Others use their dotted name."""


def arm_styles(plan: Plan) -> dict[str, tuple[str, str]]:
    """Return each arm's colour and marker by its position in the study, the same in all figures."""
    return class_styles(list(plan.study.arms))


def label_cell(cell: Cell) -> str:
    """Return the label of a cell's arm in figures, marked where tables mark the cell as leaky."""
    return f"{cell.arm} (leaky)" if find_leak(cell) else cell.arm


def label_arms(plan: Plan, cells: Cells) -> dict[str, str]:
    """Return the label of each arm in figures, marked where tables mark all its cells that have results."""
    own = {arm: [cell for (name, _), cell in cells.items() if name == arm and cell.results] for arm in plan.study.arms}
    return {arm: f"{arm} (leaky)" if some and all(map(find_leak, some)) else arm for arm, some in own.items()}


def factor_name(factor: str) -> str:
    """Return the name of a grid factor: ``corrupt.noise`` -> ``image noise``."""
    return FACTORS.get(factor, factor_label(factor)).split(" (")[0]


def point_label(at: Point) -> str:
    """Return the label of a grid point, e.g. ``label noise 0.2``."""
    return ", ".join(f"{factor_name(key)} {value}" for key, value in at)


def shared_factors(points: Sequence[Point]) -> Point:
    """Return the factor values that all points share."""
    return tuple(pair for pair in points[0] if all(pair in point for point in points))


def footer(plan: Plan, cells: Iterable[Cell], *more: str) -> list[str]:
    """Return the grey lines below a figure: study, data set, fingerprint and seeds."""
    used = list(cells)
    prints = sorted({result.fingerprint for cell in used for result in cell.results.values()})
    seeds = sorted({seed for cell in used for seed in cell.results})
    rest = f"data set {plan.data}, fingerprint {' and '.join(prints)}; {format_seeds(seeds)}"
    return [f"{plan.title}; {rest}", "; ".join(more)]


def figure_file(folder: Path, stem: str, number: int) -> Path:
    """Return the path of a numbered figure, from 1: ``curves.png``, ``curves-2.png``."""
    return folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
