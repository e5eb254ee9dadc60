"""The tables of a study. A cell with missing seeds shows a dash and their number; nothing is averaged silently."""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fer_cli.blocks import DASH, Number, Table, percent
from fer_cli.blocks import Cell as Entry
from fer_cli.config import METRICS
from fer_cli.outputs import DETECTED
from fer_cli.plan import Item, Plan
from fer_cli.report.collect import Cell, Cells, Point
from fer_cli.report.doubts import baseline, rank_caveat
from fer_cli.results import Relabelled, Result
from fer_cli.stats import Difference

ROUNDING = 1e-9  # means closer than this are equal (floating-point sums)
BIAS = "biased in favour of methods that need a detected face"
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


def factor_label(factor: str) -> str:
    """Return a readable name of a setting: ``data.label_noise`` -> ``label noise``."""
    return factor.rsplit(".", 1)[-1].replace("_", " ")


def headings(plan: Plan, shape: Layout, metric: str) -> list[str]:
    """Return the column titles, marked where only some columns have a leaky split."""
    if shape.columns == [None]:
        return [METRICS[metric].label]
    leaky = {column: are_leaky([item for item in plan.items if column in item.run.at]) for column in shape.columns}
    warned = {column: " (leaky split)" if leaky[column] and not all(leaky.values()) else "" for column in shape.columns}
    return [f"{factor_label(column[0])} {column[1]}{warned[column]}" for column in shape.columns if column is not None]


def row_label(plan: Plan, arm: str, other: Point) -> str:
    """Return a row's title: the arm, marked if its split leaks, and other grid values."""
    label = f"{arm} (leaky split)" if are_leaky([item for item in plan.items if item.run.arm == arm]) else arm
    return ", ".join([label, *(f"{factor_label(key)} {value}" for key, value in other)])


def are_leaky(items: Sequence[Item]) -> bool:
    """Return whether subjects may occur on both sides of the split in all these runs."""
    return bool(items) and all(item.run.config.data.ignores_people for item in items)


def score_table(plan: Plan, cells: Cells, metric: str, weak: Collection[str] = ()) -> Table:
    """Return mean ± sample sd (n) per arm and column, published values in own columns; ``weak``: underfitted arms."""
    shape = layout(plan)
    never = {*weak, *plan.study.report.bounds}
    best = {column: best_mean(plan, cells, shape, column, metric, never) for column in shape.columns}
    published = [item for item in (plan.study.paper.published if plan.study.paper else []) if item.metric == metric]
    sources = list(dict.fromkeys(item.data for item in published))
    cite = plan.study.paper.cite if plan.study.paper else ""
    rows = []
    for arm in shape.arms:
        for other in shape.others:
            points = {column: shape.point(plan, column, other) for column in shape.columns}
            entries: list[Entry] = []
            for column, point in points.items():
                bold = best[column] if may_be_bold(cells[arm, point], metric, never) else None
                entries.append(score_number(cells[arm, point], metric, bold))
            entries += [", ".join(percent(p.value) for p in published if (p.arm, p.data) == (arm, name)) for name in sources]
            rows.append((row_label(plan, arm, other), entries))
    columns = headings(plan, shape, metric) + [f"{cite}: {data}" for data in sources]
    notes = baseline_notes(plan, cells, shape, metric)
    if weak:
        notes.append(f"never bold because underfitted (see the notes): {', '.join(weak)}")
    if plan.study.report.bounds:
        notes.append(f"never bold because an upper bound: {', '.join(plan.study.report.bounds)}")
    notes += [
        f"{cite}, {item.arm} on {item.data}: {item.where}{f'; {item.note}' if item.note else ''}" for item in published
    ]
    return Table(f"{METRICS[metric].label} in %: mean ± sd (n)", columns, rows, notes)


def baseline_notes(plan: Plan, cells: Cells, shape: Layout, metric: str) -> list[str]:
    """Return a line with the majority-class baseline, per column if test parts differ."""
    values = {}
    for column, title in zip(shape.columns, headings(plan, shape, metric), strict=True):
        here = [cells[arm, shape.point(plan, column, other)] for arm in shape.arms for other in shape.others]
        if (value := baseline(here, metric)) is not None:
            values[title] = percent(value)
    if not values:
        return []
    same = len(set(values.values())) == 1
    scores = next(iter(values.values())) if same else ", ".join(f"{value} ({title})" for title, value in values.items())
    return [f"majority-class baseline: {scores}; an arm at or below it, here or in accuracy, is never bold"]


