"""A study's claims judged by its cells, and the answer of a report: two sentences computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from fer_cli.blocks import DASH, Cell, Number, Table, describe_p, percent
from fer_cli.config import METRICS, RunConfig
from fer_cli.config.analyses import MEASURES
from fer_cli.judge import COUNTED, Case, Judgement, Verdict, judge
from fer_cli.plan import Plan
from fer_cli.report.collect import Cell as Scored
from fer_cli.report.collect import Cells, Point
from fer_cli.report.compared import Compared, describe_place
from fer_cli.report.measured import measured
from fer_cli.report.published import is_set, plain
from fer_cli.report.sides import Scales
from fer_cli.settings import grid_key
from fer_cli.stats import ALPHA, NotTestable
from fer_cli.study import Claim

CLAIMS = "Claims"
"""Heading of the table of judgements."""
MOST = 2
"""Claims of one verdict that the answer names."""


def judge_plan(cells: Cells, scales: Scales) -> list[Judgement]:
    """Return the judgements of a study's claims on a plan's cells, a claim at several points in their order."""
    study = scales.plan.study
    found = judge([case for claim in study.claims for case in find_cases(claim, cells, scales)])
    found = [replace(one, reproduced="no paper") if one.claim.ours or study.paper is None else one for one in found]
    return [replace(one, inert=tuple(inert_parts(one, cells))) for one in found]


def inert_parts(one: Judgement, cells: Cells) -> Iterator[str]:
    """Yield what did nothing in every run of a tested claim's arms, so that the claim says nothing about it."""
    for arm in filter(None, (one.claim.arm, one.claim.over)) if one.adjusted is not None else ():
        results = cells[arm, one.at].ordered
        said = [{note.partition(":")[0] for note in result.warnings if "inert" in note} for result in results]
        for note in sorted(set.intersection(*said)) if said else ():
            yield f"{arm}: {note}"


def find_cases(claim: Claim, cells: Cells, scales: Scales) -> Iterator[Case]:
    """Yield a claim at each point where it is made, with the scores of its arms."""
    for at in claimed_points(claim, scales.plan):
        found = [cells[arm, at] for arm in (claim.arm, claim.over) if arm is not None]
        sides = scales.sides(found, claim.metric, claim.leaks)
        if claim.cost is not None:
            sides = [replace(side, costs=costs_of(cell, claim.cost)) for side, cell in zip(sides, found, strict=True)]
        elif claim.measure is not None:
            sides = [
                measured(side, scales.items[side.arm, at], cell.results, claim.measure)
                for side, cell in zip(sides, found, strict=True)
            ]
        printed, both = find_printed(claim, scales.plan, at)
        yield Case(claim, at, sides[0], sides[1] if claim.over is not None else None, printed, both)


def costs_of(cell: Scored, cost: str) -> tuple[int | None, ...]:
    """Return what each finished seed of a cell needs."""
    return tuple(getattr(result.cost, cost) for result in cell.ordered)


def claimed_points(claim: Claim, plan: Plan) -> list[Point]:
    """Return the grid points where a claim is made: those with its values, at every value of the other factors."""
    study, chosen = plan.study, []
    for factor, values in plan.factors.items():  # values as printed, in the study's order
        written = study.grid.get(factor, list(study.levels.get(factor, {})))
        kept = list(values)
        if factor in claim.at:
            place = [grid_key(value) for value in written].index(grid_key(claim.at[factor]))
            kept = [values[place]]
        chosen.append([(factor, value) for value in kept])
    return list(product(*chosen))


def find_printed(claim: Claim, plan: Plan, at: Point) -> tuple[tuple[float, ...], bool]:
    """Return the paper's values for this data set, and whether they are differences to the other arm.

    Values are those of the default settings, on images and labels as they are, so a claim at another grid value has none.
    """
    usual = RunConfig().flat()
    if claim.cost is not None or claim.measure is not None:
        return (), False
    if plan.study.paper is None or any(grid_key(usual.get(factor)) != grid_key(value) for factor, value in at):
        return (), False
    configs = [item.run.config for item in plan.items if item.run.at == at and item.run.arm in {claim.arm, claim.over}]
    if not all(may_be_printed(config, claim) for config in configs):
        return (), False
    published = plan.study.paper.published
    fits = [one for one in published if one.metric == claim.metric and is_set(one.data, plan, configs)]
    ours = [one for one in fits if one.arm == claim.arm]
    theirs = [one for one in fits if one.arm == claim.over]
    gaps = [a.value - b.value for a in ours for b in theirs if plain(a.data) == plain(b.data)]
    return (tuple(gaps), True) if gaps else (tuple(one.value for one in ours), False)


