"""Events, one per student and frame, which the rules read; and their files, JSON lines or CSV.

The schema is ours (Aly 2023 and He 2025 give none). Faults of a file's form (an unknown column or class, text for a number)
are FerErrors that name file and line. Faults of single events, as live streams have them (time running backwards, a
duplicate, probabilities that do not add up), drop the event and are counted.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fer_cli.digits import parse_number
from fer_cli.errors import FerError, nearest
from fer_cli.escape import PATH, cut
from fer_cli.interaction.emotions import EmotionMap
from fer_cli.places import open_regular

MOST_BYTES = 2**30
"""Size limit of a file of events."""
MOST_S = 1e11
"""Largest time in seconds: larger ones are milliseconds or no times."""
TOLERANCE = 1e-3
"""By which the sum of probabilities may differ from 1."""
PREFIX = "p_"
"""Before the class name in the CSV columns of probabilities."""
BACKWARDS = "time runs backwards for a student, whose times go on from lesson to lesson"
TEXTS = ("student", "course", "topic", "activity", "lesson", "pace", "emotion")
NUMBERS = {"t": "time", "probabilities": "probability"}
"""Field -> its name in reasons, where they differ."""
FLAGS = ("frame_ok", "face", "head_down")
WORDS = {"true": True, "1": True, "false": False, "0": False}
"""Spellings of a truth value in CSV, in lower case."""

Time = Annotated[float, Field(allow_inf_nan=False, ge=-MOST_S, le=MOST_S)]
Share = Annotated[float, Field(allow_inf_nan=False)]


class Event(BaseModel):
    """What was seen of a student at one time. Empty texts: not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    t: Time
    """Time in seconds, which does not decrease for a student, also from lesson to lesson."""
    student: Annotated[str, Field(min_length=1)]
    course: str = ""
    topic: str = ""
    activity: str = ""
    lesson: str = ""
    pace: str = ""
    """Pace of the teaching, such as ``slow`` or ``fast``."""
    frame_ok: bool = True
    """Whether the camera delivered a frame; False: a technical problem."""
    face: bool
    """Whether a face was detected in the frame."""
    emotion: str | None
    """Name of the recognised expression; None without a face."""
    probabilities: dict[str, Share] | None = None
    """Class name -> probability."""
    head_down: bool | None = None
    """Whether the head is bowed; None: not measured."""
    interval_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Preset seconds between two captures."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.face and not self.frame_ok:
            raise ValueError("a face without a frame")
        if self.face is (self.emotion is None):
            raise ValueError("a face without an expression" if self.face else "an expression without a face")
        if self.probabilities is not None:
            values = self.probabilities.values()
            if min(values, default=0.0) < 0:
                raise ValueError("negative probability")
            if abs(sum(values) - 1) > TOLERANCE:
                raise ValueError("probabilities whose sum is not 1")
            if self.emotion not in self.probabilities:
                raise ValueError("probabilities without the recognised expression")
        return self


