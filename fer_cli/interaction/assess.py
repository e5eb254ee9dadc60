"""From a file of events to findings, a report and pictures: what ``fer analyze status`` does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from fer_cli.errors import FerError
from fer_cli.escape import PATH, cut
from fer_cli.interaction.classroom import COURSES, simulate_class
from fer_cli.interaction.courses import Course, read_courses
from fer_cli.interaction.emotions import EmotionMap, expressions
from fer_cli.interaction.events import Event, read_events
from fer_cli.interaction.feedback import COLUMNS, TITLE, Feedback, findings_csv, write_report
from fer_cli.interaction.findings import Finding, Rule, find
from fer_cli.interaction.preferences import preference_rules
from fer_cli.interaction.status import status_rules
from fer_cli.interaction.strategies import strategy_rules
from fer_cli.interaction.thresholds import Thresholds
from fer_cli.marks import FOLDER, PICTURE, check_folder, check_place
from fer_cli.places import write_text
from fer_cli.yamls import explain, parse_yaml, read_text

EXAMPLE = "SIMULATION: eight students, three lessons, planted episodes; no real person"
REPORT, FINDINGS, PICTURES = "report.md", "findings.csv", ("timeline.png", "shares.png")


def all_rules(emotions: EmotionMap, thresholds: Thresholds, courses: Iterable[Course] = ()) -> list[Rule]:
    """Return new rules of learning status, preference and all strategies."""
    rules = [*status_rules(emotions, thresholds), *preference_rules(emotions, thresholds, courses)]
    return rules + strategy_rules(emotions, thresholds)


def read_thresholds(path: Path | None) -> Thresholds:
    """Return the thresholds of a YAML, which may leave any out, or the default ones; raises FerError for a wrong one."""
    if path is None:
        return Thresholds()
    where = cut(path, PATH)
    tree = parse_yaml(read_text(path, FerError), where, FerError)
    try:
        return Thresholds.model_validate(tree)
    except ValidationError as error:
        raise FerError(f"{where}: {explain(error, Thresholds)}") from None


def assess(
    events: Sequence[Event],
    emotions: EmotionMap,
    thresholds: Thresholds,
    courses: Iterable[Course] = (),
    source: str = "",
    dropped: Sequence[str] = (),
) -> Feedback:
    """Return what all rules find in events in order of time."""
    findings = find(events, all_rules(emotions, thresholds, courses))
    return Feedback(emotions, thresholds, events, findings, source, dropped)


def assess_file(path: Path | None, kind: str, settings: Path | None = None, catalogue: Path | None = None) -> Feedback:
    """Return what is found in a file of events, None: in the simulated class.

    ``kind``: name of the expressions; ``settings``: a YAML of thresholds; ``catalogue``: a CSV of courses. Raises FerError.
    """
    emotions, thresholds = expressions(kind), read_thresholds(settings)
    courses = None if catalogue is None else read_courses(catalogue)
    if path is None:
        return assess(simulate_class(kind=kind)[0], emotions, thresholds, courses or COURSES, EXAMPLE)
    stream = read_events(path, emotions)
    return assess(stream.events, emotions, thresholds, courses or (), cut(path.name), stream.summary())


def check_findings(path: Path, events: Path | None = None) -> None:
    """Raise FerError if anything but findings would be overwritten; see ``check_place``."""
    check_place(path, ",".join(COLUMNS), "findings of fer", filter(None, [events]), FOLDER)


def check_feedback(out: Path, events: Path | None) -> None:
    """Raise FerError if ``write_feedback`` would overwrite the file of events, or what it did not write."""
    check_findings(out / FINDINGS, events)
    marks = {REPORT: TITLE, **dict.fromkeys(PICTURES, PICTURE)}
    check_folder(out, marks, "a file of fer analyze status", filter(None, [events]))


def write_feedback(feedback: Feedback, out: Path) -> list[Path]:
    """Write report, findings and pictures into a folder and return their paths."""
    from fer_cli.interaction.pictures import draw_shares, draw_timeline

    report, table = out / REPORT, out / FINDINGS
    write_text(report, write_report(feedback))
    write_text(table, findings_csv(feedback.findings))
    findings: Sequence[Finding] = feedback.findings
    return [
        report,
        table,
        draw_timeline(feedback.events, findings, feedback.emotions, out / PICTURES[0]),
        draw_shares(feedback.events, feedback.emotions, out / PICTURES[1]),
    ]
