"""The tables of a study. A cell with missing seeds shows a dash and their number; nothing is averaged silently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fer_cli.blocks import DASH, Number, Table, describe_p, percent
from fer_cli.blocks import Cell as Entry
from fer_cli.config import METRICS
from fer_cli.outputs import DETECTED
from fer_cli.plan import Plan
from fer_cli.report.collect import Cell, Cells, Point
from fer_cli.report.doubts import Doubts, baseline
from fer_cli.report.protocol import absent_lines
from fer_cli.results import Relabelled, Result
from fer_cli.stats import NotTestable

ROUNDING = 1e-9  # means closer than this are equal (floating-point sums)
BIAS = "biased in favour of methods that need a detected face"
SIMULATED = {
    f"sequences.{name}"
    for name in ("factors", "start", "steps", "simulation", "generator", "generator_fading", "stay", "efficacy", "sequences")
}
"""Settings of what is simulated: arms that differ in them are tested on different sequences."""
BOLD_FROM = 3  # the best mean is bold only if every cell of its column has at least this many seeds


@dataclass(frozen=True)
class Layout:
    """Rows and columns of a table."""

    arms: list[str]
    columns: list[tuple[str, Any] | None]  # factor and value of each column; None: a single column
    others: list[Point]  # grid points without the column factor; each arm has a row for each

    def point(self, plan: Plan, column: tuple[str, Any] | None, other: Point) -> Point:
        """Return the grid point of a row and a column, in the grid's order."""
        known = dict(other) | (dict([column]) if column else {})
        return tuple((key, known[key]) for key in plan.factors)


def layout(plan: Plan) -> Layout:
    """Return the layout of a plan's tables."""
    factor = plan.study.report.columns
    columns = [None if factor is None else (factor, value) for value in plan.factors.get(factor or "", [None])]
    others = {tuple((key, value) for key, value in item.run.at if key != factor): None for item in plan.items}
    return Layout(list(plan.study.arms), columns, list(others))


NAMED = {"corrupt.noise": "image noise"}
"""Settings whose own name would be taken for another."""


def factor_label(factor: str) -> str:
    """Return a readable name of a setting: ``data.label_noise`` -> ``label noise``."""
    return NAMED.get(factor) or factor.rsplit(".", 1)[-1].replace("_", " ")


def list_simulated(plan: Plan) -> list[str]:
    """Return the settings of what is simulated in which arms differ, sorted."""
    return sorted({key for item in plan.items for key, _ in item.run.differs if key in SIMULATED})


def headings(shape: Layout, alone: str) -> list[str]:
    """Return the column titles; ``alone``: that of a single column."""
    if shape.columns == [None]:
        return [alone]
    return [f"{factor_label(column[0])} {column[1]}" for column in shape.columns if column is not None]


def row_label(label: str, other: Point) -> str:
    """Return a row's title with the grid values that are not columns."""
    return ", ".join([label, *(f"{factor_label(key)} {value}" for key, value in other)])


def score_table(plan: Plan, cells: Cells, metric: str, doubts: Doubts) -> Table:
    """Return mean ± sample sd per arm and column, with the red flags of each cell and their legend."""
    shape = layout(plan)
    alike = not list_simulated(plan)
    best = {column: best_mean(plan, cells, shape, column, metric, doubts) if alike else None for column in shape.columns}
    rows: list[tuple[str, list[Entry]]] = []
    for arm in shape.arms:
        for other in shape.others:
            entries: list[Entry] = []
            for column in shape.columns:
                cell = cells[arm, shape.point(plan, column, other)]
                bold = best[column] if may_be_bold(plan, cell, metric, doubts) else None
                entries.append(replace(score_number(cell, metric, bold), marks=doubts.marks(cell)))
            rows.append((row_label(arm, other), entries))
    notes = doubts.legend(cells.values()) + absent_lines(cells) + baseline_notes(plan, cells, shape, metric)
    if plan.study.report.bounds:
        notes.append(f"upper bounds, never bold: {', '.join(plan.study.report.bounds)}")
    title = f"{METRICS[metric].label} in %: {describe_spread(plan)}"
    return Table(title, headings(shape, METRICS[metric].label), rows, notes, kind="scores")


def describe_spread(plan: Plan) -> str:
    """Return what cells show, with n: ``mean ± sd, n = 5``; the n of a cell with missing seeds stands in it."""
    seeds = {item.run.seed for item in plan.items}
    return f"{'one seed' if len(seeds) == 1 else 'mean ± sd'}, {count_seeds(plan)}"


def count_seeds(plan: Plan) -> str:
    """Return the number of seeds, e.g. ``n = 5``; a cell with missing seeds says so itself."""
    return f"n = {len({item.run.seed for item in plan.items})}"


