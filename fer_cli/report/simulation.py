"""A simulated analysis of covariance beside the published rows, and the consistency of those rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from fer_cli.blocks import DASH, Block, Note, Table
from fer_cli.interaction.effects import rows_for_power
from fer_cli.interaction.planted import ALPHA, Recovered, Simulation, example_table
from fer_cli.interaction.printed import Finding, Printed, audit, best_fit, common_error, decimals_of, equal_f
from fer_cli.marks import PICTURE, TEX, check_folder
from fer_cli.places import write_text
from fer_cli.report.ancova import csv_text, p_text, plain_text, share_text
from fer_cli.report.effects import Effect, draw_effects
from fer_cli.report.render import RENDERERS, Report

YES, NO = "yes", "no"
EXAMPLE = "simulated.csv"
"""The file of the first simulated data set."""


def simulation_report(plan: Simulation, rows: Sequence[Recovered]) -> Report:
    """Return the paper's rows beside the simulated ones for each outcome, and the audit of the printed rows."""
    title = f"SIMULATION · {plan.name}: {plan.question}"
    cells = f"{plan.n // plan.cells} in each of {plan.cells} cells"
    blocks: list[Block] = [
        Note(
            "SIMULATION: the students are private; nobody was measured, and no number of ours is a replication",
            head=True,
        ),
        Note(f"{plan.datasets:,} data sets, seed {plan.seed}; N = {plan.n} ({cells}), error df {plan.df_error}", head=True),
        Note(
            "planted: coefficients of -1/+1 columns sqrt(η² / (1 - η²)) x sd of the error; the mean of η² is too large "
            f"by about {share_text(1 / (1 + plan.df_error))}; expected: that mean by the noncentral F; "
            f"power without effect: {share_text(ALPHA, 2)}",
            head=True,
        ),
    ]
    if plan.paper is not None and plan.paper.left_out:
        blocks.append(Note(f"not specified in the paper; our choices: {plan.paper.left_out}", head=True))
    blocks += [recovery_table(plan, rows, outcome) for outcome in plan.outcomes]
    blocks += [power_table(plan), *audit_tables(plan)]
    return Report(title, blocks)


def recovery_table(plan: Simulation, rows: Sequence[Recovered], outcome: str) -> Table:
    """Return the paper's rows beside those of the simulation for one outcome."""
    columns = ["paper: F", "paper: p", "paper: η²", "planted η²", "mean η²", "expected", "mean ω²", "share p < .05", "power"]
    lines = []
    for row in rows:
        if row.outcome == outcome:
            printed = plan.outcomes[outcome][row.term]
            ours = [row.planted, row.eta2, row.expected, row.omega2, row.found, row.power]
            lines.append((row.term, [*printed_cells(printed), *(share_text(value) for value in ours)]))
    return Table(f"SIMULATION: {outcome}", columns, lines)


def printed_cells(printed: Printed) -> list[str]:
    """Return F, p and partial eta squared as printed."""
    return [plain_text(printed.f), as_printed(printed.p, 3), as_printed(printed.eta2, 2)]


def as_printed(value: float | str, digits: int) -> str:
    """Return a printed share or bound, with at least ``digits`` decimals."""
    if isinstance(value, str):
        return value.replace("<0", "< ").replace("<.", "< .")
    return f"{value:.{max(digits, decimals_of(value))}f}".removeprefix("0")


def power_table(plan: Simulation) -> Table:
    """Return the fewest people for 80 % power at each planted effect."""
    planted = sorted({row.planted for rows in plan.outcomes.values() for row in rows.values()} - {0.0})
    rows = [(share_text(eta2), [f"{rows_for_power(eta2, plan.parameters):,}"]) for eta2 in planted]
    return Table("People needed for 80 % power at alpha .05, by partial η²", ["N"], rows)


