"""``fer monitor``: a video or a camera becomes events, findings while it runs, and a log from which the report is made.

Nothing that is shown or reported comes from anywhere but the log's events: the rules are fed with what was written to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fer_cli.config import Compute, default_data_root
from fer_cli.data.decode import UnreadableError, why
from fer_cli.data.files import readable_name
from fer_cli.errors import DataError
from fer_cli.escape import PATH, bad_name, cut
from fer_cli.interaction.assess import all_rules, read_thresholds
from fer_cli.interaction.emotions import EmotionMap
from fer_cli.interaction.events import Event
from fer_cli.interaction.findings import Finding, Monitor
from fer_cli.interaction.session import INFO, LOG, SessionInfo, check_outputs, choose_expressions, write_info
from fer_cli.interaction.thresholds import Thresholds
from fer_cli.runs import RunFolder
from fer_cli.use.captures import Captures
from fer_cli.use.feeds import Camera, Drops, pace
from fer_cli.use.heads import MEASURED, NOT_MEASURED, Heads, find_landmarks
from fer_cli.use.kept import FaceFolder, FirstFrames
from fer_cli.use.lines import LineFile
from fer_cli.use.named import find_run
from fer_cli.use.predict import Reader
from fer_cli.use.recogniser import EXPORTED, ExportedRecogniser, Recogniser, load_recogniser
from fer_cli.use.smoothing import Smoother, read_confusion
from fer_cli.use.sources import CUT_SHORT, Moment, Source, count_frames, find_sources, read_moments

LAG_S = 0.3
"""Longest time in seconds for which a face waits to be recognised with others."""
INTERVALS = (0.05, 600.0)
"""Shortest and longest capture interval in seconds."""


@dataclass(frozen=True)
class Wish:
    """What the user asks for."""

    run: str
    """Id, its first characters, folder, ``study:arm`` or exported file."""
    video: Path | None
    camera: int | None
    """Number of a camera; None: ``video``."""
    out: Path
    results: Path
    data_root: Path | None = None
    named: dict[str, str] = field(default_factory=dict)
    """Course, topic and lesson of the events."""
    interval_s: float | None = None
    """None: that of the thresholds."""
    settings: Path | None = None
    expressions: str | None = None
    smoothing: bool = False
    speed: float | None = None
    """Of a video, relative to its own time; None: as fast as possible."""
    keep_faces: Path | None = None
    device: str = "auto"
    threads: int = 1
    detector_model: Path | None = None


class Session:
    """A running session; iterate over ``follow``, then ``close`` it whatever happened."""

    def __init__(self, wish: Wish) -> None:
        """Load the recogniser, open the source and begin the log; raises FerErrors, OSError for an unusable folder."""
        self.wish = wish
        self.source = check_wish(wish)
        self.thresholds = set_interval(read_thresholds(wish.settings), wish.interval_s)
        self.recogniser = load_recogniser(
            wish.results, wish.run, wish.data_root,
            device=wish.device, threads=wish.threads, detector_model=wish.detector_model,
            can_skip=False,
        )  # fmt: skip
        where = f"run {self.recogniser.name}"
        self.emotions: EmotionMap = choose_expressions(self.recogniser.classes, wish.expressions, where)
        self.reader = Reader(self.recogniser, lag_s=LAG_S)
        self.drops, self.events = Drops(), 0
        self.interrupted = False
        interval = self.thresholds.interval_s
        smoother, smoothed = make_smoother(self.recogniser, wish, interval)
        self.frames = FirstFrames(interval)
        heads = self._make_heads()
        self.notes = [
            *filter(None, [*self.recogniser.notes, self.reader.note]),
            smoothed,
            MEASURED if heads else NOT_MEASURED,
        ]
        self.captures = Captures(self.recogniser.classes, interval, wish.named, smoother, heads)
        self.monitor = Monitor(all_rules(self.emotions, self.thresholds))
        self.camera = None if wish.camera is None else Camera(wish.camera, self.drops)
        self.faces = None if wish.keep_faces is None else FaceFolder(wish.keep_faces, self.frames)
        self.log = begin_log(wish.out)
        filmed = f"camera {wish.camera}" if self.source is None else readable_name(Path(self.source.name).name)
        info = SessionInfo(
            run=self.recogniser.name,
            source=filmed,
            expressions=self.emotions.name,
            notes=tuple(self.notes),
            thresholds=self.thresholds,
        )
        try:
            write_info(wish.out, info)
        except OSError:
            self.close()  # an empty log would be in the way of the next attempt
            raise

    def follow(self) -> Iterator[tuple[list[Event], list[Finding]]]:
        """Yield the events of each interval, once they are in the log, and what the rules find with them.

        Raises DataError for an unreadable video and for a log that cannot be written any more.
        """
        moments = self._moments()
        if self.faces is not None or self.captures.measure is not None:
            moments = self.frames.pass_on(moments)
        try:
            for seen in self.reader.follow(moments):
                if self.faces is not None:
                    self.faces.write(seen)
                yield from self._note(self.captures.push(seen))
        except UnreadableError as error:
            assert self.source is not None
            raise DataError(f"{cut(self.source.name, PATH)}: {why(error)}") from None

    def finish(self) -> Iterator[tuple[list[Event], list[Finding]]]:
        """Yield the events that are left when no further frame comes."""
        if self.camera is not None and self.camera.gone:
            yield from self._note(self.captures.advance(self.camera.now()))
        if self.drops.last_s is not None:  # of a video whose end came too late: intervals without a frame
            yield from self._note(self.captures.advance(self.drops.last_s))
        yield from self._note(self.captures.finish())

    def close(self) -> bool:
        """Close source and log; return whether there are events, else remove the log."""
        if self.camera is not None:
            self.camera.close()
        self.log.__exit__(None, None, None)
        if not self.events:
            with suppress(OSError):
                for name in (LOG, INFO):
                    (self.wish.out / name).unlink(missing_ok=True)
                self.wish.out.rmdir()
        return self.events > 0

    def warnings(self) -> list[str]:
        """Return what went wrong with the source."""
        if self.source is None:
            return [f"camera {self.wish.camera}: no frame for some seconds"] if self.camera and self.camera.gone else []
        declared, read = count_frames(self.source), self.reader.tally.frames + self.drops.count
        if self.interrupted or read >= CUT_SHORT * declared - 1:
            return []
        return [f"{self.source.name}: {read} of {declared} frames decode; it is damaged or cut short"]

    def _moments(self) -> Iterator[Moment]:
        if self.camera is not None:
            return self.camera.moments()
        assert self.source is not None
        moments = read_moments(self.source.path)
        return moments if self.wish.speed is None else pace(moments, self.wish.speed, self.drops)

    def _note(self, events: Sequence[Event]) -> Iterator[tuple[list[Event], list[Finding]]]:
        """Write events to the log and yield them, interval by interval, with what is found."""
        start = 0
        for end in range(1, len(events) + 1):
            if end < len(events) and events[end].t == events[start].t:
                continue
            part = list(events[start:end])
            for event in part:
                self.log.write(event.model_dump_json())
                self.events += 1
            yield part, self.monitor.push(part)
            start = end

    def _make_heads(self) -> Heads | None:
        finder = find_landmarks()
        return None if finder is None else Heads(self.thresholds.head, finder, self.frames.at)


def check_wish(wish: Wish) -> Source | None:
    """Return the video to read, None for a camera; raises DataError for one that is none, and for invalid settings."""
    for option, name in wish.named.items():
        if name and (reason := bad_name(name)):
            raise DataError(f"--{option} {cut(name)}: {reason}")
    low, high = INTERVALS
    if wish.interval_s is not None and not low <= wish.interval_s <= high:
        raise DataError(f"--interval {wish.interval_s:g}: must be {low:g} to {high:g} seconds")
    if wish.speed is not None and not 0.01 <= wish.speed <= 1000:
        raise DataError(f"--speed {wish.speed:g}: must be 0.01 to 1000")
    if wish.video is None:
        return None
    if wish.video.is_dir():
        raise DataError(f"--video {cut(readable_name(wish.video), PATH)}: a folder; name one video")
    (source,) = find_sources([wish.video]).files
    if source.kind != "video":
        raise DataError(f"--video {cut(source.name, PATH)}: a picture; recognise it with fer predict, or name a video")
    return source


def set_interval(thresholds: Thresholds, interval_s: float | None) -> Thresholds:
    """Return thresholds with another capture interval, or as they are."""
    return thresholds if interval_s is None else thresholds.model_copy(update={"interval_s": float(interval_s)})


def begin_log(out: Path) -> LineFile:
    """Return an empty log in a folder; raises FerError if the folder holds a session or other files in its place."""
    for name in (LOG, INFO):
        if (out / name).exists():
            raise DataError(f"--out {cut(readable_name(out), PATH)}: holds a session ({name}); choose another folder")
    check_outputs(out)
    log = LineFile(out / LOG)
    log.holds = "the log holds the events until then"
    return log


def make_smoother(recogniser: Recogniser, wish: Wish, interval_s: float) -> tuple[Smoother | None, str]:
    """Return what smooths expressions, None for plain probabilities, and a sentence that says so."""
    if not wish.smoothing:
        return None, "probabilities are means over an interval, not smoothed"
    if isinstance(recogniser, ExportedRecogniser):
        folder = RunFolder(wish.results, recogniser.exported.about.run).path
    else:
        root = wish.data_root or default_data_root()
        folder = find_run(wish.run, Compute(data_root=root, results=wish.results, threads=wish.threads))[0].path
    confusion = read_confusion(folder, recogniser.classes)
    if confusion is None:
        exported = str(wish.run).lower().endswith(EXPORTED)
        lacks = f"the run of the exported file is not under {wish.results}" if exported else "the run has no validation part"
        return None, f"probabilities are means over an interval, not smoothed: {lacks}"
    told = (
        "probabilities are means over an interval, smoothed by the filter of an emotion HMM with the run's confusion on its "
        f"validation part (accuracy {confusion.accuracy:.2f}, n = {confusion.n})"
    )
    return Smoother(recogniser.classes, confusion.emission, interval_s), told