def detected_tables(plan: Plan, cells: Cells, metrics: Sequence[str], weak: Collection[str] = ()) -> list[Table]:
    """Return the score tables over test images with a detected face, if all results have such scores."""
    results = [result for cell in cells.values() for result in cell.results.values()]
    if not results or not all(DETECTED in result.metrics for result in results):
        return []
    found = sum(result.metrics[DETECTED].n for result in results)
    everything = sum(result.metrics["test"].n for result in results)
    only = {key: replace(cell, part=DETECTED) for key, cell in cells.items()}
    tables = []
    for metric in metrics:
        table = score_table(plan, only, metric, weak)
        note = f"over the {100 * found / everything:.1f} % of test images in which a face was detected; {BIAS}"
        tables.append(Table(f"face detected only: {table.title}", table.columns, table.rows, [*table.notes, note]))
    return tables


def leaky_tables(plan: Plan, cells: Cells, weak: Collection[str] = ()) -> list[Table]:
    """Return the validation accuracy if arms were trained on validation or test images, else nothing."""
    if not any(item.run.config.data.leak != "none" for item in plan.items):
        return []
    table = score_table(plan, {key: replace(cell, part="val") for key, cell in cells.items()}, "accuracy", weak)
    note = "validation images select the epoch of every arm; arms with leaky validation parts were also trained on them"
    return [Table(f"on validation images, {table.title}", table.columns, table.rows, [*table.notes, note])]


def may_be_bold(cell: Cell, metric: str, weak: Container[str]) -> bool:
    """Return whether a cell can be the best of its column: it does not leak, is not underfitted, and beats the baseline.

    It must exceed the majority-class baseline in accuracy too, whose macro-F1 is below that of guessing.
    """
    if cell.arm in weak or cell.leaky:
        return False
    scores = [(cell.mean(name), baseline([cell], name)) for name in (metric, "accuracy")]
    return all(mean is not None and floor is not None and mean > floor + ROUNDING for mean, floor in scores)


def best_mean(
    plan: Plan, cells: Cells, shape: Layout, column: tuple[str, Any] | None, metric: str, weak: Container[str]
) -> str | None:
    """Return a column's best mean, as printed, among cells that may be bold; None with too few seeds."""
    places = [(arm, shape.point(plan, column, other)) for arm in shape.arms for other in shape.others]
    compared = [cells[place] for place in places if not cells[place].leaky]
    if len(compared) < 2 or any(not cell.complete or len(cell.results) < BOLD_FROM for cell in compared):
        return None
    means = [cell.mean(metric) or 0.0 for cell in compared if may_be_bold(cell, metric, weak)]
    return percent(max(means)) if means else None


def score_number(cell: Cell, metric: str, best: str | None = None) -> Number:
    """Return mean, sample sd and seed count of a cell, bold if printed as ``best``; no mean if seeds are missing."""
    mean, n, planned = cell.mean(metric), len(cell.results), len(cell.planned)
    if mean is None:
        return Number(None, n=n, planned=planned)
    return Number(mean, cell.sd(metric), n=n, planned=planned, best=percent(mean) == best)


def difference_tables(plan: Plan, cells: Cells, metric: str) -> list[Table]:
    """Return each arm minus the baseline arm, and further differences that the study requests."""
    base = plan.study.report.against
    others = {arm: (arm, base) for arm in layout(plan).arms if arm != base}
    asked = {f"{arm} against {other}": (arm, other) for arm, other in plan.study.report.pairs}
    wanted = {f"difference to {base}": others, "further differences": asked}
    return [difference_table(plan, cells, metric, title, pairs) for title, pairs in wanted.items() if pairs]


