"""What ``fer monitor`` shows while it runs: a table on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fer_cli.cli.screen import say, stderr_console
from fer_cli.escape import one_line, terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from fer_cli.interaction.events import Event
    from fer_cli.interaction.findings import Finding
    from fer_cli.interaction.live import LiveView

    Update = Callable[[Sequence[Event], Sequence[Finding]], None]

EVERY_S = 10.0
"""Seconds of the stream between two lines on a plain stream."""
REFRESH_S = 0.2
"""Seconds between two tables."""
COLUMNS = ("student", "state", "last 3 minutes (valence)", "alerts")


@contextmanager
def live_display(view: LiveView) -> Iterator[Update]:
    """Yield what takes events and findings and shows them on stderr."""
    console = stderr_console()
    if not console.is_terminal:
        yield PlainLines(view).update
        return
    from rich.live import Live

    shown = -REFRESH_S
    with Live(console=console, auto_refresh=False) as live:

        def update(events: Sequence[Event], findings: Sequence[Finding]) -> None:
            nonlocal shown
            view.push(events, findings)
            if time.monotonic() - shown >= REFRESH_S:
                shown = time.monotonic()
                live.update(make_table(view), refresh=True)

        yield update
        live.update(make_table(view), refresh=True)


class PlainLines:
    """Prints alerts as they come, and the states every ten seconds."""

    def __init__(self, view: LiveView) -> None:
        self.view, self._due = view, 0.0

    def update(self, events: Sequence[Event], findings: Sequence[Finding]) -> None:
        """Take events and findings."""
        from fer_cli.interaction.feedback import name_student, raised
        from fer_cli.interaction.live import clock, tell

        self.view.push(events, findings)
        for one in raised(findings):
            say(f"alert: {name_student(one.student)} {tell(one)}")
        if self.view.now_s >= self._due:
            self._due = self.view.now_s + EVERY_S
            states = [f"{one.student} {one.state}" for one in self.view.rows()]
            say(f"{clock(self.view.now_s)} {'; '.join(states)}")


def make_table(view: LiveView) -> Table:
    """Return the last minutes as a table."""
    from rich.table import Table
    from rich.text import Text

    from fer_cli.interaction.live import clock

    table = Table(title=clock(view.now_s))
    for name in COLUMNS:
        table.add_column(name, no_wrap=name != "alerts")
    for row in view.rows():
        table.add_row(*(Text(terminal(one_line(cell) if cell is not row.valence else cell)) for cell in row))
    return table
