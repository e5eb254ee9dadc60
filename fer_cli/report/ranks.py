"""Critical-difference diagram (Demšar 2006, Figure 1): mean ranks of arms over independent blocks (``stats.friedman``).

A block is a seed; its score is the mean over grid points. Drawn only where blocks are independent and there are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from fer_cli.config import METRICS
from fer_cli.drawing import COLUMN, PALETTE, SMALL, Words, page, save, wrap_text
from fer_cli.plan import Plan
from fer_cli.report.canvas import footer, label_arms
from fer_cli.report.collect import Cells
from fer_cli.report.sides import Scales
from fer_cli.stats import NotTestable, Ranks, rank_arms

STEP = 0.17
"""Inches from one arm's line to the next."""
LINE = 0.125
"""Inches of a label's further lines."""
ALIKE = 0.09
"""Inches from one bar of arms that do not differ to the next."""
NAMES = 0.95
"""Most inches of a label."""


def rank_study(scales: Scales, cells: Cells) -> tuple[list[str], Ranks | NotTestable]:
    """Return the study's arms, without upper bounds, and their ranks by the first metric, or why they cannot be ranked."""
    layout = scales.plan.study.report
    arms = [arm for arm in scales.plan.study.arms if arm not in layout.bounds]
    own = {arm: [cell for (name, _), cell in cells.items() if name == arm] for arm in arms}
    every = [cell for some in own.values() for cell in some]
    if not all(cell.complete for cell in every):
        return arms, NotTestable("runs are missing")
    if len({tuple(cell.planned) for cell in every}) > 1:
        return arms, NotTestable("arms have different seeds")
    if flagged := next((cell for cell in every if scales.doubts.marks(cell)), None):
        return arms, NotTestable(f"{flagged.arm} is {' and '.join(scales.doubts.marks(flagged))}")
    if any(cell.one_part for cell in every):
        return arms, NotTestable("all seeds were tested on one part, so seeds are no independent blocks")
    overlap = max((cell.overlap for cell in every), default=0.0)
    columns = [[cell.values(layout.metrics[0]) for cell in own[arm]] for arm in arms]
    means = [[sum(values) / len(values) for values in zip(*column, strict=True)] for column in columns]
    return arms, rank_arms(list(zip(*means, strict=True)), overlap)


def draw_ranks(scales: Scales, cells: Cells, folder: Path) -> list[Path]:
    """Write ``ranks.png`` if the arms can be ranked, and return its path."""
    arms, ranks = rank_study(scales, cells)
    if isinstance(ranks, NotTestable):
        return []
    return [save(ranks_figure(scales.plan, cells, arms, ranks), folder / "ranks.png")]


def ranks_figure(plan: Plan, cells: Cells, arms: Sequence[str], ranks: Ranks) -> Figure:
    """Return the diagram: the axis of ranks, arms on both sides, bars over arms whose ranks do not differ."""
    order = sorted(range(len(arms)), key=lambda place: (ranks.means[place], place))
    names = label_arms(plan, cells)
    labels = {place: wrap_text(f"{names[arms[place]]} ({ranks.means[place]:.2f})", NAMES, SMALL) for place in order}
    half = (len(order) + 1) // 2
    sides = (order[:half], order[half:][::-1])  # from the axis downwards: the best left, the worst right
    cliques = ranks.cliques
    drops = [side_drops([len(labels[place]) for place in side]) for side in sides]
    deep = 0.2 + ALIKE * len(cliques)
    height = 0.62 + deep + max(drop[-1] for drop in drops if drop) + 0.15
    test = ranks.test
    metric = METRICS[plan.study.report.metrics[0]].label
    p = "p < .001" if test.p < 0.001 else f"p = {test.p:.3f}".replace("0.", ".")
    notes = [f"{test.test}: F = {test.statistic:.2f}, {p}; n = {test.n} blocks (seeds)"]
    foot = footer(plan, cells.values(), "bars: mean ranks differ by less than Nemenyi's critical difference (CD, α = .05)")
    figure = page(COLUMN, height, Words(f"{plan.study.name}: mean ranks by {metric} (1: best)", notes, (), foot))
    axes = figure.add_subplot()
    axes.set_axis_off()
    count, wide = len(arms), COLUMN - 2 * NAMES - 0.5  # inches of the axis of ranks
    scale = wide / (count - 1)
    axes.set_xlim(1 - (NAMES + 0.15) / scale, count + (NAMES + 0.15) / scale)
    axes.set_ylim(height - 0.55, -0.55)
    axes.plot([1, count], [0, 0], color="black", lw=0.9)
    step = 1 if scale > 0.14 else 2
    for rank in range(1, count + 1):
        axes.plot([rank, rank], [-0.05, 0], color="black", lw=0.9)
        if (rank - 1) % step == 0:
            axes.text(rank, -0.08, str(rank), ha="center", va="bottom", size=SMALL)
    end = min(ranks.critical, count - 1)
    axes.plot([1, 1 + end], [-0.32, -0.32], color=PALETTE[1], lw=1.4)
    axes.text(1 + end / 2, -0.35, f"CD = {ranks.critical:.2f}", ha="center", va="bottom", size=SMALL, color=PALETTE[1])
    for level, clique in enumerate(cliques, start=1):
        ends = [ranks.means[clique[0]], ranks.means[clique[-1]]]
        axes.plot(ends, [ALIKE * level] * 2, color=PALETTE[0], lw=2.4, solid_capstyle="butt")
    for side, depth, left in zip(sides, drops, (True, False), strict=True):
        for place, drop in zip(side, depth, strict=True):
            at, down, edge = ranks.means[place], deep + drop, (1 if left else count) + (-0.1 if left else 0.1) / scale
            axes.plot([at, at, edge], [0, down, down], color="0.35", lw=0.8)
            shift = (-0.04 if left else 0.04) / scale
            axes.text(edge + shift, down, "\n".join(labels[place]), ha="right" if left else "left", va="center", size=SMALL)
    return figure


def side_drops(lines: Sequence[int]) -> list[float]:
    """Return how many inches below the first each label of one side is; ``lines``: of each label."""
    drops, down = [], 0.0
    for number, count in enumerate(lines):
        if number:
            down += STEP + LINE * (count + lines[number - 1] - 2) / 2
        drops.append(down)
    return drops
