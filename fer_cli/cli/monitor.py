"""``fer monitor``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_cli.cli.build_options import DetectorModel
from fer_cli.cli.options import DEFAULT_RESULTS, DataRoot, Results, expand_path, thread_count
from fer_cli.cli.screen import print_table, say
from fer_cli.commands import write_command
from fer_cli.errors import FerError

if TYPE_CHECKING:
    from fer_cli.use.monitor import Session, Wish

INTERRUPTED, CAMERA_GONE = 130, 1
CONSENT = (
    "--camera: add --consent if everyone who may be filmed, or their guardians, has agreed to be filmed and to have their "
    "expressions recognised; some laws forbid it in classrooms even then (European Union: Article 5(1)(f) of the AI Act)"
)

RunName = Annotated[
    str | None, typer.Argument(help="Run id, its first characters, run folder, STUDY:ARM, or an exported .onnx.")
]
Video = Annotated[Path | None, typer.Option("--video", callback=expand_path, help="Video to monitor.")]
CameraNumber = Annotated[int | None, typer.Option("--camera", min=0, help="Number of a camera, e.g. 0.")]
Events = Annotated[
    Path | None, typer.Option("--events", callback=expand_path, help="Write the report of this log of events again.")
]
Consent = Annotated[bool, typer.Option("--consent", help="Everyone who may be filmed by the camera has agreed to it.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        callback=expand_path,
        help="Folder of log and report.",
        show_default="RESULTS/sessions/TIME; of --events, the log's folder",
    ),
]
Interval = Annotated[
    float | None, typer.Option("--interval", help="Seconds between two events of a student.", show_default="1")
]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", callback=expand_path, help="YAML of thresholds, e.g. difficulty: {in_a_row: 20}."),
]
Kind = Annotated[
    str | None, typer.Option("--expressions", "-e", help="basic or learning.", show_default="by the run's classes")
]
Speed = Annotated[
    float | None, typer.Option("--speed", help="Play a video at this multiple of its speed; late frames are dropped.")
]
Smoothing = Annotated[
    bool,
    typer.Option(
        "--smoothing/--no-smoothing",
        help="Smooth the expressions by an emotion HMM; on rendered lessons it made them wrong more often: docs/use.md.",
    ),
]
KeepFaces = Annotated[
    Path | None,
    typer.Option("--keep-faces", callback=expand_path, help="Write pictures of the faces into this new folder."),
]


def monitor(
    run: RunName = None,
    video: Video = None,
    camera: CameraNumber = None,
    events: Events = None,
    consent: Consent = False,
    out: Out = None,
    course: Annotated[str, typer.Option("--course", help="Course of the events.")] = "",
    topic: Annotated[str, typer.Option("--topic", help="Topic of the events.")] = "",
    lesson: Annotated[str, typer.Option("--lesson", help="Lesson of the events.")] = "",
    interval: Interval = None,
    settings: SettingsFile = None,
    kind: Kind = None,
    smoothing: Smoothing = False,
    speed: Speed = None,
    real_time: Annotated[bool, typer.Option("--real-time", help="The same as --speed 1.")] = False,
    keep_faces: KeepFaces = None,
    detector_model: DetectorModel = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Follow the faces in a video or before a camera: expressions, learning status and advice, live and as a report.

    Labels are guesses and do not show what a student feels, understands or attends to; the rules are conventions, and a
    finding is a reason to ask, never a grade. Some laws forbid inferring the emotions of pupils.

    Log and report hold no pictures.
    """
    for wrong in find_conflicts(run, video, camera, events, consent, speed, real_time):
        raise FerError(wrong)
    if events is not None:
        live = {"consent": consent, "course": course, "topic": topic, "lesson": lesson, "interval": interval is not None}
        live |= {"smoothing": smoothing, "keep-faces": keep_faces, "detector-model": detector_model, "data-root": data_root}
        if given := [f"--{name}" for name, value in {**live, "device": device != "auto"}.items() if value]:
            raise FerError(f"--events: reads a log; it takes --out, --settings and --expressions, not {', '.join(given)}")
        rebuild(events, out, kind, settings)
        return
    from fer_cli.use.monitor import Wish

    assert run is not None
    named = {"course": course, "topic": topic, "lesson": lesson}
    folder = out or results / "sessions" / time.strftime("%Y-%m-%d-%H%M%S")
    wish = Wish(
        run, video, camera, folder, results, data_root, named, interval, settings, kind, smoothing,
        1.0 if real_time else speed, keep_faces, device, thread_count(), detector_model,
    )  # fmt: skip
    watch(wish)


