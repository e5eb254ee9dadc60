"""Differences between arms: the first metric tested, the others with intervals alone.

Differences are weighed as claims are (``fer_cli.judge``): the corrected resampled t-test over folds or draws, Welch's where
the splits differ, a t-test over seeds and images where all seeds share one test part. Only the first metric is tested, with
Holm's correction over its table; equal arms then differ at .05 in at most 6.5 % of studies (``tests/test_false_alarms.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fer_cli.blocks import Cell as Entry
from fer_cli.blocks import Mark, Number, Table
from fer_cli.config import METRICS
from fer_cli.data.importers.hints import few
from fer_cli.judge import WELCH, Weighed
from fer_cli.plan import Plan
from fer_cli.report.collect import Cell, Cells, Point
from fer_cli.report.doubts import OVERLAP
from fer_cli.report.sides import Scales
from fer_cli.report.tables import count_seeds, factor_label, headings, layout, list_simulated, row_label
from fer_cli.stats import ALPHA, Effect, NotTestable, PValue, effect_size, holm
from fer_cli.stats.power import find_detectable


@dataclass(frozen=True)
class Compared:
    """The difference of two arms at one grid point; ``adjusted``: p after Holm's correction over all of a table."""

    label: str
    at: Point
    ours: Cell
    theirs: Cell
    metric: str
    weighed: Weighed | NotTestable
    test: PValue | NotTestable
    adjusted: float | None = None
    detectable: float | None = None
    effect: Effect | None = None
    marks: tuple[Mark, ...] = ()
    """The red flags of both cells."""

    @property
    def unpaired(self) -> bool:
        """Return whether the interval is that of arms that were split differently."""
        return isinstance(self.weighed, Weighed) and self.weighed.test.endswith(WELCH)

    @property
    def number(self) -> Number:
        """Return the difference in points with its interval, if it has one, and flags; no mean while seeds are missing."""
        if isinstance(self.weighed, Weighed):
            spread = self.weighed.spread
            return Number(spread.mean, interval=spread.interval(), unit="points", marks=self.marks)
        return Number(plain_difference(self.ours, self.theirs, self.metric), unit="points", marks=self.marks)


def plain_difference(ours: Cell, theirs: Cell, metric: str) -> float | None:
    """Return the difference of two complete cells' means."""
    first, second = ours.mean(metric), theirs.mean(metric)
    return None if first is None or second is None or ours.planned != theirs.planned else first - second


def list_pairs(plan: Plan) -> dict[str, tuple[str, str]]:
    """Return the compared arms by label: each with the baseline arm, except upper bounds, and further pairs."""
    base, bounds = plan.study.report.against, plan.study.report.bounds
    pairs = {arm: (arm, base) for arm in plan.study.arms if arm != base and arm not in bounds}
    return pairs | {f"{arm} against {other}": (arm, other) for arm, other in plan.study.report.pairs}


def compare_arms(cells: Cells, scales: Scales, metric: str, tested: bool) -> list[Compared]:
    """Return the differences of a metric at every grid point; ``tested``: with p, effect size and detectable difference."""
    plan, found = scales.plan, []
    shape = layout(plan)
    leaks = any(claim.leaks for claim in plan.study.claims)
    for label, (arm, base) in list_pairs(plan).items():
        for other in shape.others:
            for column in shape.columns:
                at = shape.point(plan, column, other)
                ours, theirs = cells[arm, at], cells[base, at]
                weighed = scales.compare(ours, theirs, metric)
                test = weigh_difference(weighed)
                if flagged := next((c for c in (ours, theirs) if scales.doubts.why(c, leaks)), None):
                    test = NotTestable(f"{flagged.arm} is {' and '.join(scales.doubts.marks(flagged))}")
                effect = find_effect(ours, theirs, metric, weighed) if tested and isinstance(test, PValue) else None
                marks = tuple(dict.fromkeys([*scales.doubts.marks(ours), *scales.doubts.marks(theirs)]))
                found.append(Compared(label, at, ours, theirs, metric, weighed, test, effect=effect, marks=marks))
    return adjust(found) if tested else found


def weigh_difference(weighed: Weighed | NotTestable) -> PValue | NotTestable:
    """Return the test of a difference against 0."""
    return weighed if isinstance(weighed, NotTestable) else weighed.spread.test(weighed.test)


def find_effect(ours: Cell, theirs: Cell, metric: str, weighed: Weighed | NotTestable) -> Effect | None:
    """Return the effect size where scores are paired by fold or seed."""
    if isinstance(weighed, NotTestable) or not weighed.test.endswith("paired t-test"):
        return None
    effect = effect_size(ours.values(metric), theirs.values(metric), max(ours.overlap, theirs.overlap))
    return None if isinstance(effect, NotTestable) else effect


def adjust(found: Sequence[Compared]) -> list[Compared]:
    """Return differences with p after Holm's correction over all, and what these seeds could detect at that level."""
    ps = iter(holm([one.test.p for one in found if isinstance(one.test, PValue)]))
    level = ALPHA / max(1, sum(isinstance(one.test, PValue) for one in found))
    adjusted = []
    for one in found:
        if isinstance(one.test, PValue) and isinstance(one.weighed, Weighed):
            spread = one.weighed.spread
            least = find_detectable(spread.variance, spread.freedom, alpha=level)
            possible = None if least is None or least > 1 else least  # scores are shares
            adjusted.append(replace(one, adjusted=next(ps), detectable=possible))
        else:
            adjusted.append(one)
    return adjusted


