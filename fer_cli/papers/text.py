"""Checks of the text against the tables: by how much one cell exceeds another, in points or in percent of the other."""

from __future__ import annotations

from collections.abc import Iterator

from fer_cli.papers.findings import Found, join
from fer_cli.papers.printed import Printed, Span
from fer_cli.papers.schema import Claim, Paper, Scores, Unit, as_share


def unit_of(paper: Paper, path: list[str]) -> Unit:
    """Return the unit of the cell at a path."""
    table = paper.tables[path[0]]
    return (table.column(path[-1]).unit or table.unit) if isinstance(table, Scores) else table.unit


def list_pairs(paper: Paper, claim: Claim) -> list[tuple[list[str], list[str], Printed, Printed]]:
    """Return paths and cells of the pairs of a claim, none if a cell is empty."""
    paths = claim.pairs or ([[claim.of, claim.over]] if claim.of is not None and isinstance(claim.over, list) else [])
    found = [(of, over, paper.cell(of), paper.cell(over)) for of, over in paths]
    if any(one is None or other is None for *_, one, other in found):
        return []
    return found  # type: ignore[return-value]


def scale(cell: Printed, own: Unit, unit: Unit) -> Span:
    """Return a cell of unit ``own`` in ``unit``; of %, share and a printed % sign each becomes the other."""
    if unit == "plain" or (own == "plain" and not cell.percent):
        return cell.span
    return as_share(cell, own) * (100 if unit == "%" else 1)


READINGS = {"points": "points", "rise": "% of the smaller", "fall": "% of the larger"}
"""Reading of a gain -> its words: a difference, or relative to the second cell (a rise to the first) or to the first."""


def gains(paper: Paper, claim: Claim) -> dict[str, tuple[Span, Span | None]]:
    """Return the readings of a claim -> its interval of gains, and that of ``by``; of several pairs the largest gain.

    ``points`` are differences in the tables' unit (percentage points for %).
    """
    found: dict[str, list[Span]] = {name: [] for name in READINGS}
    unit: Unit = "plain"
    pairs = list_pairs(paper, claim)
    for of, over, one, other in pairs:
        unit = unit_of(paper, of)
        first, second = scale(one, unit, unit), scale(other, unit_of(paper, over), unit)
        found["points"].append(first - second)
        for name, base in (("rise", second), ("fall", first)):
            if base.low > 0:
                found[name].append((first - second).quotient(base) * 100)
    by: dict[str, Span | None] = dict.fromkeys(READINGS)
    if claim.by is not None:
        relative = claim.by.span * (1 if claim.by.percent or unit != "share" else 100)
        by = {"points": scale(claim.by, unit, unit), "rise": relative, "fall": relative}
    return {name: (largest(spans), by[name]) for name, spans in found.items() if pairs and len(spans) == len(pairs)}


def largest(spans: list[Span]) -> Span:
    """Return the interval of the largest of several values."""
    return Span(max(span.low for span in spans), max(span.high for span in spans))


def check_gains(paper: Paper) -> Iterator[Found]:
    """Yield claims whose gain fits no reading (or not the stated one), and orders that the cells contradict."""
    for claim in paper.claims:
        readings = gains(paper, claim)
        if not readings:
            continue
        cells = tuple(join(*path) for of, over, *_ in list_pairs(paper, claim) for path in (of, over))
        if claim.by is None:
            gain = readings["points"][0]
            if gain.high < -gain.slack:
                yield Found(
                    claim.place, cells, f"the text puts the first above the second; the cells differ by {gain.text()}"
                )
            continue
        allowed = {None: set(READINGS), "points": {"points"}, "percent": {"rise", "fall"}}[claim.unit]
        if not any(by is not None and gain.meets(by) for name, (gain, by) in readings.items() if name in allowed):
            shown = " or ".join(f"{gain.text()} {READINGS[name]}" for name, (gain, _) in readings.items())
            yield Found(claim.place, cells, f"the text states {claim.by.text}, the cells give {shown}")


def check_open_gains(paper: Paper) -> Iterator[Found]:
    """Yield claims against a value that the paper does not print, which the two readings make two values."""
    for claim in paper.claims:
        one = paper.cell(claim.of) if claim.of is not None else None
        if one is None or claim.by is None or not isinstance(claim.over, str) or claim.unit is not None:
            continue
        assert claim.of is not None
        unit = unit_of(paper, claim.of)
        ours, by = scale(one, unit, unit), scale(claim.by, unit, unit)
        relative = claim.by.span * (0.01 if claim.by.percent or unit != "share" else 1)
        points, percent = ours - by, ours.over(Span(1 + relative.low, 1 + relative.high))
        if not points.meets(percent):
            text = f"{one.text} exceeds {claim.over} by {claim.by.text}: {claim.over}, not printed, is {points.text()} if"
            yield Found(claim.place, (join(*claim.of),), f"{text} these are points, {percent.text()} if percent of it")