def may_be_printed(config: RunConfig, claim: Claim) -> bool:
    """Return whether a run's test set, labels and images are those of its data set, and nothing leaks unless claimed."""
    data = config.data
    clean = data.test is None and not data.plants_noise and config.corrupt == RunConfig().corrupt
    return clean and (data.leak == "none" or claim.leaks)


def describe_claim(one: Judgement) -> str:
    """Return a claim's text, with the grid point where it was judged if the claim does not name it."""
    at = ", ".join(f"{factor} {value}" for factor, value in one.at if factor not in one.claim.at)
    return f"{one.claim.text} ({at})" if at else one.claim.text


def explain(one: Judgement) -> str:
    """Return why a claim is not decided, and what of it did nothing; a dash without either."""
    return "; ".join(filter(None, [one.why, *one.inert])) or DASH


def difference_cell(one: Judgement) -> Number | str:
    """Return the difference of a judgement with its interval; of a cost or a measure, with its unit in words."""
    interval = (one.low, one.high) if one.low is not None and one.high is not None else None
    found = Number(one.difference, interval=interval, unit="points")
    if one.claim.measure is not None and one.difference is not None:
        known = MEASURES[one.claim.measure]
        ends = sorted(known.sign * end / 100 for end in interval or ())  # a hundredth, printed times 100 with its sign
        both = (ends[0], ends[1]) if ends else None
        turned = Number(known.sign * one.difference / 100, interval=both, unit="points", digits=known.digits)
        return f"{turned.text} in {known.label}"
    if one.claim.cost is None or one.difference is None:
        return found
    return f"{found.text} % {one.claim.cost.replace('_', '-')}"


def difference_text(one: Judgement) -> str:
    """Return ``difference_cell`` as text."""
    found = difference_cell(one)
    return found if isinstance(found, str) else found.text


def claims_table(judgements: Sequence[Judgement]) -> list[Table]:
    """Return the table of judged claims; none without claims."""
    if not judgements:
        return []
    rows: list[tuple[str, list[Cell]]] = [
        (
            describe_claim(one),
            [one.verdict, difference_cell(one), str(one.n), Number(one.adjusted, unit="p"), one.reproduced, explain(one)],
        )
        for one in judgements
    ]
    others = " unless said" if any(one.claim.cost or one.claim.measure for one in judgements) else ""
    tests = list(dict.fromkeys(one.test for one in judgements if one.test and one.test != COUNTED))
    notes = [f"{'; '.join(tests)}: two-sided at .05 after Holm's correction over the claims tested here"] if tests else []
    if any(one.test == COUNTED for one in judgements):
        notes.append("costs are counted, the same for every seed, and not tested; differences as shares of the other arm's")
    columns = ["verdict", f"difference in points{others} [95 % interval]", "n", "p (Holm)", "reproduced", "why"]
    return [Table(CLAIMS, columns, rows, notes, kind="claims")]


def answer(judgements: Sequence[Judgement], compared: Sequence[Compared], cells: Cells, scales: Scales) -> str:
    """Return the answer to a study's question in two sentences."""
    if not judgements:
        return f"{name_best(cells, scales)} {count_differences(compared, scales.plan)}"
    if len(judgements) == 1:
        one = judgements[0]
        said = f"The claim “{describe_claim(one)}” is {one.verdict}{name_numbers(one)}{name_inert(one)}"
        return f"{said}: {one.why}." if one.why and one.claim.cost is None else f"{said}. {describe_reproduced(judgements)}"
    many = len(judgements)
    decided = name_verdicts(judgements, ("supported", "contradicted"))
    still = name_verdicts(judgements, ("undecided", "not testable"))
    first = f"Of {many} claims, {decided}." if decided else f"None of {many} claims is supported or contradicted."
    return f"{first} {f'{still}.' if still else describe_reproduced(judgements)}"


def name_verdicts(judgements: Sequence[Judgement], verdicts: tuple[Verdict, ...]) -> str:
    """Return the claims with one of the verdicts, e.g. ``1 is supported (“a > b”: +4.20 [...], p = 0.0100)``."""
    parts = []
    for verdict in verdicts:
        found = [one for one in judgements if one.verdict == verdict]
        if found:
            ends = [f"{name_numbers(one) or f': {one.why}'}{name_inert(one)}" for one in found[:MOST]]
            named = [f"“{describe_claim(one)}”{end}" for one, end in zip(found, ends, strict=False)]
            more = [f"{len(found) - MOST} more"] if len(found) > MOST else []
            parts.append(f"{len(found)} {'is' if len(found) == 1 else 'are'} {verdict} ({'; '.join([*named, *more])})")
    return " and ".join(parts)


