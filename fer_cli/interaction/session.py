"""A monitored session in a folder: its log of events, what is known of it, and the report that is made of both.

The report is always made from the log, so that one of an interrupted session is what the log holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from fer_cli.config.section import Section
from fer_cli.errors import FerError
from fer_cli.escape import PATH, cut
from fer_cli.interaction.assess import FINDINGS, assess, check_findings, read_thresholds
from fer_cli.interaction.emotions import EXPRESSIONS, EmotionMap, expressions
from fer_cli.interaction.events import read_events
from fer_cli.interaction.feedback import Feedback, findings_csv
from fer_cli.interaction.html import GENERATOR, write_page
from fer_cli.interaction.thresholds import Thresholds
from fer_cli.marks import FOLDER, check_place
from fer_cli.places import read_text, write_text

LOG, INFO, PAGE = "events.jsonl", "session.json", "report.html"
VERSION = 1


class SessionInfo(Section):
    """What is known of a session besides its events; written when it begins."""

    version: int = VERSION
    run: str = ""
    source: str = ""
    """File or camera."""
    expressions: str
    """Name of the expressions."""
    notes: tuple[str, ...] = ()
    """Sentences on smoothing, heads and the recogniser."""
    thresholds: Thresholds = Thresholds()


def write_info(folder: Path, info: SessionInfo) -> None:
    """Write what is known of a session into its folder."""
    write_text(folder / INFO, info.model_dump_json(indent=1) + "\n")


def read_info(log: Path) -> SessionInfo | None:
    """Return what is known of the session of a log, None without a file; raises FerError for a damaged one."""
    path = log.with_name(INFO)
    try:
        return SessionInfo.model_validate_json(read_text(path))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError):
        raise FerError(f"{cut(path, PATH)}: not what fer monitor writes; move it away to read the log alone") from None


def choose_expressions(classes: Iterable[str], given: str | None, where: str) -> EmotionMap:
    """Return the expressions that a recogniser's classes are among; raises FerError if there are none.

    ``given``: name of the expressions; None: the first that have all classes.
    """
    names = list(classes)
    if given is not None:
        emotions = expressions(given)
        for name in names:
            try:
                emotions.check(name)
            except FerError as error:
                raise FerError(f"{where}: {error}") from None
        return emotions
    for emotions in EXPRESSIONS.values():
        if set(names) <= set(emotions.classes):
            return emotions
    kinds = "; ".join(f"{name}: {', '.join(one.classes)}" for name, one in EXPRESSIONS.items())
    raise FerError(f"{where}: the rules know no set of expressions with all of {cut(', '.join(names))} ({kinds})")


def guess_expressions(log: Path) -> EmotionMap:
    """Return the first expressions by which a log can be read; raises FerError as ``read_events`` for the first of them."""
    first: FerError | None = None
    for emotions in EXPRESSIONS.values():
        try:
            read_events(log, emotions)
        except FerError as error:
            first = first or error
        else:
            return emotions
    assert first is not None
    raise first


def assess_log(log: Path, kind: str | None = None, settings: Path | None = None) -> tuple[Feedback, SessionInfo]:
    """Return what is found in a log, and what is known of its session.

    ``kind``: name of the expressions, and ``settings``: YAML of thresholds; by default, those of the session.
    """
    info = read_info(log)
    if kind is None and info is not None:
        kind = info.expressions
    emotions = guess_expressions(log) if kind is None else expressions(kind)
    limits = info.thresholds if info is not None and settings is None else read_thresholds(settings)
    stream = read_events(log, emotions)
    dropped = stream.summary()
    known = info or SessionInfo(expressions=emotions.name)
    return assess(stream.events, emotions, limits, (), cut(log.name), dropped), known


def check_outputs(folder: Path, log: Path | None = None) -> None:
    """Raise FerError if ``write_session`` would overwrite the log, or a file that is no report or no findings."""
    check_place(folder / PAGE, GENERATOR, "a report of fer monitor", filter(None, [log]), FOLDER)
    check_findings(folder / FINDINGS, log)


def write_session(feedback: Feedback, info: SessionInfo, folder: Path, log: Path | None = None) -> list[Path]:
    """Write the report and all findings of a log into a folder and return their paths; raises as ``check_outputs``."""
    check_outputs(folder, log)
    page, table = folder / PAGE, folder / FINDINGS
    write_text(page, write_page(feedback, info.run, info.source, info.notes))
    write_text(table, findings_csv(feedback.findings))
    return [page, table]
