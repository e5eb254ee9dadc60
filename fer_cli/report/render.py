"""Tables as Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io

from fer_cli.ablate import Plan
from fer_cli.report.collect import Cells
from fer_cli.table import Table, Text

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "α": r"$\alpha$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def markdown(title: str, head: list[str], tables: list[Table], foot: list[str]) -> str:
    """Return the whole report as Markdown."""
    lines = [f"# {title}", "", *(f"- {line}" for line in head), ""]
    for table in tables:
        lines += [f"## {table.title}", ""]
        lines.append("| " + " | ".join(escape_pipes(text) for text in ["", *table.columns]) + " |")
        lines.append("|" + "---|" * (len(table.columns) + 1))
        for label, texts in table.rows:
            cells = [f"**{cell.text}**" if cell.bold else cell.text for cell in texts]
            lines.append("| " + " | ".join(escape_pipes(text) for text in [label, *cells]) + " |")
        lines += ["", *(f"- {note}" for note in table.notes), *([""] if table.notes else [])]
    if foot:
        lines += ["## Notes", "", *(f"- {line}" for line in foot), ""]
    return "\n".join(lines)


def escape_pipes(text: str) -> str:
    """Return text that cannot end a Markdown table cell."""
    return text.replace("|", "\\|")


def latex_text(text: str) -> str:
    """Return text safe in LaTeX."""
    return "".join(LATEX.get(character, character) for character in text)


def latex_cell(cell: Text) -> str:
    """Return a table cell in LaTeX."""
    return rf"\textbf{{{latex_text(cell.text)}}}" if cell.bold else latex_text(cell.text)


def latex(head: list[str], tables: list[Table], foot: list[str]) -> str:
    """Return every table as a ``table`` environment; provenance and notes stand in comments (needs booktabs)."""
    lines = [r"% needs \usepackage{booktabs}", *(f"% {line}" for line in [*head, *foot])]
    for table in tables:
        lines += ["", r"\begin{table}", r"\centering", rf"\caption{{{latex_text(table.title)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}", r"\toprule"]
        lines.append(" & ".join(["", *(latex_text(column) for column in table.columns)]) + r" \\")
        lines.append(r"\midrule")
        for label, texts in table.rows:
            lines.append(" & ".join([latex_text(label), *(latex_cell(cell) for cell in texts)]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par\footnotesize {latex_text(note)}" for note in table.notes]
        lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


def tidy_csv(plan: Plan, cells: Cells) -> str:
    """Return one line per run and metric: everything needed to recompute each cell, with the run it came from."""
    factors, settings = list(plan.study.grid), ["study", "profile", "data", "fingerprint", "split", "split_hash"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [*settings, "arm", *factors, "seed", "metric", "value", "n_test", "selected_on", "epoch", "run_id", "commit"]
    )
    for (arm, at), cell in cells.items():
        for seed in cell.seeds:
            result = cell.results[seed]
            config = result["config"]
            where = [plan.study.name, plan.choice.profile, config["data"]["name"], result["fingerprint"]]
            where += [config["data"]["split"], result["data"]["split_hash"]]
            choice = [result["selection"]["rule"], result["selection"]["epoch"]]
            made = [result["run_id"], result["provenance"]["commit"] or result["provenance"]["fer"]]
            for metric in plan.study.report.metrics:
                value = result["metrics"]["test"][metric]
                n = result["metrics"]["test"]["n"]
                writer.writerow([*where, arm, *(v for _, v in at), seed, metric, repr(value), n, *choice, *made])
    return out.getvalue()
