"""Analyses of covariance as tables in the paper's form (teacher study 2024, Tables 6-8), with their assumptions."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fer_cli.blocks import DASH, MINUS, Block, Note, Table, decimal
from fer_cli.escape import csv_cell
from fer_cli.interaction.ancova import Ancova, Check, Mean
from fer_cli.marks import PICTURE, TEX, check_folder
from fer_cli.places import write_text
from fer_cli.report.effects import Effect, draw_effects
from fer_cli.report.render import RENDERERS, Report

FILES = {
    "ancova.md": "# Effects on ",
    "ancova.tex": TEX,
    "ancova.csv": "outcome,effect,kind,",
    "means.csv": "outcome,",
    "effects.png": PICTURE,
}
"""The files written -> what one of ours holds at its beginning."""
EFFECTS = ["df", "mean square", "F", "p", "partial η²", "90 % interval", "partial ω²"]
METHOD = (
    "least squares, sum-to-zero contrasts, Type III; intervals of partial η² by the noncentral F: the 90 % interval is "
    "above 0 exactly where p < .05; partial η² overestimates, partial ω² corrects for that and may be negative"
)
MEANS = "adjusted to the means of the covariates, all cells with equal weight; 95 % intervals"


def share_text(value: float | None, digits: int = 3) -> str:
    """Return a share without its leading zero: ``.184``, ``< .001``, ``> .999``, ``−.010``."""
    if value is None:
        return DASH
    least = 10.0**-digits
    if 0 < value < least / 2 or 1 - least / 2 < value < 1:
        small = f"{least:.{digits}f}".removeprefix("0")
        return f"< {small}" if value < 0.5 else f"> {1 - least:.{digits}f}".replace("0.", ".")
    text = f"{abs(value):.{digits}f}"
    text = text.removeprefix("0") if text.startswith("0.") else text
    return text if value >= 0 or not text.strip(".0") else MINUS + text


def p_text(p: float | None) -> str:
    """Return a p value with three decimals, ``< .001`` below."""
    return "< .001" if p is not None and p < 0.001 else share_text(p)


def plain_text(value: float | None) -> str:
    """Return a number with two decimals, or two digits if it is small."""
    if value is None:
        return DASH
    size = abs(value)
    text = f"{value:.2f}" if size >= 0.095 or value == 0 else f"{value:.2g}"
    return (f"{value:.4g}" if size >= 1e6 else text).replace("-", MINUS)


def interval_text(interval: tuple[float, float] | None) -> str:
    """Return an interval of shares: ``[.012, .194]``."""
    if interval is None:
        return DASH
    low, high = (f"{bound:.3f}".removeprefix("0") if bound < 0.9995 else "1" for bound in interval)
    return f"[{low}, {high}]"


def ancova_report(analyses: Sequence[Ancova], where: str) -> Report:
    """Return the report on outcomes of one table: effects, assumptions and means of each."""
    blocks: list[Block] = [Note(METHOD, head=True)]
    for one in analyses:
        blocks += [effects_table(one), checks_table(one), means_table(one)]
    return Report(f"Effects on {', '.join(one.outcome for one in analyses)} ({where})", blocks)


def effects_table(one: Ancova) -> Table:
    """Return the table in the paper's form, with the error's row."""
    rows = [
        (
            f"{term.name} (covariate)" if term.kind == "covariate" else term.name,
            [
                str(term.df),
                plain_text(term.ms),
                plain_text(term.f),
                p_text(term.p),
                share_text(term.eta2),
                interval_text(term.narrow),
                share_text(term.omega2),
            ],
        )
        for term in one.terms
    ]
    rows.append(("error", [str(one.df_error), plain_text(one.ms_error), "", "", "", "", ""]))
    sizes = [mean.n for mean in one.cells]
    cells = f"{min(sizes)} rows" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)} rows"
    notes = [f"N = {one.n}, {len(sizes)} cells of {cells}, error df {one.df_error}; {drop_text(one.dropped)}"]
    return Table(f"{one.outcome}: {one.method}", EFFECTS, rows, notes)


def drop_text(dropped: dict[str, int]) -> str:
    """Return how many rows were left out and why."""
    if not dropped:
        return "no row left out"
    count = sum(dropped.values())
    reasons = ", ".join(f"{reason} {number}" for reason, number in dropped.items())
    return f"{count} row{'s' * (count != 1)} left out: {reasons}"


def checks_table(one: Ancova) -> Table:
    """Return the tests of the assumptions; a small p speaks against one."""
    rows = [
        (check.name, [check_statistic(check), p_text(check.p) if check.p is not None else check.note])
        for check in one.checks
    ]
    return Table(f"{one.outcome}: assumptions", ["test", "p"], rows, ["a small p speaks against the assumption"])


def check_statistic(check: Check) -> str:
    """Return ``F(3, 95) = 0.65``, ``W = .987``, or a dash."""
    if check.statistic is None:
        return DASH
    if check.df is None:
        return f"W = {share_text(check.statistic)}"
    return f"F({check.df[0]}, {check.df[1]}) = {plain_text(check.statistic)}"


def means_table(one: Ancova) -> Table:
    """Return raw and adjusted means of cells and of levels of each factor, to a hundredth of the error's sd or finer."""
    digits = max(0, 2 - math.floor(math.log10(math.sqrt(one.ms_error))))
    rows = []
    for mean in [*one.cells, *one.marginal]:
        raw, adjusted, low, high = (decimal(value, digits) for value in (mean.raw, mean.adjusted, mean.low, mean.high))
        rows.append((level_text(mean), [str(mean.n), raw, adjusted, f"[{low}, {high}]"]))
    at = ", ".join(f"{name} = {plain_text(value)}" for name, value in one.covariates.items())
    note = f"{MEANS}; covariates at {at}" if at else "no covariate: adjusted for unequal cells only; 95 % intervals"
    return Table(f"{one.outcome}: means", ["n", "mean", "adjusted", "95 % interval"], rows, [note])