def baseline_notes(plan: Plan, cells: Cells, shape: Layout, metric: str) -> list[str]:
    """Return a line with the majority-class baseline, per column if test parts differ."""
    values = {}
    for column, title in zip(shape.columns, headings(shape, METRICS[metric].label), strict=True):
        here = [cells[arm, shape.point(plan, column, other)] for arm in shape.arms for other in shape.others]
        if (value := baseline(here, metric)) is not None:
            values[title] = percent(value)
    if not values:
        return []
    same = len(set(values.values())) == 1
    scores = next(iter(values.values())) if same else ", ".join(f"{value} ({title})" for title, value in values.items())
    return [f"majority-class baseline: {scores}"]


def detected_tables(plan: Plan, cells: Cells, metrics: Sequence[str], doubts: Doubts) -> list[Table]:
    """Return the score tables over test images with a detected face, if all results have such scores."""
    results = [result for cell in cells.values() for result in cell.results.values()]
    if not results or not all(DETECTED in result.metrics for result in results):
        return []
    found = sum(result.metrics[DETECTED].n for result in results)
    everything = sum(result.metrics["test"].n for result in results)
    only = {key: replace(cell, part=DETECTED) for key, cell in cells.items()}
    note = f"over the {100 * found / everything:.1f} % of test images in which a face was detected; {BIAS}"
    tables = [score_table(plan, only, metric, doubts) for metric in metrics]
    return [replace(one, title=f"face detected only: {one.title}", notes=[*one.notes, note], kind="") for one in tables]


def leaky_tables(plan: Plan, cells: Cells, doubts: Doubts) -> list[Table]:
    """Return the validation accuracy if arms were trained on validation or test images, else nothing."""
    if not any(item.run.config.data.leak != "none" for item in plan.items):
        return []
    table = score_table(plan, {key: replace(cell, part="val") for key, cell in cells.items()}, "accuracy", doubts)
    note = "validation images select the epoch of every arm; arms with leaky validation parts were also trained on them"
    return [replace(table, title=f"on validation images, {table.title}", notes=[*table.notes, note], kind="")]


def may_be_bold(plan: Plan, cell: Cell, metric: str, doubts: Doubts) -> bool:
    """Return whether a cell can be the best of its column: no red flag, no upper bound, and above the baseline.

    It must exceed the majority-class baseline in accuracy too, whose macro-F1 is below that of guessing.
    """
    if doubts.marks(cell) or cell.leaky or cell.arm in plan.study.report.bounds:
        return False
    scores = [(cell.mean(name), baseline([cell], name)) for name in (metric, "accuracy")]
    return all(mean is not None and floor is not None and mean > floor + ROUNDING for mean, floor in scores)


def best_mean(
    plan: Plan, cells: Cells, shape: Layout, column: tuple[str, Any] | None, metric: str, doubts: Doubts
) -> str | None:
    """Return a column's best mean, as printed, among cells that may be bold; None with too few seeds."""
    places = [(arm, shape.point(plan, column, other)) for arm in shape.arms for other in shape.others]
    compared = [cells[place] for place in places if not cells[place].leaky and "leaky" not in doubts.marks(cells[place])]
    if len(compared) < 2 or any(not cell.complete or len(cell.results) < BOLD_FROM for cell in compared):
        return None
    means = [cell.mean(metric) or 0.0 for cell in compared if may_be_bold(plan, cell, metric, doubts)]
    return percent(max(means)) if means else None


def score_number(cell: Cell, metric: str, best: str | None = None) -> Number:
    """Return mean, sample sd and seed count of a cell, bold if printed as ``best``; no mean if seeds are missing."""
    mean, n, planned = cell.mean(metric), len(cell.results), len(cell.planned)
    if mean is None:
        return Number(None, n=n, planned=planned)
    return Number(mean, cell.sd(metric), n=n, planned=planned, best=percent(mean) == best)


def seed_tables(plan: Plan, cells: Cells, metric: str, doubts: Doubts) -> list[Table]:
    """Return, per grid point, every arm's score at every seed and rank tests against the baseline arm, for HTML alone."""
    shape, base = layout(plan), plan.study.report.against
    points = dict.fromkeys(shape.point(plan, column, other) for column in shape.columns for other in shape.others)
    tables = []
    for point in points:
        here = {arm: cells[arm, point] for arm in shape.arms}
        rows: list[tuple[str, list[Entry]]] = []
        for seed in here[base].planned:
            scores = [(cell, cell.results.get(seed)) for cell in here.values()]
            values = [(cell, None if one is None else one.metrics["test"][metric]) for cell, one in scores]
            rows.append((f"seed {seed}", [Number(value, marks=doubts.marks(cell)) for cell, value in values]))
        rows.append(("mean", [Number(cell.mean(metric), marks=doubts.marks(cell)) for cell in here.values()]))
        tests = [f"{arm}: {rank_text(cell, here[base], metric)}" for arm, cell in here.items() if arm != base]
        where = "".join(f", {factor_label(key)} {value}" for key, value in point)
        title = f"{METRICS[metric].label} in % by seed{where}"
        notes = [f"Wilcoxon's signed-rank test against {base}: {'; '.join(tests)}"] if tests else []
        notes += doubts.legend(here.values())
        tables.append(Table(title, shape.arms, rows, notes, kind="seeds", only=frozenset({"html"})))
    return tables


