"""``fer predict``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fer_cli.cli.build_options import DetectorModel
from fer_cli.cli.options import DEFAULT_RESULTS, DataRoot, Results, expand_path, thread_count
from fer_cli.cli.screen import closed, duration, is_terminal, printing, say, with_progress
from fer_cli.commands import given_results, write_command
from fer_cli.errors import DataError
from fer_cli.escape import PATH, cut, terminal

if TYPE_CHECKING:
    from fer_cli.use.predict import Reader, Tally
    from fer_cli.use.sources import Source, Sources

Item = TypeVar("Item")

NAMED = 5
"""Unreadable files that are named."""


def expand_paths(paths: list[Path]) -> list[Path]:
    """Return paths with ``~`` expanded."""
    return [found for path in paths if (found := expand_path(path)) is not None]


def predict(
    run: Annotated[str, typer.Argument(help="Run id, its first characters, run folder, STUDY:ARM, or an exported .onnx.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", callback=expand_paths, help="Images, videos, and folders of them."),
    ],
    csv: Annotated[
        Path | None,
        typer.Option("--csv", callback=expand_path, help="Table to write.", show_default="standard output"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            callback=expand_path,
            help="Drawing of the faces: .png; of a video, .mp4, .avi or a .png of its classes over time.",
        ),
    ] = None,
    no_detect: Annotated[bool, typer.Option("--no-detect", help="Take the whole image or frame for the face.")] = False,
    detector_model: DetectorModel = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace existing files.")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Recognise the expressions in images and videos with a trained run; prints a row per face and frame as CSV.

    Columns: file, time_s, face (id), x, y, w, h (pixels), class, p_CLASS (probabilities). A frame without a face has a row
    with an empty class. Faces are detected and cut as in the run's data set.
    """
    from fer_cli.use.draw import check_drawing
    from fer_cli.use.predict import Reader
    from fer_cli.use.recogniser import load_recogniser
    from fer_cli.use.sources import find_sources, keep_videos
    from fer_cli.use.table import check_outputs

    found = find_sources(inputs)
    check_outputs(csv, out, [file.path for file in found.files], replace)
    if out is not None:
        check_drawing(out, found.files)
    how: dict[str, Any] = {"detect": not no_detect, "detector_model": detector_model}
    recogniser = load_recogniser(results, run, data_root, device=device, threads=thread_count(), **how)
    if recogniser.preparation.frames is not None:
        found = keep_videos(found, recogniser.frames)
    reader = Reader(recogniser, not no_detect)
    for note in filter(None, [*recogniser.notes, reader.note]):
        say(note)
    began = time.monotonic()
    write_rows(reader, found.files, csv, out)
    say_outcome(reader.tally, found, time.monotonic() - began)
    for path in filter(None, (csv, out)):
        say(f"written: {path}")
    if out is None and len(found.files) == 1:
        drawn = Path(f"{found.files[0].path.stem}-faces{'.png' if found.files[0].kind == 'image' else '.mp4'}")
        same: dict[str, Any] = {"results": given_results(results), "data_root": data_root, "no_detect": no_detect}
        same |= {"detector_model": detector_model, "device": None if device == "auto" else device}
        say(f"next: {write_command('fer predict', run, inputs[0], out=drawn, csv=drawn.with_suffix('.csv'), **same)}")


def write_rows(reader: Reader, files: list[Source], csv: Path | None, out: Path | None) -> None:
    """Recognise the faces of files, write their rows and draw them into ``out``; raises DataError if none can be read."""
    from fer_cli.use.draw import draw_into
    from fer_cli.use.sources import count_frames
    from fer_cli.use.table import head_line, lines_of

    classes, stream = reader.recogniser.classes, sys.stdout
    with ExitStack() as stack:
        put = stack.enter_context(open_table(csv, head_line(classes)))
        drawing = stack.enter_context(draw_into(out, files[0], classes))
        for source, seen in with_bar(reader.read_all(files), sum(map(count_frames, files)), csv):
            if drawing is not None:
                drawing.add(seen)
            for line in lines_of(seen, source.name, classes):
                put(line)
            if stream in closed and csv is None and out is None:  # its reader has enough
                break
        check_read(reader.tally, files)


@contextmanager
def open_table(path: Path | None, head: str) -> Iterator[Callable[[str], None]]:
    """Yield what writes a line into a CSV file, or to standard output; file and head are written with the first line."""
    from fer_cli.use.table import CsvFile

    stream = sys.stdout  # a progress bar replaces it by one that prints to its own console

    def tell(line: str) -> None:
        if stream not in closed:
            with printing(stream):
                print(terminal(line), file=stream)

    write: Callable[[str], None] | None = None
    with ExitStack() as opened:

        def put(line: str) -> None:
            nonlocal write
            if write is None:
                write = tell if path is None else opened.enter_context(CsvFile(path)).write
                write(head)
            write(line)

        try:
            yield put
        except (KeyboardInterrupt, SystemExit):
            if path is not None and write is not None:
                say(f"{path}: holds the rows until the interruption")
            raise


def with_bar(items: Iterable[Item], total: int, csv: Path | None) -> Iterable[Item]:
    """Return items under a progress bar, unless rows are printed to the same terminal."""
    on_screen = csv is None and is_terminal(sys.stdout)
    return items if on_screen else with_progress("frames", items, total)


def check_read(tally: Tally, files: list[Source]) -> None:
    """Raise DataError if no file could be read."""
    if len(tally.unreadable) == len(files):
        raise DataError(f"no input could be read: {describe_unreadable(tally)}")


def describe_unreadable(tally: Tally) -> str:
    """Return the first unreadable files with their reasons."""
    named = [f"{cut(name, PATH)} ({reason})" for name, reason in list(tally.unreadable.items())[:NAMED]]
    return ", ".join([*named, *["..."][: len(tally.unreadable) - NAMED]])


def say_outcome(tally: Tally, found: Sources, seconds: float) -> None:
    """Print what was read, found and left out."""
    for reason, count in found.skipped.items():
        say(f"skipped: {count} {reason}")
    for note in tally.notes:
        say(f"warning: {note}")
    if tally.unreadable:
        say(f"warning: {len(tally.unreadable)} of {len(found.files)} files cannot be read: {describe_unreadable(tally)}")
    if tally.tiny:
        say(f"warning: no face is found in {tally.tiny} small pictures or frames; if each shows a face, pass --no-detect")
    rate = tally.frames / max(seconds, 1e-3)
    say(
        f"{tally.frames} pictures and frames of {len(found.files)} files, {tally.without} without a face; "
        f"{tally.faces} faces; {duration(seconds)} ({rate:.1f} per second)"
    )