def difference_table(plan: Plan, cells: Cells, metric: str, title: str, pairs: dict[str, tuple[str, str]]) -> Table:
    """Return, for each pair of arms, the first minus the second, in points, with its interval."""
    shape = layout(plan)
    rows, paired = [], set()
    for label, (arm, base) in pairs.items():
        for other in shape.others:
            entries = []
            for column in shape.columns:
                point = shape.point(plan, column, other)
                delta = cells[arm, point].difference_to(cells[base, point], metric)
                if delta is not None:
                    paired.add(delta.paired)
                entries.append(difference_number(delta))
            rows.append((row_label(plan, label, other), entries))
    kinds = {frozenset({True}): "paired by fold", frozenset({False}): "unpaired (the splits differ; Welch)"}
    pairing = kinds.get(frozenset(paired), "paired by fold if the splits agree, else Welch")
    title = f"{METRICS[metric].label}, {title} in points [95 % interval], {pairing}"
    return Table(title, headings(plan, shape, metric), rows)


def difference_number(delta: Difference | None) -> Number:
    """Return a difference in points with its 95 % interval, if defined."""
    if delta is None:
        return Number(None, unit="points")
    known = delta.low is not None and delta.high is not None
    return Number(delta.mean, interval=(delta.low, delta.high) if known else None, unit="points")  # type: ignore[arg-type]


def seed_tables(plan: Plan, cells: Cells, metric: str) -> list[Table]:
    """Return, per grid point, every arm's score at every seed and rank tests against the baseline arm."""
    shape, base = layout(plan), plan.study.report.against
    points = dict.fromkeys(shape.point(plan, column, other) for column in shape.columns for other in shape.others)
    tables = []
    for point in points:
        here = {arm: cells[arm, point] for arm in shape.arms}
        rows = []
        for seed in here[base].planned:
            scores = [cell.results.get(seed) for cell in here.values()]
            rows.append((f"seed {seed}", [Number(None if one is None else one.metrics["test"][metric]) for one in scores]))
        rows.append(("mean", [Number(cell.mean(metric)) for cell in here.values()]))
        pairs = [(arm, arm, base) for arm in here if arm != base]
        pairs += [(f"{arm} against {other}", arm, other) for arm, other in plan.study.report.pairs]
        tests = [f"{label}: {rank_text(here[arm], here[other], metric)}" for label, arm, other in pairs]
        where = "".join(f", {factor_label(key)} {value}" for key, value in point)
        title = f"{METRICS[metric].label} in % by seed{where}"
        notes = [f"Wilcoxon's signed-rank test against {base}: " + "; ".join(tests), *rank_caveat(here.values())]
        tables.append(Table(title, shape.arms, rows, notes))
    return tables


def rank_text(cell: Cell, base: Cell, metric: str) -> str:
    """Return W and p of a cell against the baseline, or why they are undefined."""
    if not (cell.complete and base.complete) or cell.planned != base.planned:
        return "seeds are missing"
    found = cell.rank_test(base, metric)
    return "fewer than six pairs differ" if found is None else f"W = {found[0]:g}, p = {found[1]:.4f}"


def cost_table(plan: Plan, cells: Cells) -> Table | None:
    """Return parameter and multiply-add counts per arm; None if all are equal or a count is missing."""
    costs: dict[str, set[tuple[int, int]]] = {}
    for cell in cells.values():
        for result in cell.results.values():
            if result.cost.parameters is not None:  # None: a classifier on features
                costs.setdefault(cell.arm, set()).add((result.cost.parameters, result.cost.multiply_adds or 0))
    known = {arm: next(iter(cost)) for arm, cost in costs.items() if len(cost) == 1}
    if len(set(known.values())) < 2 or any(not adds for _, adds in known.values()):
        return None
    rows = [(arm, [Number(count, unit="count") for count in known[arm]]) for arm in layout(plan).arms if arm in known]
    notes = [
        "multiply-adds: per image, of convolutions and linear layers including attention blocks, without normalisation, "
        "pooling and the scaling of maps; parameters: trainable parameters"
    ]
    return Table("Model complexity", ["parameters", "multiply-adds"], rows, notes)


def health_table(plan: Plan, cells: Cells) -> Table | None:
    """Return module diagnostics, averaged over seeds; None if no arm has any."""
    shape = layout(plan)
    rows = []
    for arm in shape.arms:
        for other in shape.others:
            texts = [health_text(cells[arm, shape.point(plan, column, other)]) for column in shape.columns]
            if any(text != DASH for text in texts):
                rows.append((row_label(plan, arm, other), texts))
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
    return Table("Module diagnostics: means over runs", headings(plan, shape, "accuracy"), rows, notes)


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
