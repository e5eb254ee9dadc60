"""The input of report sections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fer_cli.config import Compute
from fer_cli.data.kept import About
from fer_cli.plan import Plan
from fer_cli.report.collect import Cells
from fer_cli.report.doubts import Weak


@dataclass(frozen=True)
class Material:
    """A plan, its results by cell, and other inputs of a section."""

    study: str  # name or file of the study, as given by the user
    plan: Plan
    cells: Cells
    weak: Weak
    describe: About  # returns the stored description of a data set
    compute: Compute
    folder: Path  # folder of the study's figures
    figures: bool = False  # whether to draw figures and analyse networks
    announce: Callable[[str], None] = lambda _: None  # called with the name of each slow step before it starts
