"""The report of a session as one HTML page without remote assets (Aly 2023, Figures 13 and 14)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from fer_cli.escape import one_line
from fer_cli.interaction.display import choose_students, count_hidden
from fer_cli.interaction.feedback import (
    CAUTION,
    HEAD,
    MEASURES,
    Feedback,
    describe_data,
    describe_thresholds,
    raised,
    table_rows,
)
from fer_cli.interaction.findings import CLASS, Finding, merge_windows, natural
from fer_cli.interaction.svg import clock, draw_shares, draw_timeline
from fer_cli.interaction.thresholds import FocusThresholds

GENERATOR = '<meta name="generator" content="fer monitor">'
LAW = (
    "Some laws forbid to infer the emotions of pupils and students: in the European Union, Article 5(1)(f) of the AI Act "
    "(Regulation (EU) 2024/1689) does so in education, except for medical or safety reasons. Film only people who have "
    "consented, and ask who is responsible for data protection first."
)
MEANING = (
    "Difficulty means many events in a row with a label that stands for anger or distress by convention (below).",
    "A student is a face that was followed; after two seconds out of view it is another one.",
)
STYLE = """
body{font-family:sans-serif;line-height:1.4;max-width:1040px;margin:1.5em auto;padding:0 1em;color:#111}
.caution{border-left:5px solid #D55E00;background:#fbf3ee;padding:.4em 1em}
table{border-collapse:collapse;margin:.6em 0}
th,td{border-bottom:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}
th.n,td.n{text-align:right;white-space:nowrap}
.table{overflow-x:auto;font-size:.93em}
.table td:last-child{min-width:9em}
svg{max-width:100%;height:auto;display:block;margin:.6em 0}
h2{margin-top:1.6em}
"""


def write_page(feedback: Feedback, run: str = "", source: str = "", notes: Sequence[str] = ()) -> str:
    """Return the page; ``run``: of the recogniser, ``source``: file or camera, ``notes``: sentences on the session."""
    events, findings = feedback.events, feedback.findings
    hidden = count_hidden(events, choose_students(events, findings))
    left_out = f" {hidden} more students are left out." if hidden else ""
    facts = [f"recognised by run {run}"] if run else []
    facts += [f"filmed: {source}"] if source else []
    facts += [*describe_data(feedback), *notes]
    parts = [
        '<div class="caution">',
        *_paragraphs([*CAUTION, LAW]),
        "</div>",
        *_list(facts),
        "<h2>States over time</h2>",
        draw_timeline(events, findings, feedback.emotions),
        "<p>Most frequent state in each part of the time, of at least a second. Point at a bar or a mark for its time."
        f"{left_out}</p>",
        "<h2>Alerts and advice</h2>",
        *_alerts(findings),
        *_list([describe_inattention(feedback.thresholds.focus), *MEANING]),
        "<h2>Expressions by course</h2>",
        draw_shares(events, feedback.emotions),
        "<p>Shares of the events with a face.</p>",
        "<h2>Measured by student</h2>",
        *_measured(findings),
        "<h2>Conventions</h2>",
        *_list(feedback.emotions.conventions()),
        "<h2>Thresholds</h2>",
        *_list(describe_thresholds(feedback.thresholds)),
    ]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            GENERATOR,
            '<meta name="viewport" content="width=device-width">\n<title>Monitored session</title>',
            f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>Monitored session</h1>",
            *parts,
            "</body>\n</html>\n",
        ]
    )


def describe_inattention(limits: FocusThresholds) -> str:
    """Return what the findings of focus mean by thresholds."""
    return (
        f"Inattentive means that no face was found in more than {100 * limits.missing:g} % of the frames of "
        f"{limits.window_s:g} s: whoever reads or writes is that too."
    )


def _alerts(findings: Sequence[Finding]) -> list[str]:
    """Return a table of what asks for something, windows that follow each other as one."""
    found = raised(findings)
    if not found:
        return ["<p>Nothing raised.</p>"]
    rows = table_rows(found)
    start, end, outcome = (HEAD.index(name) for name in ("start (s)", "end (s)", "outcome"))
    for row, one in zip(rows, merge_windows(found), strict=True):
        row[start : end + 1] = [f"{clock(one.start)}–{clock(one.end)}"]
        row[outcome] = row[outcome].replace("_", " ")
    head = [*HEAD[:start], "time", *HEAD[end + 1 :]]
    return _table(head, rows, {"time", "value", "n"})


def _measured(findings: Sequence[Finding]) -> list[str]:
    """Return a table of what was measured, a row per student and lesson, the class first."""
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for one in merge_windows(findings):
        if one.rule in MEASURES:
            value = "–" if one.value is None else f"{one.value:.2f}"
            rows.setdefault((one.student, one.course, one.lesson), {})[one.rule] = f"{value} ({one.n})"
    ordered = sorted(rows, key=lambda key: (key[0] != CLASS, natural(key[0]), key[1:]))
    cells = [
        ["class" if key[0] == CLASS else key[0], key[1], key[2], *(rows[key].get(rule, "–") for rule in MEASURES)]
        for key in ordered
    ]
    names = [f"{name} (n)" for name in MEASURES.values()]
    return _table(["student", "course", "lesson", *names], cells, set(names))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[str]) -> list[str]:
    """Return a table without the columns that are empty; ``numbers``: columns to align at the right."""
    listed = list(rows)
    kept = [place for place in range(len(head)) if any(row[place] for row in listed)]
    lines = [
        '<div class="table"><table>',
        f"<tr>{''.join(_cell(head[place], head[place] in numbers, 'th') for place in kept)}</tr>",
    ]
    rest = [f"<tr>{''.join(_cell(row[place], head[place] in numbers) for place in kept)}</tr>" for row in listed]
    return [*lines, *rest, "</table></div>"]


def _cell(text: str, number: bool, tag: str = "td") -> str:
    kind = ' class="n"' if number else ""
    return f"<{tag}{kind}>{escape(one_line(text))}</{tag}>"


def _paragraphs(sentences: Iterable[str]) -> list[str]:
    return [f"<p>{escape(one_line(one))}</p>" for one in sentences]


def _list(sentences: Iterable[str]) -> list[str]:
    return ["<ul>", *(f"<li>{escape(one_line(one))}</li>" for one in sentences), "</ul>"]