def name_inert(one: Judgement) -> str:
    """Return what of a claim did nothing, in brackets."""
    return f" ({'; '.join(one.inert)})" if one.inert else ""


def name_numbers(one: Judgement) -> str:
    """Return difference, interval and p of a decided or undecided claim; "" if it cannot be tested."""
    if one.claim.cost is not None and one.difference is not None:
        return f": {difference_text(one)}, {one.why}"
    if one.adjusted is None:
        return ""
    unit = " points" if one.claim.measure is None else ""
    return f": {difference_text(one)}{unit}, {describe_p(one.adjusted)}"


def describe_reproduced(judgements: Sequence[Judgement]) -> str:
    """Return how the decided claims relate to the values of the paper."""
    words = {
        "reproduced": "{} reproduced (its value lies in our interval)",
        "direction only": "{} in direction only (no value of it for this data set lies in our interval)",
        "not reproduced": "{} not reproduced",
    }
    counts = {word: sum(one.reproduced == word for one in judgements) for word in words}
    if len(judgements) == 1:
        return describe_single(judgements[0])
    parts = [words[word].format(count) for word, count in counts.items() if count]
    return f"Compared with the paper: {', '.join(parts)}." if parts else "They are claims of the study itself, of no paper."


def describe_single(one: Judgement) -> str:
    """Return how a decided claim relates to the values of the paper; a score or a margin has no direction."""
    score = one.claim.at_least is not None
    if one.reproduced == "no paper":
        return "It is a claim of the study itself, of no paper."
    if one.claim.cost is not None:
        return "As in the paper." if one.verdict == "supported" else "It does not save as much as the paper says."
    if one.reproduced == "reproduced":
        return "The paper's value lies in our interval."
    if one.reproduced == "direction only":
        missing = "no value for this data set in our interval."
        return f"The paper has {missing}" if score else f"Only the paper's direction is confirmed: it has {missing}"
    if score:
        return "The score is below the claimed one."
    return "The difference is smaller than claimed." if one.claim.margin else "The result has the opposite direction."


def name_best(cells: Cells, scales: Scales) -> str:
    """Return a sentence with the highest mean of the first metric, and the baseline arm at the same grid point.

    Upper bounds are left out, and cells with red flags while there are others.
    """
    layout = scales.plan.study.report
    metric, base, bounds = layout.metrics[0], layout.against, layout.bounds
    label = METRICS[metric].label
    means = {
        place: mean for place, cell in cells.items() if (mean := cell.mean(metric)) is not None and place[0] not in bounds
    }
    if not means:
        return "No arm has all its seeds."

    def flagged(arm: str, at: Point) -> str:
        signs = Number(None, marks=scales.doubts.marks(cells[arm, at])).signs
        return f"{percent(means[arm, at])} % {signs}".rstrip()

    clean = {place: mean for place, mean in means.items() if not scales.doubts.marks(cells[place])}
    arm, at = max(clean or means, key=lambda place: means[place])
    n = len(cells[arm, at].results)
    best = f"The highest {label} is {flagged(arm, at)} ({describe_place(arm, at)}, n = {n})"
    shown = [cells[arm, at]]
    if arm != base and (base, at) in means:
        best = f"{best}; {base} has {flagged(base, at)} there"
        shown.append(cells[base, at])
    return f"{'; '.join([best, *scales.doubts.legend(shown)])}."


def count_differences(compared: Sequence[Compared], plan: Plan) -> str:
    """Return a sentence with the number of significant differences."""
    if not compared:
        why = "has one arm" if len(plan.study.arms) == 1 else "has one arm besides its upper bounds"
        return f"The study {why}, so nothing is compared."
    tested = [one for one in compared if one.adjusted is not None]
    if not tested:
        reasons = dict.fromkeys(str(one.test) for one in compared if isinstance(one.test, NotTestable))
        return f"No difference can be tested: {next(iter(reasons))}."
    found = [one for one in tested if one.adjusted is not None and one.adjusted < ALPHA]
    verb = "is" if len(found) == 1 else "are"
    shown = [f"{describe_place(one.label, one.at)} {one.number.text} points" for one in found[:MOST]]
    named = "; ".join([*shown, *([f"{len(found) - MOST} more"] if len(found) > MOST else [])])
    end = f" ({named})" if named else ""
    return f"Of {len(tested)} tested differences, {len(found) or 'none'} {verb} significant after Holm's correction{end}."
