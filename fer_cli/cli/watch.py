"""What a command that trains prints: progress while it runs, and the outcome at the end."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from fer_cli.cli.screen import duration, is_terminal, progress_bar, say
from fer_cli.errors import FerError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from fer_cli.ablate import Summary
    from fer_cli.config import Compute
    from fer_cli.executors import Options
    from fer_cli.plan import Item, Plan

SAID_EVERY = 10.0
"""Seconds between lines about drawing on a plain stream."""


class Watch:
    """Progress display: finished runs, and the epochs that active runs report."""

    def __init__(self, plan: Plan, compute: Compute, options: Options) -> None:
        from fer_cli.estimate import estimate
        from fer_cli.plan import is_runnable

        self.plan, self.plain = plan, not is_terminal(sys.stderr)
        everything, states = plan.everything, plan.states()
        self.todo = {item.run_id: item for item in everything if is_runnable(states[item.run_id], options.retry_failed)}
        self.under_way: dict[str, Item] = {}
        self.finished = self.epochs = 0
        self.data_root, self.sets = compute.data_root, sorted({n for item in everything for n in item.run.config.sets})
        self._said = 0.0
        self.began = time.monotonic()
        self.total = sum(item.epochs for item in self.todo.values())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        times = estimate(plan, compute, states)
        known = [times[name] for name in self.todo]
        if self.todo:
            total = sum(s for s in known if s is not None) / options.jobs if all(s is not None for s in known) else None
            expected = "" if options.scheduled else f"; expected time {duration(total)}"
            say(f"{plan.title}: {len(self.todo)} of {len(everything)} runs to train{expected}")
            if compute.track:
                from fer_cli.tracking import describe_store

                say(f"MLflow store: {describe_store(compute.results)}")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def begun(self, item: Item) -> None:
        """Record that a run began; a run taken over from another process is added to the total."""
        self.under_way[item.run_id] = item
        if item.run_id not in self.todo:
            self.todo[item.run_id] = item
            self.total += item.epochs

    def done(self, item: Item, status: str) -> None:
        """Record that a run ended; on a plain stream, print a line with the remaining time."""
        self.under_way.pop(item.run_id, None)
        if status == "elsewhere":
            return
        self.finished += 1
        self.epochs += item.epochs
        if not self.plain:
            return
        text = status
        if status == "done":
            result = item.folder.result()
            where = "validation accuracy" if result.config.trial else "accuracy"
            text = f"{where} {result.scores['accuracy']:.3f} in {duration(result.cost.seconds.total)}"
        elapsed = time.monotonic() - self.began
        left = elapsed / self.epochs * max(0, self.total - self.epochs)
        say(f"[{self.finished}/{len(self.todo)}] {item.run.title}: {text}; left {duration(left)}")

    def waiting(self, items: list[Item]) -> None:
        """Print which runs are awaited, and which process trains the first."""
        with suppress(FerError):  # it may just have ended
            owner = items[0].folder.owner()
            more = f" and {len(items) - 1} more" if len(items) > 1 else ""
            say(f"waiting for {items[0].run.title}{more}: {owner or 'another process'} trains it; use --no-wait not to wait")

    def epochs_done(self) -> float:
        """Return the number of completed epochs, including the progress of active runs."""
        return self.epochs + sum(item.epochs * item.folder.progress() for item in list(self.under_way.values()))

    def _show(self) -> None:
        with progress_bar() as bar:
            runs = bar.add_task(f"{self.plan.study.name}: runs", total=len(self.todo))
            epochs = bar.add_task("epochs", total=self.total)
            drawing = {name: bar.add_task(f"drawing {name}: people", visible=False) for name in self.sets}
            while not self._over.wait(1.0):
                if not self.plain:
                    bar.update(runs, completed=self.finished, total=len(self.todo))
                    bar.update(epochs, completed=round(self.epochs_done()), total=self.total)
                self._show_drawing(bar, drawing)

    def _show_drawing(self, bar: Progress, tasks: dict[str, TaskID]) -> None:
        """Show how far processes are that draw images of the plan's sets; on a plain stream, say it once in a while."""
        from fer_cli.data.manifest import read_drawing

        for name, task in tasks.items():
            found = read_drawing(self.data_root, name)
            if not self.plain:
                done, total = found or (0, 0)
                bar.update(task, completed=done, total=total, visible=found is not None)
            elif found is not None and time.monotonic() - self._said > SAID_EVERY:
                self._said = time.monotonic()
                say(f"drawing {name}: {found[0]} of {found[1]} people")


def print_summary(summary: Summary, seconds: float) -> None:
    """Print the outcome, and for each failed run where its traceback is."""
    for title, text in summary.warnings:
        say(f"warning: {title}: {text}")
    for title, message, trace in summary.failures:
        say(f"failed: {title}: {message} (traceback: {trace})")
    for title, text in summary.damaged:
        say(f"damaged: {title}: {text}")
    counts = summary.counts
    line = f"{counts['done']} done, {counts['failed']} failed, {counts['skipped']} skipped"
    others = {
        "damaged": "damaged",
        "blocked": "blocked: a run they depend on is not done",
        "lost": "lost by their scheduler",
        "running": "left to another process",
        "unstarted": "not started after a failure (--fail-fast)",
    }
    line += "".join(f", {counts[state]} {words}" for state, words in others.items() if counts[state])
    say(f"{line}; {duration(seconds)}")