def level_text(mean: Mean) -> str:
    """Return ``face high, body low``."""
    return ", ".join(f"{name} {level}" for name, level in mean.levels.items())


def check_outputs(folder: Path, tables: Iterable[Path]) -> None:
    """Raise FerError if ``write_ancova`` would overwrite one of the analysed tables, or what it did not write."""
    check_folder(folder, FILES, "a file of fer analyze ancova", tables)


def write_ancova(analyses: Sequence[Ancova], report: Report, folder: Path) -> list[Path]:
    """Write tables (Markdown, LaTeX), unrounded numbers (CSV) and the figure of effect sizes; return the files."""
    *files, effects, means, picture = (folder / name for name in FILES)
    for path in files:
        write_text(path, RENDERERS[path.suffix[1:]](report))
    write_text(effects, csv_text(effect_rows(analyses)))
    write_text(means, csv_text(mean_rows(analyses)))
    groups = {one.outcome: [Effect(term.name, term.eta2, term.wide, term.narrow) for term in one.terms] for one in analyses}
    foot = [f"{one.outcome}: N = {one.n}, error df {one.df_error}" for one in analyses]
    figure = draw_effects("Effect sizes", groups, picture, foot="; ".join(foot))
    return [*files, effects, means, figure]


def effect_rows(analyses: Iterable[Ancova]) -> list[dict[str, Any]]:
    """Return one row per outcome and effect, unrounded, and the error's."""
    rows: list[dict[str, Any]] = []
    for one in analyses:
        same = {"outcome": one.outcome}
        for term in one.terms:
            row = same | {"effect": term.name, "kind": term.kind, "df": term.df, "ss": term.ss, "ms": term.ms, "F": term.f}
            row |= {"p": term.p, "partial_eta2": term.eta2}
            for name, interval in (("90", term.narrow), ("95", term.wide)):
                row |= {f"low_{name}": interval and interval[0], f"high_{name}": interval and interval[1]}
            rows.append(row | {"partial_omega2": term.omega2, "n": one.n})
        rows.append(same | {"effect": "error", "kind": "error", "df": one.df_error, "ss": one.ss_error, "ms": one.ms_error})
        rows += [
            same
            | {"effect": check.name, "kind": "check", "df": check.df and check.df[0], "p": check.p}
            | {"F" if check.df else "W": check.statistic}
            for check in one.checks
        ]
    return rows


def mean_rows(analyses: Iterable[Ancova]) -> list[dict[str, Any]]:
    """Return one row per outcome and cell, or level of a factor; other factors are empty there."""
    return [
        {"outcome": one.outcome, **dict.fromkeys(one.cells[0].levels, ""), **mean.levels, "n": mean.n, "mean": mean.raw}
        | {"adjusted": mean.adjusted, "low_95": mean.low, "high_95": mean.high}
        for one in analyses
        for mean in [*one.cells, *one.marginal]
    ]


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV; columns in the order of their first use."""
    out = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows([csv_cell("" if row.get(name) is None else row[name]) for name in columns] for row in rows)
    return out.getvalue()
