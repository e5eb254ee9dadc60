"""The figures of a study: curves by epoch, confusion matrices, scores by level, differences, mean ranks."""

from __future__ import annotations

import re
from pathlib import Path

from fer_cli.formats import figure_files
from fer_cli.report.collect import Cells
from fer_cli.report.confusion import draw_confusions
from fer_cli.report.curves import draw_curves
from fer_cli.report.differences import draw_differences
from fer_cli.report.levels import draw_levels
from fer_cli.report.ranks import draw_ranks
from fer_cli.report.sides import Scales

OURS = re.compile(r"((curves|confusion|differences)(-\d+)?|levels|ranks|embedding|maps-.*)\.(png|pdf|svg)|curves\.csv")


def draw_study(scales: Scales, cells: Cells, folder: Path) -> list[Path]:
    """Write a study's figures into ``folder``, remove outdated ones (also of analyses), and return the files."""
    here = (scales.plan, cells, folder)
    files = [*draw_curves(*here), *draw_confusions(*here), *draw_levels(*here)]
    files += [*draw_differences(scales, cells, folder), *draw_ranks(scales, cells, folder)]
    kept = [file for path in files for file in figure_files(path)]
    for path in folder.iterdir() if folder.is_dir() else []:
        if OURS.fullmatch(path.name) and path not in kept:
            path.unlink()
    return files