@dataclass
class Stream:
    """The events of a file in order of time, and what was dropped."""

    path: Path | None = None
    events: list[Event] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    """Reason -> number of events."""
    first: dict[str, int] = field(default_factory=dict)
    """Reason -> line of the first one."""

    def drop(self, reason: str, line: int) -> None:
        """Count a dropped event."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self.first.setdefault(reason, line)

    def summary(self) -> list[str]:
        """Return a line with the number of events, and one per reason for which some were dropped."""
        lost = sum(self.dropped.values())
        lines = [f"{len(self.events)} events, {lost} dropped"]
        lines += [f"dropped {n}: {reason} (first in line {self.first[reason]})" for reason, n in self.dropped.items()]
        return lines


def read_events(path: Path, emotions: EmotionMap) -> Stream:
    """Return the events of a file in JSON lines or CSV (suffix .csv), sorted by time, and counts of dropped ones.

    Raises FerError for an unreadable file, one without any valid event, and a fault of form, with its line.
    """
    where = cut(path, PATH)
    try:
        with open_regular(path) as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise FerError(f"{where}: cannot be read ({error.strerror}); give a file of events") from None
    if len(content) > MOST_BYTES:
        raise FerError(f"{where}: larger than {MOST_BYTES // 2**20} MiB; split it by lesson")
    stream = Stream(path)
    if path.suffix.lower() == ".csv":
        found = _csv_events(_decode(content, where), where, stream, emotions)
    else:
        found = _json_events(_decode(content, where, cut_off=True), where, stream, emotions)
    _collect(found, emotions, where, stream)
    if not stream.events:
        why = "; ".join(
            f"{n} dropped: {reason}, first in line {stream.first[reason]}" for reason, n in stream.dropped.items()
        )
        raise FerError(f"{where}: no event in it{f' ({why})' if why else ''}; give JSON lines or CSV with one event a line")
    return stream


def _collect(found: Iterable[tuple[int, Event]], emotions: EmotionMap, where: str, stream: Stream) -> None:
    """Add events that are in order and of known classes to the stream, sorted by time."""
    last: dict[str, float] = {}
    known = set(emotions.classes)
    for line, event in found:
        if event.emotion is not None and not known.issuperset((event.emotion, *(event.probabilities or ()))):
            _check_classes(event.emotion, event.probabilities, emotions, f"{where}, line {line}")
        before = last.get(event.student)
        if before is not None and event.t <= before:
            same = event.t == before
            reason = "a student's second event of the same time" if same else BACKWARDS
            stream.drop(reason, line)
            continue
        last[event.student] = event.t
        stream.events.append(event)
    stream.events.sort(key=lambda event: event.t)


def _check_classes(emotion: object, shares: object, emotions: EmotionMap, where: str) -> None:
    """Raise FerError for an unknown class."""
    for name in (emotion, *(shares if isinstance(shares, dict) else ())):
        if isinstance(name, str):
            try:
                emotions.check(name)
            except FerError as error:
                raise FerError(f"{where}: {error}") from None


def _decode(content: bytes, where: str, cut_off: bool = False) -> str:
    """Return the text; ``cut_off``: without an incomplete character at the end."""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(content, final=not cut_off)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FerError(f"{where}, line {line}: not UTF-8; save it as a UTF-8 text file") from None


def _json_events(text: str, where: str, stream: Stream, emotions: EmotionMap) -> Iterator[tuple[int, Event]]:
    """Yield line number and event; a last line that was cut off is counted."""
    if text.lstrip()[:1] == "[":
        raise FerError(f"{where}: a JSON array; write one event a line, without brackets around them (JSON lines)")
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        _check_keys(line, f"{where}, line {number}")
        try:
            yield number, Event.model_validate_json(line)
        except ValidationError as error:
            if number == len(lines) and error.errors(include_url=False)[0]["type"] == "json_invalid":
                stream.drop("a last line that is cut off", number)
            else:
                stream.drop(_reason(error, emotions, f"{where}, line {number}"), number)


def _check_keys(line: str, where: str) -> None:
    """Raise FerError if a key occurs twice in an object: only one value would be kept. Ignores invalid JSON."""

    def once(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise FerError(f"{where}: two values of '{cut(twice)}'; remove one of them")

    with suppress(ValueError, RecursionError):
        json.loads(line, object_pairs_hook=once)


def _csv_events(text: str, where: str, stream: Stream, emotions: EmotionMap) -> Iterator[tuple[int, Event]]:
    """Yield line number and event; a last row that was cut off is counted."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header, emotions, where)
        for row in rows:
            line = rows.line_num
            if not row:
                continue
            if len(row) < len(header) and not text.endswith("\n") and next(rows, None) is None:
                stream.drop("a last line that is cut off", line)
                return
            if len(row) != len(header):
                raise FerError(f"{where}, line {line}: {len(row)} cells where the header has {len(header)}")
            try:
                yield line, Event.model_validate(_from_cells(dict(zip(header, row, strict=True)), f"{where}, line {line}"))
            except ValidationError as error:
                stream.drop(_reason(error, emotions, f"{where}, line {line}"), line)
    except csv.Error as error:
        raise FerError(f"{where}, line {rows.line_num}: not valid CSV ({error})") from None