def rank_text(cell: Cell, base: Cell, metric: str) -> str:
    """Return W and p of a cell against the baseline, or why they are undefined."""
    if not (cell.complete and base.complete) or cell.planned != base.planned:
        return "seeds are missing"
    found = cell.rank_test(base, metric)
    return str(found) if isinstance(found, NotTestable) else f"W = {found.statistic:g}, {describe_p(found.p)}"


def health_table(plan: Plan, cells: Cells) -> Table | None:
    """Return module diagnostics, averaged over seeds; None if no arm has any."""
    shape = layout(plan)
    rows = []
    for arm in shape.arms:
        for other in shape.others:
            texts = [health_text(cells[arm, shape.point(plan, column, other)]) for column in shape.columns]
            if any(text != DASH for text in texts):
                rows.append((row_label(arm, other), texts))
    if not rows:
        return None
    notes = [
        "α (last epoch): standard deviation, and gap between the high and the low group",
        "wrong: share of wrong training labels before and after training; precision: share of changed labels that are now "
        "correct; recall: share of injected label flips that were corrected; broken: correct labels that are wrong after "
        "training, per run; replaced: a label can be replaced repeatedly",
    ]
    seen = {name for cell in cells.values() for result in cell.results.values() for name in result.health}
    if any(name.startswith("alpha/auroc") for name in seen):
        notes.append("AUROC: of low α (last epoch) for degraded images, and for wrong labels as planted; 0.5 is chance")
    if any(name.startswith("confident/") for name in seen):
        notes.append(
            "labels suspect (confident learning): share of the training labels; precision: share of these that are wrong; "
            "recall: share of wrong labels that are suspect"
        )
    return Table("Module diagnostics: means over runs", headings(shape, "means"), rows, notes, kind="diagnostics")


def health_text(cell: Cell) -> str:
    """Return one cell of the diagnostics table; older results only count replaced labels."""
    parts = []
    results = list(cell.results.values())
    spread = [result.health["alpha/sd"] for result in results if "alpha/sd" in result.health]
    if spread:
        gap = [result.health["alpha/gap"] for result in results]
        parts.append(f"α sd {sum(spread) / len(spread):.3f}, gap {sum(gap) / len(gap):.3f}{auroc_text(results)}")
    if suspects := confident_text(results):
        parts.append(suspects)
    changes = [result.relabelled for result in results if result.relabelled]
    if changes:
        names = ("wrong_start", "wrong_end", "precision", "recall")
        start, end, precision, recall = (mean_share(changes, name) for name in names)
        if start != DASH:
            parts.append(f"wrong {start} → {end} %, precision {precision}, recall {recall}{broken_text(changes)}")
        parts.append(f"{sum(change.count for change in changes) / len(changes):.0f} replaced")
    return "; ".join(parts) or DASH


def health_mean(results: Sequence[Result], name: str) -> float | None:
    """Return the mean of a diagnostic over the runs that have it; None without any."""
    values = [result.health[name] for result in results if name in result.health]
    return sum(values) / len(values) if values else None


def auroc_text(results: Sequence[Result]) -> str:
    """Return the mean AUROCs of low alpha, e.g. ``, AUROC degraded 0.99, wrong 0.85``; "" without planted noise."""
    means = {name: health_mean(results, f"alpha/auroc_{name}") for name in ("degraded", "wrong")}
    found = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items() if mean is not None)
    return f", AUROC {found}" if found else ""


def confident_text(results: Sequence[Result]) -> str:
    """Return what confident learning found, as means in %; "" without it."""
    means = {name: health_mean(results, f"confident/{name}") for name in ("suspect", "precision", "recall")}
    shares = [f"{name} {100 * mean:.1f}{' %' * (name == 'suspect')}" for name, mean in means.items() if mean is not None]
    return f"labels {', '.join(shares)}" if shares else ""


def broken_text(changes: Sequence[Relabelled]) -> str:
    """Return the mean number of broken labels over the runs that count them, e.g. ``, broken 3.5``; "" if none does."""
    known = [change.broken for change in changes if change.broken is not None]
    return f", broken {sum(known) / len(known):.1f}" if known else ""


def mean_share(changes: Sequence[Relabelled], name: str) -> str:
    """Return a share's mean in % over the runs that define it, or a dash."""
    known = [value for change in changes if (value := getattr(change, name)) is not None]
    return f"{100 * sum(known) / len(known):.1f}" if known else DASH
