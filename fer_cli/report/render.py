"""Tables as Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from fer_cli import escape
from fer_cli.plan import Plan
from fer_cli.report.collect import Cells
from fer_cli.table import Table, Text


def markdown(title: str, head: list[str], tables: list[Table], foot: list[str]) -> str:
    """Return the whole report as Markdown."""
    lines = [f"# {escape.markdown(title)}", "", *items(head), ""]
    for table in tables:
        lines += [f"## {escape.markdown(table.title)}", ""]
        lines.append(markdown_row(["", *table.columns]))
        lines.append("|" + "---|" * (len(table.columns) + 1))
        lines += [markdown_row([label, *texts]) for label, texts in table.rows]
        lines += ["", *items(table.notes), *([""] if table.notes else [])]
    if foot:
        lines += ["## Notes", "", *items(foot), ""]
    return "\n".join(lines)


def items(lines: list[str]) -> list[str]:
    """Return the items of a Markdown list."""
    return [f"- {escape.markdown(line)}" for line in lines]


def markdown_row(cells: Sequence[str | Text]) -> str:
    """Return a row of a Markdown table."""
    texts = [Text(cell) if isinstance(cell, str) else cell for cell in cells]
    return "| " + " | ".join(f"**{escape.markdown(t.text)}**" if t.bold else escape.markdown(t.text) for t in texts) + " |"


def latex_cell(cell: Text) -> str:
    """Return a table cell in LaTeX."""
    return rf"\textbf{{{escape.latex(cell.text)}}}" if cell.bold else escape.latex(cell.text)


def latex(head: list[str], tables: list[Table], foot: list[str]) -> str:
    """Return every table as a ``table`` environment; provenance and notes stand in comments (needs booktabs)."""
    lines = [escape.latex_comment(line) for line in [r"needs \usepackage{booktabs}", *head, *foot]]
    for table in tables:
        lines += ["", r"\begin{table}", r"\centering", rf"\caption{{{escape.latex(table.title)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}", r"\toprule"]
        lines.append(escape.latex_row(["", *(escape.latex(column) for column in table.columns)]))
        lines.append(r"\midrule")
        for label, texts in table.rows:
            lines.append(escape.latex_row([escape.latex(label), *(latex_cell(cell) for cell in texts)]))
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par\footnotesize {escape.latex(note)}" for note in table.notes]
        lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


def tidy_csv(plan: Plan, cells: Cells) -> str:
    """Return one line per run and metric: everything needed to recompute each cell, with the run it came from."""
    factors, settings = list(plan.factors), ["study", "profile", "data", "fingerprint", "split", "split_hash"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    measured = ["seed", "metric", "value", "n_test", "selected_on", "epoch", "run_id", "commit"]
    writer.writerow(map(escape.csv_cell, [*settings, "arm", *factors, *measured]))
    for (arm, at), cell in cells.items():
        for seed in cell.seeds:
            result = cell.results[seed]
            data, test = result.config.data, result.metrics["test"]
            where = [plan.study.name, plan.choice.profile, data.name, result.fingerprint, data.split, result.data.split_hash]
            choice = [result.selection.rule, result.selection.epoch]
            made = [result.run_id, result.provenance.version]
            for metric in plan.study.report.metrics:
                row = [*where, arm, *(v for _, v in at), seed, metric, test[metric], test.n, *choice, *made]
                writer.writerow(map(escape.csv_cell, row))
    return out.getvalue()