def _check_header(header: list[str], emotions: EmotionMap, where: str) -> None:
    """Raise FerError for missing, unknown and repeated columns; an empty file has none."""
    if not header:
        return
    fields = [name for name in Event.model_fields if name != "probabilities"]
    unknown = [name for name in header if name not in fields and not (name.startswith(PREFIX) and len(name) > len(PREFIX))]
    needed = [name for name, about in Event.model_fields.items() if about.is_required()]
    for name in needed:
        if name not in header:
            raise FerError(f"{where}: no column '{name}'{nearest(name, unknown or header)}")
    if unknown:
        raise FerError(f"{where}: unknown column '{cut(unknown[0])}'{nearest(unknown[0], [*fields, 'p_<class>'])}")
    for name in header:
        if name.startswith(PREFIX):
            _check_classes(name.removeprefix(PREFIX), None, emotions, f"{where}: column '{cut(name)}'")
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise FerError(f"{where}: two columns named '{cut(twice)}'; rename or remove one of them")


def _from_cells(cells: dict[str, str], where: str) -> dict[str, Any]:
    """Return the fields of an event from the cells of a row; empty cells are left out, as defaults."""
    values: dict[str, Any] = {"emotion": None}
    shares: dict[str, float] = {}
    for name, cell in cells.items():
        if not (cell := cell.strip()):
            continue
        if name in TEXTS:
            values[name] = cell
        elif name in FLAGS:
            if cell.lower() not in WORDS:
                raise FerError(f"{where}: {name} '{cut(cell)}' is neither true nor false")
            values[name] = WORDS[cell.lower()]
        else:
            try:
                number = parse_number(cell)
            except ValueError:
                raise FerError(f"{where}: {name} '{cut(cell)}' is not a number") from None
            if name.startswith(PREFIX):
                shares[name.removeprefix(PREFIX)] = number
            else:
                values[name] = number
    return values | ({"probabilities": shares} if shares else {})


def _reason(error: ValidationError, emotions: EmotionMap, where: str) -> str:
    """Return why an event is dropped; raises FerError for a fault of form."""
    faults = error.errors(include_url=False)
    for fault in faults:
        name = cut(".".join(map(str, fault["loc"])))
        if fault["type"] == "extra_forbidden":
            raise FerError(f"{where}: unknown key '{name}'{nearest(name, Event.model_fields)}")
    for fault in faults:
        name, kind = cut(".".join(map(str, fault["loc"]))), fault["type"]
        if kind == "missing":
            raise FerError(f"{where}: no '{name}'; an event needs t, student, face and emotion")
        if kind == "json_invalid":
            raise FerError(f"{where}: not valid JSON; write one event a line, such as {EXAMPLE}")
        if not name and kind != "value_error":  # the line itself
            raise FerError(f"{where}: {cut(repr(fault['input']))} is not an event; write one a line, such as {EXAMPLE}")
        if kind not in {"finite_number", "value_error"}:
            raise FerError(f"{where}: {name}: {fault['msg']} (given: {cut(repr(fault['input']))})")
    first = faults[0]
    if first["type"] == "value_error":
        if isinstance(given := first["input"], dict):  # a misspelt class is the cause, not what follows from it
            _check_classes(given.get("emotion"), given.get("probabilities"), emotions, where)
        return str(first["msg"]).removeprefix("Value error, ")
    name = str(first["loc"][0])
    return f"{NUMBERS.get(name, name)} is not a finite number"


EXAMPLE = json.dumps({"t": 0.0, "student": "s01", "face": True, "emotion": "happy"})
