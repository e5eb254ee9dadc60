"""What all pictures share: colours that colour-blind readers can tell apart, and how a PNG is written."""

from __future__ import annotations

import warnings
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure

from fer_cli.places import whole_file

rcParams["text.parse_math"] = False  # a dollar in a name is no formula

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
"""Okabe and Ito (2008), without their yellow, which is too pale on white, and with a dark red in its place."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Fewer than colours: where colours come round again, the markers differ."""
DPI = 130


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG whole or not at all and return its path."""
    with whole_file(path) as draft, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in another script shows as boxes
        figure.savefig(draft, format="png", dpi=DPI)
    return path
