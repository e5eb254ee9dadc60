"""What the sections of a report are made from, gathered once."""

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
    """A plan, its results by cell, and what else a section may need."""

    study: str
    """Name or file of the study, as it was given."""
    plan: Plan
    cells: Cells
    weak: Weak
    about: About
    """Returns what is known of a data set."""
    compute: Compute
    folder: Path
    """Where the study's figures go."""
    figures: bool = False
    """Whether figures are drawn and networks analysed."""
    announce: Callable[[str], None] = lambda _: None
    """Called with the name of what may take a while before it begins."""