def audit_tables(plan: Simulation) -> list[Table]:
    """Return what the printed F imply, row by row, and what follows from it."""
    findings = audit(plan.outcomes, plan.df_error)
    rows = [(f"{one.outcome}: {one.term}", finding_cells(one)) for one in findings]
    columns = ["F", "p", "p from F", "fits", "η²", "η² from F", "fits", "mean square / F"]
    total = len(findings)
    fits = {name: best_fit(plan.outcomes, name) for name in ("p", "eta2")}
    fitting = sum(one.p_fits for one in findings)
    best = {name: f"{most} (df {range_text(at)})" for name, (most, at) in fits.items()}
    lost = [outcome for outcome in plan.outcomes if common_error(findings, outcome) is None]
    notes = [
        f"I-15: p follows from F in {fitting} of {total} rows at error df {plan.df_error}; at best in {best['p']}",
        *(
            f"I-15: the same F = {plain_text(one.printed.f)} of {one.outcome} has p {as_printed(one.printed.p, 3)} "
            f"({one.term}) and {as_printed(other.printed.p, 3)} ({other.term})"
            for one, other in equal_f(findings)
        ),
        f"I-16: mean square / F must be one error mean square for all rows of an outcome; {len(lost)} of "
        f"{len(plan.outcomes)} outcomes have none that fits",
        f"I-17: η² does not follow from F in {sum(not one.eta_fits for one in findings)} of {total} rows; "
        f"at best it does in {best['eta2']}",
        "every printed number stands for all that round to it",
    ]
    return [Table("Consistency of the printed rows", columns, rows, notes)]


def range_text(numbers: Sequence[int]) -> str:
    """Return ``95``, or ``47 to 49`` for several in order."""
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def finding_cells(one: Finding) -> list[str]:
    """Return what is printed and what F implies."""
    implied = span_text(one.p, p_text), YES if one.p_fits else NO
    effect = span_text(one.eta2, share_text), YES if one.eta_fits else NO
    f, p, eta2 = printed_cells(one.printed)
    return [f, p, *implied, eta2, *effect, span_text(one.ms_error, plain_text)]


def span_text(span: tuple[float, float], write: object) -> str:
    """Return an interval as text, ``write`` its ends; one number if both read alike."""
    assert callable(write)
    low, high = (DASH if math.isinf(end) else write(end) for end in span)
    return str(low) if low == high else f"{low} to {high}"


def check_simulation(plan: Simulation, folder: Path) -> None:
    """Raise FerError if ``write_simulation`` would overwrite what it did not write."""
    marks = {"md": "# SIMULATION", "tex": TEX, "csv": "outcome,term,planted,", "png": PICTURE}
    check_folder(folder, {f"simulation.{name}": mark for name, mark in marks.items()}, "a file of fer analyze ancova")
    check_folder(folder, {EXAMPLE: csv_text([example_table(plan)]).splitlines()[0]}, "the data of this simulation")


def write_simulation(plan: Simulation, rows: Sequence[Recovered], report: Report, folder: Path) -> list[Path]:
    """Write tables (Markdown, LaTeX), numbers (CSV), the first data set and the figure; return the files."""
    files = [folder / f"simulation.{name}" for name in ("md", "tex")]
    for path in files:
        write_text(path, RENDERERS[path.suffix[1:]](report))
    write_text(folder / "simulation.csv", csv_text([vars(row) for row in rows]))
    table = example_table(plan)
    people = [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]
    write_text(folder / EXAMPLE, csv_text(people))
    groups = {
        outcome: [
            Effect(row.term, row.eta2, (row.low, row.high), printed=printed_value(plan.outcomes[outcome][row.term]))
            for row in rows
            if row.outcome == outcome
        ]
        for outcome in plan.outcomes
    }
    figure = draw_effects(
        "SIMULATION: planted effects",
        groups,
        folder / "simulation.png",
        foot=f"{plan.datasets:,} data sets, seed {plan.seed}; N = {plan.n}, error df {plan.df_error}; nobody was measured; "
        "a printed bound is drawn at its number",
        ours="mean, central 95 % of data sets",
    )
    return [*files, folder / "simulation.csv", folder / EXAMPLE, figure]


def printed_value(printed: Printed) -> float:
    """Return where the published value is drawn: a bound at its number."""
    return printed.interval("eta2")[1] if isinstance(printed.eta2, str) else printed.eta2
