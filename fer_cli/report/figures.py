"""The figures of a study: curves by epoch, confusion matrices, scores by level."""

from __future__ import annotations

import re
from pathlib import Path

from fer_cli.plan import Plan
from fer_cli.report.collect import Cells
from fer_cli.report.confusion import draw_confusions
from fer_cli.report.curves import draw_curves
from fer_cli.report.levels import draw_levels

OURS = re.compile(r"(curves|confusion)(-\d+)?\.png|levels\.png|curves\.csv|embedding\.png|maps-.*\.png")


def draw_study(plan: Plan, cells: Cells, folder: Path) -> list[Path]:
    """Write a study's figures into ``folder``, remove outdated ones (also of analyses), and return the files."""
    files = [*draw_curves(plan, cells, folder), *draw_confusions(plan, cells, folder), *draw_levels(plan, cells, folder)]
    for path in folder.iterdir() if folder.is_dir() else []:
        if OURS.fullmatch(path.name) and path not in files:
            path.unlink()
    return files