def find_conflicts(
    run: str | None,
    video: Path | None,
    camera: int | None,
    events: Path | None,
    consent: bool,
    speed: float | None,
    real_time: bool,
) -> Iterator[str]:
    """Yield what is wrong with the options together."""
    given = [name for name, one in (("--video", video), ("--camera", camera), ("--events", events)) if one is not None]
    if len(given) != 1:
        yield f"fer monitor: give one of --video, --camera and --events{', not ' * bool(given)}{' and '.join(given)}"
    if events is not None and run is not None:
        yield "--events: reads a log and takes no run"
    if events is None and run is None:
        yield "fer monitor: name the run that recognises expressions, e.g. fer monitor scn-cs:SCN-CS --video lesson.mp4"
    if video is None and (speed is not None or real_time):
        yield "--speed and --real-time are for --video; a camera is always in real time"
    if speed is not None and real_time:
        yield "--real-time is --speed 1; give one of them"
    if camera is not None and not consent:
        yield CONSENT


def watch(wish: Wish) -> None:
    """Run a session, whose report is written however it ends; exits with 1 if the camera is gone, 130 if interrupted."""
    from fer_cli.cli.live import live_display
    from fer_cli.interaction.live import LiveView
    from fer_cli.use.monitor import Session

    session = Session(wish)
    for note in session.notes:
        say(note)
    began, code = time.monotonic(), 0
    try:
        with live_display(LiveView(session.emotions)) as update:
            try:
                for found in session.follow():
                    update(*found)
            except (KeyboardInterrupt, SystemExit) as end:
                session.interrupted = True
                code = INTERRUPTED if isinstance(end, KeyboardInterrupt) else int(str(end.code))
            for found in session.finish():
                update(*found)
    except BaseException:
        with suppress(FerError, OSError):
            conclude(session, time.monotonic() - began)
        raise
    conclude(session, time.monotonic() - began)
    if code == 0 and session.camera is not None and session.camera.gone:
        code = CAMERA_GONE
    if code:
        raise SystemExit(code)


def conclude(session: Session, seconds: float) -> None:
    """Close a session, print what it was, and write its report."""
    from fer_cli.interaction.session import LOG

    tally, drops = session.reader.tally, session.drops.count
    there = session.close()
    for warning in session.warnings():
        say(f"warning: {warning}")
    rate = tally.frames / max(seconds, 1e-3)
    say(
        f"{tally.frames} frames, {tally.without} without a face, {drops} dropped; {session.events} events; "
        f"{seconds:.1f} s ({rate:.1f} frames per second)"
    )
    if session.faces is not None:
        say(f"{session.faces.count} pictures of faces in {session.faces.folder}; delete them when they are not needed")
    if not there:
        say("no events: nothing is kept")
        return
    say(f"wrote {session.wish.out / LOG}")
    report(session.wish.out / LOG, session.wish.out, None, None)


def rebuild(log: Path, out: Path | None, kind: str | None, settings: Path | None) -> None:
    """Write the report of a log again."""
    report(log, out or log.parent, kind, settings)


def report(log: Path, out: Path, kind: str | None, settings: Path | None) -> None:
    """Write the report of a log into a folder, and print what is raised."""
    from fer_cli.interaction.feedback import CAUTION, HEAD, raised, table_rows
    from fer_cli.interaction.session import assess_log, check_outputs, write_session

    check_outputs(out, log)
    feedback, info = assess_log(log, kind, settings)
    paths = write_session(feedback, info, out, log)
    print_table(HEAD, table_rows(raised(feedback.findings)))
    for sentence in CAUTION:
        say(f"note: {sentence}")
    for path in paths:
        say(f"wrote {path}")
    if out.absolute() == log.parent.absolute():
        again = write_command("fer monitor", events=log, settings=settings, expressions=kind)
        say(f"next: {again} (writes the report again)")
