"""The input of report sections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fer_cli.config import Compute
from fer_cli.data.kept import About
from fer_cli.judge import Judgement
from fer_cli.plan import Plan
from fer_cli.report.answer import judge_plan
from fer_cli.report.collect import Cells
from fer_cli.report.compared import Compared, compare_arms
from fer_cli.report.doubts import Doubts
from fer_cli.report.sides import Scales


@dataclass(frozen=True)
class Material:
    """A plan, its results by cell, and other inputs of a section."""

    study: str  # name or file of the study, as given by the user
    plan: Plan
    cells: Cells
    doubts: Doubts
    describe: About  # returns the stored description of a data set
    compute: Compute
    folder: Path  # folder of the study's figures
    figures: bool = False  # whether to draw figures and analyse networks
    announce: Callable[[str], None] = lambda _: None  # called with the name of each slow step before it starts

    @cached_property
    def scales(self) -> Scales:
        """What weighs the cells."""
        return Scales(self.plan, self.doubts, self.compute)

    @cached_property
    def judgements(self) -> list[Judgement]:
        """The judged claims of the study."""
        return judge_plan(self.cells, self.scales)

    @cached_property
    def compared(self) -> list[Compared]:
        """The tested differences of the first metric."""
        return compare_arms(self.cells, self.scales, self.plan.study.report.metrics[0], tested=True)
