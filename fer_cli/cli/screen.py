"""Terminal output: data to stdout, messages to stderr, progress bars on a terminal and plain lines elsewhere.

Control characters are escaped, since names may come from untrusted files.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO, TypeVar

from fer_cli.escape import one_line, terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from fer_cli.report.render import Report

Item = TypeVar("Item")

closed: list[TextIO] = []
"""Streams closed by their reader (such as ``head``); further output to them is dropped."""


@contextmanager
def printing(stream: TextIO | None) -> Iterator[None]:
    """Flush a stream after the body; record a closed pipe, and raise OSError for any other fault."""
    try:
        yield
        if stream is not None:  # it is None where the shell closed it (>&-)
            stream.flush()
    except OSError as error:
        assert stream is not None
        drop(stream)
        if error.errno != errno.EPIPE:
            raise OSError(error.errno, error.strerror, "standard output") from None
        closed.append(stream)


def drop(stream: TextIO) -> None:
    """Redirect a stream to the null device."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def say(text: str) -> None:
    """Print a message to stderr; a closed stderr is ignored."""
    if sys.stderr is None:
        return
    with suppress(OSError), printing(sys.stderr):
        print(terminal(text, kept="\t"), file=sys.stderr)


def show(text: str) -> None:
    """Print data to stdout."""
    with printing(sys.stdout):
        print(terminal(text))


def write_out(text: str) -> None:
    """Write data to stdout as it is; a closed stdout is ignored."""
    if sys.stdout is None:
        return
    with printing(sys.stdout):
        sys.stdout.write(text)


def print_report(report: Report) -> None:
    """Print a report to stdout: boxes and colours on a terminal, Markdown elsewhere."""
    from fer_cli.report.render import RENDERERS

    if is_terminal(sys.stdout):
        write_out(RENDERERS["terminal"](report))
    else:
        show(RENDERERS["md"](report))


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; the shell may have closed it."""
    return stream is not None and stream.isatty()


def stderr_console() -> Console:
    """Return a rich console on stderr."""
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yield a rich progress display with the remaining time, disabled where stderr is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = stderr_console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        yield bar


def with_progress(title: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    """Yield ``items`` under a progress bar; on a plain stream, print a line every ten seconds."""
    plain = not is_terminal(sys.stderr)
    spoken = time.monotonic()
    with progress_bar() as bar:
        task = bar.add_task(terminal(title), total=total)
        for count, item in enumerate(items, start=1):
            yield item
            bar.advance(task)
            if plain and time.monotonic() - spoken > 10:
                spoken = time.monotonic()
                say(f"{title}: {count} of {total}")


@contextmanager
def pause_collection() -> Iterator[None]:
    """Switch garbage collection off; it takes a third of a report on 3,000 runs, whose objects are all kept anyway."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what was made is not looked at again by later collections
        if was:
            gc.enable()


def duration(seconds: float | None) -> str:
    """Return a duration such as ``1 h 05 min``; ``unknown`` for None."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows to stdout: a table on a terminal, tab-separated lines elsewhere."""
    clean = [[terminal(one_line(cell)) for cell in row] for row in [head, *rows]]
    if not is_terminal(sys.stdout):
        with printing(sys.stdout):
            print("\n".join("\t".join(row) for row in clean))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for cell in clean[0]:
        table.add_column(Text(cell))
    for row in clean[1:]:
        table.add_row(*map(Text, row))
    Console().print(table)