def describe_place(label: str, at: Point) -> str:
    """Return a row's label with its grid values."""
    return ", ".join([label, *(f"{factor_label(key)} {value}" for key, value in at)])


def tested_table(found: Sequence[Compared], scales: Scales, metric: str) -> Table:
    """Return the tested differences of the first metric, one per row."""
    base = scales.plan.study.report.against
    rows: list[tuple[str, list[Entry]]] = [(describe_place(one.label, one.at), [*row_cells(one)]) for one in found]
    title = f"{METRICS[metric].label}, difference to {base} in points, {count_seeds(scales.plan)}"
    columns = ["difference [95 % interval]", "p", "p (Holm)", "g", "detectable"]
    if not any(one.effect for one in found):  # arms are not paired
        columns.remove("g")
        rows = [(label, [*cells[:3], *cells[4:]]) for label, cells in rows]
    return Table(title, columns, rows, describe_tests(found, scales), kind="differences")


def row_cells(one: Compared) -> list[Number]:
    """Return the difference with its interval, p, p after Holm's correction, the effect size and what could be detected."""
    p = one.test.p if isinstance(one.test, PValue) else None
    effect = Number(one.effect.g if one.effect else None, unit="plain")
    return [one.number, Number(p, unit="p"), Number(one.adjusted, unit="p"), effect, Number(one.detectable)]


def describe_tests(found: Sequence[Compared], scales: Scales) -> list[str]:
    """Return the names of the tests, what the columns are, and why rows are not tested."""
    names = list(dict.fromkeys(one.test.test for one in found if isinstance(one.test, PValue)))
    lines = scales.doubts.legend(cell for one in found for cell in (one.ours, one.theirs))
    if names:
        overlap = f"; {describe_overlap(found, scales)}" if any("corrected" in name for name in names) else ""
        many = sum(isinstance(one.test, PValue) for one in found)
        lines.append(f"{'; '.join(names)}{overlap}; p (Holm): corrected for {many} comparisons, unlike intervals and p")
        effects = "g: Hedges' effect size of paired scores; " if any(one.effect for one in found) else ""
        beyond = "; –: above 100 points" if any(one.adjusted is not None and one.detectable is None for one in found) else ""
        said = "the true difference that 80 % of such studies find at .05 after that correction"
        lines.append(f"{effects}detectable: {said}{beyond}")
    lines += unpaired_note(found)
    why: dict[str, list[str]] = {}
    for one in found:
        if isinstance(one.test, NotTestable):
            why.setdefault(str(one.test), []).append(describe_place(one.label, one.at))
    for reason, rows in why.items():
        which = "" if len(rows) == len(found) else f" ({few(rows, 3)})"
        lines.append(f"not tested{which}: {reason}")
    return lines + simulation_notes(scales.plan)


def describe_overlap(found: Sequence[Compared], scales: Scales) -> str:
    """Return the correction for training parts that overlap, with its ratio of test to training samples."""
    ratios = [max(one.ours.overlap, one.theirs.overlap) for one in found if isinstance(one.test, PValue)]
    low, high = f"{min(ratios):.3f}", f"{max(ratios):.3f}"
    recognised = any(item.run.config.sequences.recognised for item in scales.plan.items)
    where = " in the recogniser's split" if recognised else ""
    return f"{OVERLAP} (variance times 1/n + n_test/n_train, {low if low == high else f'{low} to {high}'}{where})"


def unpaired_note(found: Sequence[Compared]) -> list[str]:
    """Return a line on the rows whose intervals are unpaired; none without such rows."""
    rows = [describe_place(one.label, one.at) for one in found if one.unpaired]
    return [f"unpaired intervals (Welch), since arms are split differently: {few(rows, 3)}"] if rows else []


def simulation_notes(plan: Plan) -> list[str]:
    """Return a note if arms are tested on different simulated sequences."""
    if not (changed := list_simulated(plan)):
        return []
    return [
        f"arms differ in what is simulated ({', '.join(changed)}): same fold and recogniser, other sequences; a "
        "difference is one of tasks, not of methods on the same task, and none is bold"
    ]


def interval_table(found: Sequence[Compared], scales: Scales, metric: str) -> Table:
    """Return the differences of a further metric with intervals, in the columns of the score table."""
    plan, base = scales.plan, scales.plan.study.report.against
    shape = layout(plan)
    known = {(one.label, one.at): one for one in found}
    rows: list[tuple[str, list[Entry]]] = []
    for label in list_pairs(plan):
        for other in shape.others:
            points = [shape.point(plan, column, other) for column in shape.columns]
            rows.append((row_label(label, other), [known[label, at].number for at in points]))
    title = f"{METRICS[metric].label}, difference to {base} in points [95 % interval], not tested, {count_seeds(plan)}"
    notes = scales.doubts.legend(cell for one in found for cell in (one.ours, one.theirs)) + unpaired_note(found)
    return Table(title, headings(shape, METRICS[metric].label), rows, notes, kind="differences")


def difference_tables(cells: Cells, scales: Scales, first: Sequence[Compared]) -> list[Table]:
    """Return the differences of every metric; ``first``: those of the first metric, tested."""
    if not first:
        return []
    metrics = scales.plan.study.report.metrics
    others = [interval_table(compare_arms(cells, scales, metric, tested=False), scales, metric) for metric in metrics[1:]]
    return [tested_table(first, scales, metrics[0]), *others]
